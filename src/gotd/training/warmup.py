"""Stage I: let a pretrained model read the selection, without labels, before it is fine-tuned (Kang et al. 2024).

model, selection [, target, reference] -> warm/: the model, its tokenizer, manifest.json
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gotd.artifacts import open_artifact, released_by_errors, versions
from gotd.corpus import Fields, Inputs, OnError, RejectWriter
from gotd.engine import Progress, silent
from gotd.errors import SettingsError
from gotd.training.documents import Texts, inputs_of, texts_of
from gotd.training.models import check_finished, kind_of, model_inputs, need_training, quiet
from gotd.training.settings import Machine, recipe
from gotd.training.together import first, first_opens, together, world

PACKAGES = ("gotd", "torch", "transformers", "accelerate", "peft", "tokenizers", "numpy")
REJECTS = "rejects.jsonl"
CHECKPOINTS = "checkpoints"
REFERENCE_SAMPLE = 20_000
TARGET_SAMPLE = 2_000


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """The folder of a finished training.

    Attributes:
        folder: holds the model, as `from_pretrained` takes it.
        manifest: settings, inputs, losses before and after, tokens, seconds.
    """

    folder: Path
    manifest: dict[str, Any] = field(repr=False)


@together
@released_by_errors()
def warmup(
    model: str,
    data: Inputs,
    output: Path | str,
    *,
    target: Inputs | None = None,
    reference: Inputs | None = None,
    replay: float | str = 0.0,
    preset: str | None = None,
    fields: Fields | None = None,
    target_fields: Fields | None = None,
    on_error: OnError = "skip",
    machine: Machine | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    **given: Any,
) -> TrainedModel:
    """Warm a causal or masked language model up.

    Args:
        model: folder or hub name; its config says which of the two it is.
        data: the folder of a selection, or files.
        output: folder for the model, its tokenizer, `rejects.jsonl` and the manifest.
        target: held-out examples of the task: their loss says which weights to keep, and when to stop.
        reference: what the model was trained on, for `replay`.
        replay: share of the training tokens from the reference, such as `10%` or 0.1.
        preset: `paper-bert` or `paper-gpt2`; what is given beside it goes before.
        given: fields of `Recipe`.

    Raises:
        SettingsError: the loss is not finite, memory ran out, or the settings do not fit the model.
    """
    need_training("warmup", *(("peft",) if given.get("lora") else ()))
    check_finished(model)
    share = share_of(replay)
    _check_replay(share, reference)
    with quiet():
        kind = kind_of(model)
    how, where = recipe(kind, preset, **given), machine or Machine()
    where.portion(how.batch, world())
    fields = fields or Fields()
    target_fields = target_fields or fields.of_target()
    inputs = {"model": model_inputs(model), "data": inputs_of(data)}
    inputs |= {name: inputs_of(value) for name, value in (("target", target), ("reference", reference)) if value}
    asked = {"kind": kind, "preset": preset, "replay": share, "on_error": on_error, **asdict(how)}
    asked |= {"fields": asdict(fields), "target_fields": asdict(target_fields) if target else None}
    artifact = first_opens(lambda: open_artifact(output, "warmup", asked, inputs, overwrite=overwrite))
    finished = first(lambda: artifact.finished)
    if finished is not None:
        return TrainedModel(artifact.folder, finished)
    started = time.perf_counter()
    progress("reading", 0, 1)
    read = {"data": texts_of(data, fields, on_error=on_error, what="data")}
    if target is not None:
        sizes = {"size": TARGET_SAMPLE, "seed": how.seed}
        read["target"] = texts_of(target, target_fields, on_error=on_error, what="target", **sizes)
    if reference is not None:
        sizes = {"size": REFERENCE_SAMPLE, "seed": how.seed}
        read["reference"] = texts_of(reference, fields, on_error=on_error, what="reference", **sizes)
    first(lambda: write_rejects(artifact.folder, read))
    from gotd.training.language import train_language

    found = train_language(
        model,
        read["data"].texts,
        artifact.folder,
        kind,
        how,
        where,
        checkpoints=artifact.folder / CHECKPOINTS,
        held_out=read["target"].texts if "target" in read else (),
        reference=read["reference"].texts if "reference" in read else (),
        replay=share,
        what="warming up",
        progress=progress,
    )
    told = {
        "counts": counts(read),
        **found.told(),
        "seconds_total": time.perf_counter() - started,
        "versions": versions(PACKAGES),
    }
    manifest = first(lambda: artifact.finish(told))
    return TrainedModel(artifact.folder, manifest)


def _check_replay(share: float, reference: Inputs | None) -> None:
    if share and reference is None:
        raise SettingsError("replay mixes in what the model was trained on; pass --reference with it")
    if reference is not None and not share:
        raise SettingsError("a reference is read for replay only; pass --replay 10% with it")


def share_of(value: float | str) -> float:
    """`10%` or 0.1."""
    try:
        share = float(value.rstrip("% ")) / 100 if isinstance(value, str) and "%" in value else float(value)
    except ValueError:
        share = math.nan
    if not 0 <= share < 1:
        raise SettingsError(f'replay is "{value}"; wanted a share from 0% to below 100%, such as 10%')
    return share


def counts(read: dict[str, Texts]) -> dict[str, Any]:
    """Rows, texts used and rejects of each input."""
    return {
        name: {"rows": found.rows, "used": len(found.texts), "rejected": len(found.rejects)}
        for name, found in read.items()
    }


def write_rejects(folder: Path, read: dict[str, Texts]) -> None:
    with RejectWriter(folder / REJECTS) as out:
        for found in read.values():
            for reject in found.rejects:
                out.write(reject)
