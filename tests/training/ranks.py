"""What each of two processes does that tests/training/test_together.py starts by torchrun.

ranks.py FOLDER: holds asked.json, with the models and data that the test made; gets what came of it, by rank
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import torch

from gotd.cli import main
from gotd.errors import GotdError
from gotd.training import together, trainer
from gotd.training.finetune import finetune
from gotd.training.settings import Machine
from gotd.training.warmup import warmup

FOLDER = Path(sys.argv[1])
ASKED = orjson.loads((FOLDER / "asked.json").read_bytes())
RANK = int(os.environ["RANK"])
CPU = Machine("cpu")
together.WAIT = timedelta(minutes=2)  # one that waits in vain is to end
found: dict[str, Any] = {}


def warm(name: str, output: str, **given: Any) -> None:
    given = {**ASKED["warmup"], "machine": Machine("cpu", 2), **given}
    told = warmup(ASKED[name], ASKED["data"], FOLDER / output, progress=heard, **given).manifest
    found[output] = {"held_out": told["loss"]["held_out"], "resumed": told["steps"]["resumed"]}


def heard(stage: str, done: int, total: int) -> None:
    if stage == "warming up":
        found.setdefault("heard", []).append(done)


def ended_by(work: Callable[[], object]) -> list[str]:
    """The error that ended it, by its class and its words."""
    try:
        work()
    except GotdError as error:
        return [type(error).__name__, str(error)]
    return []


@contextmanager
def stopped_at(step: int) -> Iterator[None]:
    """Both processes are stopped after this step, as Ctrl-C does."""
    tell = trainer._Tell.on_step_end

    def stop(self: Any, args: Any, state: Any, control: Any, **named: Any) -> None:
        tell(self, args, state, control, **named)
        if state.global_step == step:
            raise KeyboardInterrupt

    with patch.object(trainer._Tell, "on_step_end", stop):
        try:
            yield
        except KeyboardInterrupt:
            return
    raise AssertionError(f"step {step} never came")


@contextmanager
def infinite_on_one() -> Iterator[None]:
    """The loss of the second process alone is infinite, and its gradient is finite all the same."""
    compute = trainer._Trainer.compute_loss

    def infinite(self: Any, *given: Any, **named: Any) -> Any:
        loss = compute(self, *given, **named)
        return loss + torch.inf if RANK == 1 and self.state.global_step == 2 else loss

    with patch.object(trainer._Trainer, "compute_loss", infinite):
        yield


@contextmanager
def in_shards() -> Iterator[list[int]]:
    """FSDP. Accelerate shards on GPUs alone: it is told that these are two, and shards over gloo.

    Yields:
        How many numbers of the weights this process had in training.
    """
    from accelerate import DistributedType, PartialState

    flags = {"ACCELERATE_USE_FSDP": "true", "ACCELERATE_TORCH_DEVICE": "cpu", "FSDP_VERSION": "2"}
    flags |= {"FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP", "FSDP_TRANSFORMER_CLS_TO_WRAP": "GPT2Block"}
    flags |= {"FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT", "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}
    had: list[int] = []
    norm = trainer._Trainer._get_grad_norm

    def counted(self: Any, model: Any, *given: Any, **named: Any) -> Any:
        had.append(sum(weight.to_local().numel() for weight in model.parameters()))
        return norm(self, model, *given, **named)

    gpus = patch.object(PartialState, "_prepare_backend", lambda *_: ("gloo", DistributedType.MULTI_GPU))
    allowed = patch.object(together, "_check_device", lambda device: None)
    with gpus, allowed, patch.dict(os.environ, flags), patch.object(trainer._Trainer, "_get_grad_norm", counted):
        yield had


def command(*arguments: str) -> Any:
    """The exit code of a command."""
    try:
        main([*ASKED["command"], *arguments])
    except SystemExit as ended:
        return ended.code


if RANK == 1:
    for name in ("artifacts.settle", "training.language.save_model", "training.classify.save_model"):
        patch(f"gotd.{name}", side_effect=AssertionError("the second process writes")).start()
found["uneven"] = ended_by(lambda: warm("even", "uneven", batch=9))
found["pinned"] = ended_by(lambda: warm("even", "uneven", machine=Machine("cpu:0")))
warm("even", "two")
found["otherwise"] = ended_by(lambda: warm("even", "two", lr=1e-5))
warm("dropout", "whole")
with stopped_at(3):
    warm("dropout", "halves")
warm("dropout", "halves")
with stopped_at(3):
    warm("even", "fewer")
with infinite_on_one():
    found["infinite"] = ended_by(lambda: warm("even", "infinite"))
finetune(ASKED["masked"], ASKED["labelled"], FOLDER / "tuned", machine=CPU, **ASKED["finetune"])
with in_shards() as had:
    warm("even", "sharded")
found["had"] = had[0]
found["codes"] = [command("--batch-size", "7", "--output", str(FOLDER / "said"))]
found["codes"].append(command("--output", str(FOLDER / "said")))
(FOLDER / f"found-{RANK}.json").write_bytes(orjson.dumps(found))
