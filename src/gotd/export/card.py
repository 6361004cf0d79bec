"""The dataset card: README.md, its front matter as the Hugging Face Hub documents it.

It states what is known, from the selection's manifest, and what is not: nothing is guessed. Folders of this machine
are left out, for a card is there to be published.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from gotd.config import to_yaml
from gotd.export.licences import Licences
from gotd.export.trainer import Shape, Trainer
from gotd.selection.methods import GOTD

# Steps of the Hub's `size_categories`.
_SIZES = (("n<1K", 10**3), ("1K<n<10K", 10**4), ("10K<n<100K", 10**5), ("100K<n<1M", 10**6), ("1M<n<10M", 10**7))
_LARGER = "10M<n<100M"
_PAPER = (
    "Kang et al., *Get more for less: Principled Data Selection for Warming Up Fine-Tuning in LLMs*, ICLR 2024, "
    "[arXiv:2405.02774](https://arxiv.org/abs/2405.02774)"
)
CONFIG = "select.yaml"
_OF_THE_RUN = ("output", "overwrite", "json", "dry_run", "workers", "executor", "device")


@dataclass(frozen=True, slots=True)
class About:
    """What a card tells of.

    Attributes:
        manifest: of the selection.
        selector: how the potential was fitted.
        trainer: who is to read the folder.
        shape: texts or chats.
        records: how many are in the file.
        rejected: how many chosen records are not.
        licences: of the sources.
    """

    manifest: Mapping[str, Any]
    selector: Mapping[str, Any]
    trainer: Trainer
    shape: Shape
    records: int
    rejected: int
    licences: Licences


def card(about: About) -> str:
    """README.md."""
    parts = ["---\n" + to_yaml(_front(about)) + "---", *_sections(about)]
    return "\n\n".join(parts) + "\n"


def flags_again(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The flags of `gotd select` that make a selection again, without paths of this machine; empty if not so made."""
    typed = manifest.get("config") if manifest["kind"] == "select" else None
    kept = {name: value for name, value in (typed or {}).items() if name not in _OF_THE_RUN}
    return {name: _without_folders(value) for name, value in kept.items() if value not in (None, [])}


def _front(about: About) -> dict[str, Any]:
    size = next((name for name, below in _SIZES if about.records < below), _LARGER)
    return {
        "pretty_name": _title(about),
        **about.licences.hub(),
        "task_categories": ["text-generation"],
        "size_categories": [size],
        "tags": ["gotd", "data-selection", "optimal-transport"],
        "configs": [
            {"config_name": "default", "data_files": [{"split": "train", "path": about.trainer.data}]},
        ],
    }


def _title(about: About) -> str:
    return f"{about.records:,} documents chosen by gotd"


def _sections(about: About) -> Iterator[str]:
    found = about.manifest
    counts, versions = found["counts"], found["versions"]
    yield f"# {_title(about)}"
    yield (
        f"Chosen from {counts['read']:,} rows by gotd {versions['gotd']}, which picks the documents that bring what a "
        f"language model has seen closest to a task, to warm it up with before it is fine-tuned. {_method(about)}"
    )
    yield f"## Use it with {about.trainer.title}"
    language = "python" if about.trainer.use.startswith("from ") else "sh"
    yield f"```{language}\n{about.trainer.use}\n```"
    yield f"Format: {about.trainer.documented}. {_fields(about)}"
    yield "## Sources and licences"
    yield "\n".join(_sources(about))
    yield (
        "Licences are those that the records state in `license`, or that were given for a source at export; "
        "gotd has checked none of them."
    )
    yield "## How it was chosen"
    yield "\n".join(_counts(about))
    yield "\n".join(_transport(found["transport"]))
    yield "Transport is not training: whether a warm-up on these lowers the loss on the task is for an experiment."
    yield f"Selector:\n\n```yaml\n{to_yaml(_without_folders(about.selector))}```"
    yield f"Settings of `gotd {found['kind']}`:\n\n```yaml\n{to_yaml(_without_folders(found['settings']))}```"
    yield "## Make it again"
    if flags_again(found):
        yield f"```sh\npip install gotd=={versions['gotd']}\ngotd select -c {CONFIG} --output runs/again\n```"
    else:
        how = "with the settings above, on scores by the selector above"
        yield f"`pip install gotd=={versions['gotd']}`, and `gotd.{found['kind']}` {how}."
    yield "Made with " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ", from these files:"
    yield "\n".join(f"- {line}" for line in _inputs(found))


def _method(about: About) -> str:
    name = about.selector["method"]
    if name != GOTD:
        return f"Here the documents were ranked by `{name}`, a method that gotd is compared with."
    return f"Method: gradients of optimal transport, after {_PAPER}."


def _fields(about: About) -> str:
    body = "`messages`: role and content of each turn" if about.shape == "chat" else "`text`: the document"
    return (
        f"A record of `{about.trainer.data}` has {body}; `id`; `source`; `license`, where any states one; "
        "`score`: the lower, the better; `rank`: 1 is the best. Records stand in the order of their rank."
    )


def _sources(about: About) -> Iterator[str]:
    yield "| source | in the pool | chosen | licence |"
    yield "|---|---:|---:|---|"
    rows = [(name, row) for name, row in about.manifest["sources"].items() if row["selected"]]
    for name, row in sorted(rows, key=lambda item: -item[1]["selected"]):
        licence = about.licences.of(name)
        yield f"| {_cell(name)} | {row['pool']:,} | {row['selected']:,} | {_cell(licence)} |"


def _counts(about: About) -> Iterator[str]:
    counts = about.manifest["counts"]
    yield (
        f"- {counts['read']:,} rows read: {counts['selected']:,} chosen, {counts['not_selected']:,} not chosen, "
        f"{counts['rejected']:,} rejected"
    )
    if of_target := about.manifest.get("from_target"):
        yield f"- chosen from the target itself: {of_target['selected']:,} of its {of_target['read']:,} rows"
    if "tokens" in counts:
        yield f"- {counts['tokens']:,} tokens chosen, as its tokenizer counts them"
    else:
        yield f"- about {counts['tokens_estimated']:,} tokens chosen, at four bytes each"
    yield f"- {about.manifest['duplicates']:,} documents passed over because they repeat a better one"
    if about.rejected:
        yield f"- {about.rejected:,} of the chosen left out of this folder: see `rejects.jsonl`"


def _transport(moved: Mapping[str, Any]) -> Iterator[str]:
    after = f"once the choice is {moved['mix']:.0%} of the reference"
    yield f"Distance from the reference to the target ({moved['measure']}), before and {after}:\n"
    yield "| before | predicted | solved again | a random choice |"
    yield "|---:|---:|---:|---:|"
    yield "| " + " | ".join(f"{moved[name]:.4f}" for name in ("before", "predicted", "after", "random")) + " |"


def _inputs(found: Mapping[str, Any]) -> Iterator[str]:
    """Names and digests of what was read."""
    if found["kind"] == "select":
        for role, lines in found["inputs"].items():
            for path, _, digest in (line.rpartition(" ") for line in lines):
                yield f"{role}: `{_without_folders(path)}` {digest}"
        return
    for file in found["files"]:
        yield f"candidates: `{_without_folders(file['path'])}` {file['digest']}"


def _without_folders(value: Any) -> Any:
    """An absolute path of this machine as the name of its file; anything else as it is."""
    if isinstance(value, list):
        return [_without_folders(one) for one in value]
    if isinstance(value, dict):
        return {_without_folders(name): _without_folders(one) for name, one in value.items()}
    if isinstance(value, str) and (PurePath(value).is_absolute() or value.startswith("~")):
        return PurePath(value).name
    return value


def _cell(text: str) -> str:
    """Text within a cell of a table, whatever a source may be called."""
    return re.sub(r"([\\|`*_\[\]<>])", r"\\\1", " ".join(text.split()))
