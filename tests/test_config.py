"""Settings from a YAML file: the same names, types and refusals as on the command line, with file and line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import orjson
import pytest
import yaml
from click.testing import CliRunner
from commands import run

from gotd.cli import main
from gotd.cli.config import configurable
from gotd.config import read_config, to_yaml
from gotd.errors import InputError, SettingsError

Config = Callable[[str], Path]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """config(text) -> path of `run.yaml` with that text."""

    def made(text: str) -> Path:
        path = tmp_path / "run.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return made


def printed(*arguments: object) -> dict[str, Any]:
    """What `--print-config` prints."""
    found = run(*arguments, "--print-config")
    assert (found.exit_code, found.stderr) == (0, "")
    settings = yaml.safe_load(found.stdout)
    assert isinstance(settings, dict)
    return settings


REQUIRED = "candidates: pool\ntarget: task.jsonl\nbudget: 5docs\noutput: out\n"


# The file


def test_values_are_the_text_that_stands_there(config: Config) -> None:
    """YAML 1.1 would read the first three as False, a string and a date."""
    found = read_config(
        config("dedup: off\nreg: 1e-1\nname: 2024-01-01\nbudget: 5%\ntext: \"{a}\\n{b}\"\nmany: [a, 'b']\n")
    )
    assert {name: entry.texts for name, entry in found.items()} == {
        "dedup": ("off",),
        "reg": ("1e-1",),
        "name": ("2024-01-01",),
        "budget": ("5%",),
        "text": ("{a}\n{b}",),
        "many": ("a", "b"),
    }
    assert [entry.place.rpartition(":")[2] for entry in found.values()] == ["1", "2", "3", "4", "5", "6"]


def test_null_is_as_good_as_nothing_and_an_empty_file_as_no_settings(config: Config) -> None:
    assert read_config(config("keep:\nreg: null\n"))["reg"].texts == ()
    assert read_config(config("# nothing yet\n")) == {}


@pytest.mark.parametrize(
    ("text", "error", "named"),
    [
        ("reg: 1\nreg: 2\n", SettingsError, "run.yaml:2: reg is there twice, first at"),
        ("- a\n", SettingsError, "run.yaml:1: found a list, wanted `name: value`"),
        ("a\n", SettingsError, "run.yaml:1: found a value, wanted `name: value`"),
        ("a: {b: 1}\n", SettingsError, "run.yaml:1: a: found a mapping, wanted a value"),
        ("a: [[1]]\n", SettingsError, "run.yaml:1: a: found a list, wanted a value or a list of values"),
        ("[a]: 1\n", SettingsError, "run.yaml:1: found a list as a name"),
        ("a: 1\n  b: [\n", InputError, "run.yaml:2: is no YAML"),
        ("a: \0\n", InputError, "run.yaml: is no YAML"),
    ],
)
def test_what_is_wrong_with_a_file_is_named_by_line(
    config: Config, text: str, error: type[Exception], named: str
) -> None:
    with pytest.raises(error) as found:
        read_config(config(text))
    assert named in str(found.value)
    assert "\n" not in str(found.value)


def test_nothing_in_a_file_can_run(config: Config) -> None:
    """A tag that would have Python call a function is text like any other."""
    found = read_config(config("a: !!python/object/apply:os.abort []\nb: !!python/name:os.abort x\n"))
    assert found["b"].texts == ("x",)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"a: \xe9\n")
    for name in ("latin", "absent", "."):
        with pytest.raises(InputError, match=f"{tmp_path}.*pass a YAML file of settings"):
            read_config(tmp_path / name)


def test_to_yaml_is_read_back_to_the_same(config: Config) -> None:
    settings = {"a": "off", "b": 0.1, "c": ["x y", "5%"], "d": None, "e": True, "f": "{t}\\n: #é", "g": "1e3"}
    found = read_config(config(to_yaml(settings)))
    assert found["a"].texts == ("off",)
    assert found["c"].texts == ("x y", "5%")
    assert found["e"].truth is True
    assert found["f"].texts == ("{t}\\n: #é",)
    assert yaml.safe_load(to_yaml(settings)) == settings


# The command line


def test_a_file_sets_what_flags_set_and_flags_win(config: Config) -> None:
    path = config(REQUIRED + "reg: 2e-1\ndedup: off\ndebias: no\nfit-sample: 250\nseed: 3\nheld_out: [a, b]\n")
    found = printed("select", "-c", path, "--seed", 4, "-t", "other.jsonl")
    assert (
        found.items()
        >= {
            "candidates": ["pool"],
            "target": ["other.jsonl"],
            "budget": "5docs",
            "reg": 0.2,
            "dedup": "off",
            "debias": False,
            "centre": None,
            "fit_sample": 250,
            "seed": 4,
            "held_out": ["a", "b"],
            "target_sample": 5000,
        }.items()
    )


def test_what_is_printed_is_every_flag_and_makes_the_same_again(config: Config) -> None:
    first = printed("select", "-c", config(REQUIRED + "mix: .3\ntext_field: '{a}\\n{b}'\npaper: true\n"))
    flags = {max(param.opts, key=len).removeprefix("--").replace("-", "_") for param in main.commands["select"].params}
    assert set(first) == flags - {"config", "print_config"}
    assert printed("select", "--config", config(to_yaml(first))) == first


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("fit_sampel: 3", "5: fit_sampel: unknown; did you mean fit_sample?"),
        ("xyzzy: 3", "5: xyzzy: unknown; gotd select knows candidates, target"),
        ("config: a.yaml", "5: config: unknown"),
        ("workers: 2.5", "5: workers: '2.5' is not a valid"),
        ("workers: 0", "5: workers: 0 is not in the range"),
        ("dedup: far", "5: dedup: 'far' is not one of 'near', 'exact', 'off'"),
        ("reg: [1]", "5: reg: found a list, wanted one value"),
        ("paper: 1", '5: paper: found "1", wanted true or false'),
        ("paper: [true]", "5: paper: found a list, wanted one value"),
    ],
)
def test_a_value_that_a_flag_would_refuse_is_refused_by_line(config: Config, line: str, named: str) -> None:
    found = run("select", "-c", config(f"{REQUIRED}{line}\n"))
    assert (found.exit_code, found.stdout) == (1, "")
    assert f"run.yaml:{named}" in found.stderr
    assert found.stderr.count("\n") == 1


def test_values_are_still_held_to_what_the_stage_asks(config: Config, corpora) -> None:
    text = REQUIRED.replace("pool", corpora.pool).replace("task.jsonl", corpora.target)
    assert "reg is 0.0; wanted a positive fraction" in run("select", "-c", config(text + "reg: 0\n")).stderr


def test_data_given_for_a_file_of_settings_is_told_apart(corpora) -> None:
    """`-c` was the short flag of the candidates once."""
    found = run("select", "-c", corpora.files[0], "-t", corpora.target)
    assert found.exit_code == 1
    assert "is data, wanted a YAML file of settings. Candidates are given by --candidates" in found.stderr


def test_a_flag_that_neither_sets_is_missing(config: Config) -> None:
    found = run("select", "-c", config("candidates: pool\n"))
    assert found.exit_code == 2
    assert "Missing option '--target'" in found.stderr


def test_every_stage_takes_a_file(config: Config, corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments without a flag go by their names; relative paths are relative to the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()

    def done(command: str, text: str) -> dict[str, Any]:
        path = tmp_path / "elsewhere" / f"{command}.yaml"
        path.write_text(text)
        found = run(command, "-c", path, "--json")
        assert found.exit_code == 0, found.stderr
        return orjson.loads(found.stdout)

    done("fit", f"reference: {corpora.pool}\ntarget: {corpora.target}\noutput: fit\n")
    done("score", f"selector: fit\npool: ['{corpora.pool}']\noutput: scores\nworkers: 1\n")
    chosen = done("choose", "scores: scores\nbudget: 5docs\noutput: chosen\n")
    assert chosen["counts"]["selected"] == 5
    near = done("domains", f"candidates: {corpora.pool}\ntarget: {corpora.target}\nper_source: 25\n")
    assert len(near) == 2


def test_the_manifest_holds_every_flag_of_its_own_command(config: Config, corpora, tmp_path: Path) -> None:
    """Of `select` alone: the stages within it were not typed."""
    path = config(f"candidates: {corpora.pool}\ntarget: ['{corpora.target}']\nbudget: 5docs\nworkers: 1\n")
    asked = ("select", "-c", path, "-o", tmp_path / "out", "--seed", 2)
    assert run(*asked).exit_code == 0
    manifest = orjson.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert manifest["config"] == printed(*asked)
    assert manifest["config"]["seed"] == manifest["settings"]["seed"] == 2


def test_python_leaves_no_config(selected: Path) -> None:
    assert "config" not in orjson.loads((selected / "manifest.json").read_bytes())


def test_help_is_unharmed_by_a_bad_file(config: Config) -> None:
    found = run("select", "--help", "-c", config("nonsense: 1\n"))
    assert found.exit_code == 0
    assert "--config" in found.stdout


def test_any_command_can_be_given_the_flag(config: Config) -> None:
    """A pair of numbers, as a command to come may take."""

    @click.command()
    @click.option("--pair", type=(int, float))
    @click.option("--names", multiple=True)
    def made(pair: tuple[int, float], names: tuple[str, ...]) -> None:
        click.echo(f"{pair} {names}")

    path = config("pair: [1, 2.5]\nnames: one\n")
    assert CliRunner().invoke(configurable(made), ["-c", str(path)]).stdout == "(1, 2.5) ('one',)\n"
