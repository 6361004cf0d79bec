"""The chosen documents of a selection folder, best first: the record as it was beside the text that was scored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from gotd.corpus.documents import Unusable
from gotd.corpus.files import find
from gotd.corpus.lines import blocks
from gotd.corpus.streams import BrokenStream
from gotd.corpus.texts import known_text
from gotd.errors import ArtifactError
from gotd.potential_file import FILE_NAME
from gotd.selection.methods import GOTD
from gotd.stages.selected import Selection

Message = dict[str, str]
_ROWS = 1024
_CALLS = ("tool_calls", "function_call")


@dataclass(frozen=True, slots=True)
class Chosen:
    """One document of a selection.

    Attributes:
        text: what was scored.
        rank: 1 is the best.
        record: as in `selected.*`, with the key `gotd`.
    """

    id: str
    source: str
    text: str
    score: float
    rank: int
    record: dict[str, Any]

    @property
    def is_chat(self) -> bool:
        """Whether what was scored is the chat in `messages`, and not another field beside it."""
        if not isinstance(self.record.get("messages"), list):
            return False
        try:
            return known_text({"messages": self.record["messages"]}) == self.text
        except Unusable:
            return False

    @property
    def messages(self) -> list[Message]:
        """Role and content of each turn of a chat.

        Raises:
            Unusable: a turn is more than a role and a string.
        """
        return [_message(turn) for turn in self.record["messages"]]

    @property
    def licence(self) -> str | None:
        """What the record says of its licence in `license`; None if nothing."""
        found = self.record.get("license")
        several = found if isinstance(found, list) else [found]
        return ", ".join(one.strip() for one in several if isinstance(one, str) and one.strip()) or None


def chosen(selection: Selection) -> Iterator[Chosen]:
    """The documents of a selection, best first.

    Raises:
        ArtifactError: its files are damaged or do not belong together.
    """
    count = 0
    for scored, record in zip(_scored(selection.folder / "selected.arrow"), _records(selection.path)):
        if record.get("gotd", {}).get("id") != scored["id"]:
            raise ArtifactError(f"{selection.path}: row {scored['rank']} is not {scored['id']}; choose again")
        count += 1
        yield Chosen(
            id=scored["id"],
            source=scored["source"],
            text=scored["text"],
            score=scored["score"],
            rank=scored["rank"],
            record=record,
        )
    if count != len(selection):
        raise ArtifactError(f"{selection.path} holds {count} records, wanted {len(selection)}; choose again")


def selector(folder: Path) -> dict[str, Any]:
    """How the potential beside a selection was fitted: method, encoder, cost, reg (in units of the cost), debias."""
    from safetensors import SafetensorError, safe_open

    path = folder / FILE_NAME
    try:
        with safe_open(str(path), framework="numpy") as content:
            about = orjson.loads((content.metadata() or {})["gotd"])
    except (OSError, SafetensorError, KeyError, orjson.JSONDecodeError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); choose again") from error
    method = about["method"]
    return {
        "method": GOTD if method is None else method["method"],
        "encoder": about["encoder"]["spec"],
        **{name: about[name] for name in ("cost", "reg", "debias")},
    }


def _message(turn: Any) -> Message:
    role, content = turn.get("role"), turn.get("content")
    calls = [name for name in _CALLS if turn.get(name)]
    if calls or not (isinstance(role, str) and isinstance(content, str)):
        found = f"a turn with {calls[0]}" if calls else "a turn without a role, or whose content is no string"
        raise Unusable("chat-not-plain", f"found {found}, wanted role and content. Pass --text to write it as text.")
    return {"role": role, "content": content}


def _scored(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of `selected.arrow`."""
    try:
        with pa.memory_map(str(path)) as file:
            for batch in _batches(pa.ipc.open_file(file)):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); choose again") from error


def _batches(table: Any) -> Iterator[Any]:
    for number in range(table.num_record_batches):
        batch = table.get_batch(number)
        for start in range(0, batch.num_rows, _ROWS):
            yield batch.slice(start, _ROWS)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of `selected.jsonl`, `selected.jsonl.zst` or `selected.parquet`."""
    try:
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as table:
                for batch in table.iter_batches(_ROWS):
                    yield from batch.to_pylist()
        else:
            for block in blocks(find(path, digest=False)[0]):
                yield from map(orjson.loads, block.lines())
    except (OSError, pa.ArrowException, BrokenStream, orjson.JSONDecodeError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); choose again") from error
