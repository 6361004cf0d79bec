"""The text of a record: a field, a template over fields, or one of the shapes that everybody uses."""

from __future__ import annotations

from string import Formatter
from typing import Any

from gotd.corpus.documents import Unusable
from gotd.errors import SettingsError

Record = dict[str, Any]
Part = tuple[str, str | None]  # literal text, then the field that follows it


def one_field(row: Record, name: str) -> str:
    """The text in one named field."""
    value = row.get(name)
    if type(value) is str:
        return value
    if value is None:
        raise _missing(row, name)
    raise _not_text(name, value)


def known_text(row: Record) -> str:
    """The text under a usual name: `text`, `content`, chat `messages`, alpaca's three fields."""
    value = row.get("text")
    if type(value) is str:
        return value
    for name in ("text", "content"):
        value = row.get(name)
        if value is not None:
            return one_field(row, name)
    if row.get("messages") is not None:
        return _chat_text(row["messages"])
    if row.get("instruction") is not None:
        return _alpaca_text(row)
    raise _missing(row, "text")


def parse_template(template: str) -> list[Part]:
    """Split `"{title}\\n{abstract}"` into literals and fields; a typed `\\n` is a newline."""
    try:
        parsed = list(Formatter().parse(template.replace("\\n", "\n").replace("\\t", "\t")))
    except ValueError as error:
        raise SettingsError(f'text field "{template}" is no template: {error}. Write {{field}}.') from None
    for _, name, spec, conversion in parsed:
        if name == "" or spec or conversion:
            raise SettingsError(
                f'text field "{template}" is no template: wanted plain field names in braces, '
                'such as "{title}\\n{abstract}".'
            )
    return [(literal, name) for literal, name, _, _ in parsed]


def template_text(row: Record, parts: list[Part]) -> str:
    """Fill a template; numbers are welcome here, since they stand among words."""
    pieces = []
    for literal, name in parts:
        pieces.append(literal)
        if name is None:
            continue
        value = row.get(name)
        if type(value) is str:
            pieces.append(value)
        elif type(value) in (int, float):
            pieces.append(str(value))
        elif value is None:
            raise _missing(row, name)
        else:
            raise _not_text(name, value)
    return "".join(pieces)


def field_list(row: Record) -> str:
    """The names of the first fields, for messages."""
    names = [f'"{name[:40]}"' for name in list(row)[:8]]
    return ", ".join(names) + (", ..." if len(row) > 8 else "") if names else "no field at all"


def _chat_text(messages: object) -> str:
    if not isinstance(messages, list):
        raise _not_text("messages", messages)
    turns = [_turn_text(message) for message in messages]
    return "\n\n".join(turn for turn in turns if turn)


def _turn_text(message: object) -> str:
    content = message.get("content") if isinstance(message, dict) else message
    if isinstance(message, dict) and (content is None or isinstance(content, str)):
        return content or ""  # a turn that only calls a tool has no content
    if isinstance(message, dict) and isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return "\n".join(text for text in texts if isinstance(text, str))
    raise Unusable(
        "text-not-text",
        f'found {type(content).__name__} in "messages", wanted a list of {{"role", "content"}} '
        "with strings as content. Mend the row or pass --text-field.",
    )


def _alpaca_text(row: Record) -> str:
    present = [name for name in ("instruction", "input", "output") if row.get(name) is not None]
    return "\n\n".join(text for text in (one_field(row, name) for name in present) if text.strip())


def _missing(row: Record, name: str) -> Unusable:
    if name in row:
        return Unusable("text-missing", f'found null in "{name}", wanted a string. Fill it in or remove the row.')
    longest = max((key for key in row if isinstance(row[key], str)), key=lambda key: len(row[key]), default=None)
    remedy = f"Pass --text-field {longest[:40]}." if longest else "Fill it in or remove the row."
    return Unusable("text-missing", f'no field "{name}"; found {field_list(row)}. {remedy}')


def _not_text(name: str, value: object) -> Unusable:
    return Unusable(
        "text-not-text",
        f'found {type(value).__name__} in "{name}", wanted a string. Write it as text, or pass another --text-field.',
    )
