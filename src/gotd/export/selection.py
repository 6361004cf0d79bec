"""Write an export: data, rejects, config, card, and the manifest last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gotd.artifacts import digest, open_artifact, released_by_errors
from gotd.config import to_yaml
from gotd.corpus import RejectWriter
from gotd.corpus.documents import Unusable, reject
from gotd.errors import InputError, SettingsError
from gotd.export.card import CONFIG, About, card, flags_again
from gotd.export.licences import NOT_STATED, Licences, parse_licences
from gotd.export.records import Chosen, chosen, selector
from gotd.export.sinks import open_sink
from gotd.export.trainer import Shape, Task, Trainer
from gotd.export.trainers import TRAINERS
from gotd.stages.selected import Selection

REJECTS = "rejects.jsonl"
MODEL = "MODEL"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: `gotd export`.

    Attributes:
        folder: where.
        manifest: settings, counts, and which file holds the records.
    """

    folder: Path
    manifest: dict[str, Any]

    def __len__(self) -> int:
        return int(self.manifest["counts"]["exported"])

    @property
    def path(self) -> Path:
        """The file of records."""
        return self.folder / str(self.manifest["data"])


@released_by_errors()
def export_selection(
    selection: Selection | Path | str,
    to: str,
    output: Path | str,
    *,
    licences: Sequence[str] = (),
    chat: bool | None = None,
    model: str = MODEL,
    overwrite: bool = False,
) -> Exported:
    """Write a finished selection as a trainer reads it.

    Args:
        selection: what `select` or `choose` returned, or its folder.
        to: `trl`, `llama-factory`, `axolotl`, `datasets` or `megatron`.
        output: folder for the data, the config, the card and the manifest.
        licences: `SOURCE=ID` for documents whose record states none in `license`.
        chat: whether `messages` stay chats; left out, they do where every record is one and the trainer reads them.
        model: the model that the config names.
        overwrite: replace what another command left in `output`.

    Raises:
        SettingsError: no such trainer, or one that reads no chats.
        ArtifactError: the selection is unfinished or damaged.
        InputError: no record can be written.
    """
    found = selection if isinstance(selection, Selection) else Selection.load(selection)
    trainer = _trainer(to, chat)
    given = parse_licences(licences, found.manifest["sources"])
    settings = {"to": to, "licences": given, "chat": chat, "model": model}
    inputs = {"selection": [digest(found.manifest)]}
    artifact = open_artifact(output, "export", settings, inputs, overwrite=overwrite, reads=[found.folder])
    if (manifest := artifact.finished) is not None:
        return Exported(artifact.folder, manifest)
    shape = _shape(found, trainer, chat)
    about = _written(found, artifact.folder, trainer, shape, Licences(given))
    if not about.records:
        raise InputError(f"{found.path}: none of {about.rejected} records is a chat that {to} reads. Pass --text")
    files = {**trainer.config(Task(shape, model)), **_again(found), "README.md": card(about)}
    for name, text in files.items():
        (artifact.folder / name).write_text(text, encoding="utf-8")
    counts = {"selected": len(found), "exported": about.records, "rejected": about.rejected}
    sources = {source: about.licences.of(source) for source in about.licences.counts}
    manifest = artifact.finish(
        {
            "data": trainer.data,
            "shape": shape,
            "counts": counts,
            "licences": sources,
            "licences_unused": sorted(about.licences.unused),
            "use": trainer.use,
            "files": [trainer.data, REJECTS, *files],
        }
    )
    return Exported(artifact.folder, manifest)


def _trainer(to: str, chat: bool | None) -> Trainer:
    if to not in TRAINERS:
        raise SettingsError(f'trainer is "{to}"; wanted {", ".join(TRAINERS)}')
    if chat and not TRAINERS[to].chats:
        raise SettingsError(f"{TRAINERS[to].title} reads texts alone; pass --text, or export to another trainer")
    return TRAINERS[to]


def _shape(selection: Selection, trainer: Trainer, chat: bool | None) -> Shape:
    if chat is None:
        chat = trainer.chats and all(one.is_chat for one in chosen(selection))
    return "chat" if chat else "text"


def _written(selection: Selection, folder: Path, trainer: Trainer, shape: Shape, licences: Licences) -> About:
    """The file of records and that of rejects, and what there is to tell of them."""
    records = 0
    # `datasets` takes the columns of JSONL from its first 10 MB, and a later one stops it: all records have it or none.
    unknown = NOT_STATED if any(one.licence or one.source in licences.given for one in chosen(selection)) else None
    with RejectWriter(folder / REJECTS) as rejects, open_sink(folder / trainer.data, shape) as out:
        for one in chosen(selection):
            licence = licences.add(one.source, one.licence)
            try:
                body = _body(one, shape, trainer)
            except Unusable as fault:
                rejects.write(reject(str(selection.path), one.rank, fault, one.text))
                continue
            known = {"id": one.id, "source": one.source, "license": licence or unknown}
            out.write({**body, **known, "score": one.score, "rank": one.rank})
            records += 1
    return About(selection.manifest, selector(selection.folder), trainer, shape, records, rejects.total, licences)


def _body(one: Chosen, shape: Shape, trainer: Trainer) -> dict[str, Any]:
    """What a trainer reads of a document.

    Raises:
        Unusable: it is no chat, or none that the trainer reads.
    """
    if shape == "text":
        return {"text": one.text}
    if not one.is_chat:
        raise Unusable("no-chat", "found no chat in messages, wanted one. Pass --text to write it as text.")
    messages = one.messages
    if fault := trainer.fault([message["role"] for message in messages]):
        raise Unusable("chat-not-in-turn", f"{fault} Pass --text to write it as text.")
    return {"messages": messages}


def _again(selection: Selection) -> dict[str, str]:
    """The flags that make the selection again, as a file; nothing where it was not made by `gotd select`."""
    flags = flags_again(selection.manifest)
    return {CONFIG: to_yaml(flags)} if flags else {}
