"""Two processes that train together, started by torchrun, against one: over gloo, on the CPU."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from safetensors.torch import load_file

from gotd.errors import SettingsError
from gotd.training.batches import collator
from gotd.training.finetune import finetune
from gotd.training.language import causal_loss
from gotd.training.memory import memory_advice
from gotd.training.settings import Machine, Recipe
from gotd.training.warmup import warmup

CPU = Machine("cpu")
# 25 windows: three steps of eight, and one of a single window that two processes share, with copies of it.
WARMUP: dict[str, Any] = {"lr": 3e-3, "batch": 8, "window": 32, "measurements": 4}
# 35 examples: the last step has three.
FINETUNE: dict[str, Any] = {"label_field": "label", "lr": 3e-3, "batch": 8, "epochs": 1.0}
ROUNDING = 2e-5


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def apart(one: Path, other: Path) -> float:
    """The largest difference between two models' weights; what the second holds twice is looked at once."""
    first, second = weights(one), weights(other)
    assert first.keys() <= second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def without_dropout(model: Path, folder: Path) -> Path:
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    config.update({name: 0.0 for name in config if name.endswith(("pdrop", "dropout_prob"))})
    (folder / "config.json").write_text(json.dumps(config))
    return folder


class Two:
    """What the two processes left and said.

    Attributes:
        folder: their outputs, by name, and `even` and `masked`, models without dropout.
        found: of each rank, see `ranks.py`.
        asked: what they were asked.
        ran: output and exit code of torchrun.
    """

    def __init__(self, folder: Path, asked: dict[str, Any]) -> None:
        (folder / "asked.json").write_bytes(orjson.dumps(asked))
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        script = str(Path(__file__).with_name("ranks.py"))
        self.ran = subprocess.run([*launch, script, str(folder)], capture_output=True, text=True)
        assert self.ran.returncode == 0, self.ran.stderr
        self.folder, self.asked = folder, asked
        self.found = [orjson.loads((folder / f"found-{rank}.json").read_bytes()) for rank in (0, 1)]


@pytest.fixture(scope="module")
def two(gpt: Path, mlm: Path, text: Any, tmp_path_factory: pytest.TempPathFactory) -> Two:
    folder = tmp_path_factory.mktemp("two")

    def write(name: str, rows: list[dict[str, str]]) -> str:
        (folder / name).write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        return str(folder / name)

    data = write("data.jsonl", [{"text": text(i, True, 12)} for i in range(32)])
    dev = write("dev.jsonl", [{"text": text(1000 + i, True, 12)} for i in range(10)])
    labelled = write("labelled.jsonl", [{"text": text(i, i % 2 == 0, 8), "label": "ab"[i % 2]} for i in range(39)])
    even = str(without_dropout(gpt, folder / "even"))
    command = ["warmup", "--model", even, "--data", data, "--tokens", "300", "--window", "32", "--device", "cpu"]
    asked = {"even": even, "masked": str(without_dropout(mlm, folder / "masked")), "dropout": str(gpt)}
    asked |= {"data": data, "labelled": labelled, "command": command, "finetune": FINETUNE}
    return Two(folder, {**asked, "warmup": {**WARMUP, "target": dev}})


@pytest.fixture(scope="module")
def one(two: Two) -> Path:
    """The folder that one process leaves of the same warm-up."""
    asked = two.asked
    return warmup(asked["even"], asked["data"], two.folder / "one", machine=CPU, **asked["warmup"]).folder


def test_two_processes_end_in_the_weights_of_one(two: Two, one: Path) -> None:
    """Same order, one mean over the tokens of a step, however many processes share it."""
    assert apart(one, two.folder / "two") < ROUNDING
    assert apart(one, Path(two.asked["even"])) > 1e-3
    alone, both = (orjson.loads((folder / "manifest.json").read_bytes()) for folder in (one, two.folder / "two"))
    assert (alone["device"]["processes"], both["device"]["processes"]) == ("1", "2")
    # Adam forgives a gradient of twice the size; the loss does not.
    for mine, theirs in zip(alone["curve"], both["curve"]):
        assert (theirs["step"], theirs.keys()) == (mine["step"], mine.keys())
        assert "held_out" in mine or theirs["loss"] == pytest.approx(mine["loss"], rel=1e-5)
    assert both["tokens"] == alone["tokens"]
    assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in (two.folder / "two").iterdir())


def test_a_classifier_of_two_processes_is_that_of_one(two: Two) -> None:
    asked = two.asked
    alone = finetune(asked["masked"], asked["labelled"], two.folder / "tuned-alone", machine=CPU, **FINETUNE)
    assert apart(alone.folder, two.folder / "tuned") < ROUNDING
    told = orjson.loads((two.folder / "tuned" / "manifest.json").read_bytes())
    assert told["dev"]["macro_f1"] == alone.manifest["dev"]["macro_f1"]
    assert not (two.folder / "tuned" / "checkpoints").exists()


def test_one_has_the_folder_and_speaks(two: Two) -> None:
    """The other is silent; both have the same figures, and end alike."""
    first, second = two.found
    assert first["two"] == second["two"]
    assert first["heard"][:4] == [1, 2, 3, 4]
    assert "heard" not in second
    assert first["codes"] == second["codes"] == [1, 0]
    assert two.ran.stdout.count("Training loss") == two.ran.stdout.count("Wrote ") == 1
    refused = "gotd: the batch of 7 cannot be shared by 2 processes; pass --batch-size 6 or 8\n"
    assert two.ran.stderr.count("gotd: ") == two.ran.stderr.count(refused) == 1


def test_what_fails_on_one_ends_both_and_is_said_once(two: Two) -> None:
    for name, kind, words in (
        ("uneven", "SettingsError", "the batch of 9 cannot be shared by 2 processes; pass --batch-size 8 or 10"),
        ("pinned", "SettingsError", "device cpu:0: each of 2 processes has its own; pass --device cpu"),
        ("otherwise", "ArtifactError", "was made otherwise: lr was 0.003 and is now 0.00001"),
        ("infinite", "SettingsError", "the loss is inf at step 3 of 4, and the run stopped before it touched"),
    ):
        first, second = (found[name] for found in two.found)
        assert first[0] == kind
        assert words in first[1].replace("1e-05", "0.00001")
        assert second == ["FailedElsewhere", f"process 0: {first[1]}"]
    assert not (two.folder / "infinite" / "manifest.json").exists()


def test_stopped_they_go_on_to_the_same_weights(two: Two) -> None:
    """With the dropout of each process: equal to the bit."""
    assert 0 < two.found[0]["halves"]["resumed"] < 3
    assert apart(two.folder / "whole", two.folder / "halves") == 0


def test_another_number_of_processes_may_go_on(two: Two, one: Path) -> None:
    asked = two.asked
    assert not (two.folder / "fewer" / "manifest.json").exists()
    found = warmup(asked["even"], asked["data"], two.folder / "fewer", machine=CPU, **asked["warmup"])
    assert found.manifest["steps"]["resumed"] > 0
    assert apart(one, found.folder) < ROUNDING


def test_weights_in_shards_end_whole(two: Two, one: Path) -> None:
    """FSDP: each process trains half of the weights; the best checkpoint is loaded back, and saved as one model."""
    whole = sum(weight.numel() for weight in weights(one).values())
    assert apart(one, two.folder / "sharded") < ROUNDING
    assert two.found[0]["had"] < whole * 0.7
    assert two.found[0]["had"] + two.found[1]["had"] == whole


def test_the_batch_is_cut_by_processes_and_portions() -> None:
    assert Machine().portion(32, 4) == 8
    assert Machine(micro_batch=2).portion(32, 4) == 2
    with pytest.raises(SettingsError, match="the batch of 2 cannot be shared by 4 processes; pass --batch-size 4"):
        Machine().portion(2, 4)
    with pytest.raises(SettingsError, match=r"micro-batch is 3, and each process's part of the batch, 8, is no mult"):
        Machine(micro_batch=3).portion(32, 4)


def test_out_of_memory_in_one_of_several_names_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """No trial: the others would not take part."""
    monkeypatch.setattr("gotd.training.memory.world", lambda: 2)
    said = memory_advice(torch.nn.Linear(1, 1), [], collator(0), causal_loss, Recipe(batch=24), CPU)
    assert said.startswith(
        "process 0: out of memory with 12 texts on its device at a time. Pass --micro-batch 6: the b"
    )


@pytest.mark.parametrize(
    ("flag", "given", "words"),
    [
        ("ACCELERATE_USE_DEEPSPEED", {}, "gotd does not train by DeepSpeed; take FSDP"),
        ("ACCELERATE_USE_FSDP", {}, "accelerate shards weights on GPUs alone; take FSDP out"),
        ("ACCELERATE_USE_FSDP", {"lora": 4}, "low-rank factors and encoders are not sharded; take FSDP out"),
    ],
)
def test_what_accelerate_is_asked_for_in_vain(
    flag: str, given: dict[str, Any], words: str, gpt: Path, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`accelerate launch` of one process, as its environment says it."""
    for name, value in (("LOCAL_RANK", "0"), ("WORLD_SIZE", "1"), (flag, "true")):
        monkeypatch.setenv(name, value)
    if given:  # as on a GPU
        monkeypatch.setattr("gotd.training.together._check_device", lambda device: None)
    data = write("data.jsonl", [{"text": "common1 common2 common3"}])
    with pytest.raises(SettingsError, match=words):
        warmup(str(gpt), data, tmp_path / "warm", window=32, machine=CPU, **given)
