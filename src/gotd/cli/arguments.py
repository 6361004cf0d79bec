"""Flags as the arguments of a stage: several that belong together become the one thing that they describe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gotd.stages.fit_settings import FitSettings


def gathered(command: Callable[..., None]) -> Callable[..., None]:
    """Turn the many options about fields into `fields` and `target_fields`, and targets into targets."""

    @wraps(command)
    def run(**given: Any) -> None:
        from gotd.corpus import Fields
        from gotd.stages.targets import Target

        for name in {"target", "avoid"} & given.keys():
            given[name] = [Target.parse(text) for text in given[name]]
        if "method_options" in given:
            given["method_options"] = _named_values(given["method_options"])
        fields = given["fields"] = Fields(**field_parts(given))
        if "target_text_field" in given:
            text = given.pop("target_text_field")
            given["target_fields"] = None if text is None else replace(fields.of_target(), text=text)
        command(**given)

    return run


def field_parts(given: dict[str, Any]) -> dict[str, Any]:
    """Take the flags about fields out of those given: what they say of `Fields`, where they say anything."""
    names = {"text": "text_field", "id": "id_field", "source": "source_field", "embedding": "embedding_field"}
    parts = {name: given.pop(option) for name, option in names.items()}
    parts |= {name: given.pop(name) for name in ("chunk_chars", "min_chars", "text_per")}
    return {name: value for name, value in parts.items() if value is not None}


def warmed_up(command: Callable[..., None]) -> Callable[..., None]:
    """Turn the flags about training into `warm_up`; None where none is given."""

    @wraps(command)
    def run(**given: Any) -> None:
        from gotd.selection.mix import WarmUp

        flags = {name: given.pop(name) for name in WarmUp.__dataclass_fields__}
        parts = {name: value for name, value in flags.items() if value is not None}
        command(**given, warm_up=WarmUp(**parts) if parts else None)

    return run


def fit_settings_of(given: dict[str, Any]) -> FitSettings:
    """Take the flags of a fit out of those given."""
    from gotd.pipeline import fit_settings
    from gotd.stages.fit_settings import FitSettings

    names = [*FitSettings.__dataclass_fields__, "paper"]
    return fit_settings(**{name: given.pop(name) for name in names if name in given})


def _named_values(given: tuple[str, ...]) -> dict[str, Any]:
    """`sample=500` as a number, `noise=false` as a truth value, `kind=mean` as a word."""
    import orjson

    from gotd.errors import SettingsError

    values: dict[str, Any] = {}
    for pair in given:
        name, sign, value = pair.partition("=")
        if not sign:
            raise SettingsError(f'--method-option is "{pair}"; wanted NAME=VALUE, such as kind=mean')
        try:
            values[name] = orjson.loads(value)
        except orjson.JSONDecodeError:
            values[name] = value
    return values
