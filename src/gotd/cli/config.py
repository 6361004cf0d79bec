"""`--config` and `--print-config`: the flags of a command from a file, and into one.

What a file says stands where the command line says nothing; both go through the same types.
"""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import Any

import click

_HELP = "YAML file with any of these flags by name, such as `fit_sample: 5000`; flags given here win."
_FILE, _PRINT = "config", "print_config"


def configurable(command: click.Command) -> click.Command:
    """Give a command `--config` and `--print-config`, and its settings in full to the manifest."""
    run = command.callback
    assert run is not None

    @wraps(run)
    def wrapped(**given: Any) -> Any:
        from gotd.artifacts import recorded
        from gotd.config import to_yaml

        context = click.get_current_context()
        shown = given.pop(_PRINT)
        settings = {key: _plain(given[str(param.name)]) for key, param in _settings(context.command).items()}
        if shown:
            click.echo(to_yaml(settings), nl=False)
            return None
        with recorded(str(context.command.name), settings):
            return run(**given)

    command.callback = wrapped
    path = click.Path(path_type=Path)
    command.params += [
        click.Option(["--config", "-c"], type=path, is_eager=True, expose_value=False, callback=_load, help=_HELP),
        click.Option(["--print-config"], is_flag=True, help="Print all settings as such a file, and do nothing else."),
    ]
    return command


def _settings(command: click.Command) -> dict[str, click.Parameter]:
    """What a file may set, by name: the long flag's, or the argument's."""
    found = {}
    for param in command.params:
        longest = max(param.opts, key=len).removeprefix("--").replace("-", "_")
        if longest not in (_FILE, _PRINT):
            found[longest] = param
    return found


def _load(context: click.Context, option: click.Parameter, path: Path | None) -> None:
    if path is None or context.resilient_parsing:
        return
    from gotd.config import read_config, unknown
    from gotd.corpus.files import split_name
    from gotd.errors import SettingsError

    if split_name(str(path)) is not None and path.suffix != ".json":
        raise SettingsError(f"{path}: is data, wanted a YAML file of settings. Candidates are given by --candidates")
    known = _settings(context.command)
    values = {}
    for name, entry in read_config(path).items():
        if name not in known:
            raise unknown(name, known, entry.place, f"gotd {context.command.name}")
        if entry.texts or entry.listed:
            values[str(known[name].name)] = _value(context, name, known[name], entry)
    context.default_map = values


def _value(context: click.Context, name: str, param: click.Parameter, entry: Any) -> Any:
    """The value of an entry, held to the type of its flag here, where file and line are known."""
    from gotd.errors import SettingsError

    several = getattr(param, "multiple", False) or param.nargs != 1
    if entry.listed and not several:
        raise SettingsError(f"{entry.place}: {name}: found a list, wanted one value")
    if isinstance(param, click.Option) and param.is_flag:
        if entry.truth is None:
            raise SettingsError(f'{entry.place}: {name}: found "{entry.texts[0]}", wanted true or false')
        return entry.truth
    value = list(entry.texts) if several else entry.texts[0]
    try:
        param.type_cast_value(context, value)
    except click.BadParameter as error:
        raise SettingsError(f"{entry.place}: {name}: {error.message}") from None
    return value


def _plain(value: Any) -> Any:
    """A value as YAML and JSON hold it."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
