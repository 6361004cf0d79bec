"""The commands of training and evaluation, as a person types them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from commands import done, refused, run
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure


@pytest.fixture
def task(write, text) -> dict[str, str]:
    def rows(start: int, count: int) -> list[dict[str, Any]]:
        return [{"body": text(start + i, i % 2 == 0, 8), "kind": "ab"[i % 2]} for i in range(count)]

    return {name: write(f"{name}.jsonl", rows(start, 24)) for name, start in (("train", 0), ("dev", 50), ("test", 99))}


def test_warm_up_then_measure(gpt: Path, selected: Path, task: dict[str, str], tmp_path: Path) -> None:
    warm = tmp_path / "warm"
    asked = ("warmup", "--model", gpt, "--data", selected, "--output", warm, "--target", task["dev"])
    asked += ("--target-text-field", "body", "--lr", "1e-2", "--batch-size", 4, "--window", 32, "--device", "cpu")
    shown = done(*asked, "--tokens", 1500, "--micro-batch", 2)
    assert "Held-out loss " in shown
    assert f"Next: gotd evaluate perplexity --model {warm}" in shown
    assert orjson.loads(done(*asked, "--tokens", 1500, "--json"))["settings"]["batch"] == 4
    measured = ("evaluate", "perplexity", "--data", task["test"], "--text-field", "body", "--device", "cpu")
    before, after = (orjson.loads(done(*measured, "--model", model, "--json")) for model in (gpt, warm))
    assert after["bits_per_byte"] < before["bits_per_byte"]
    assert f"{after['bits_per_byte']:.4f}" in done(*measured, "--model", warm)
    useful = ("evaluate", "utility", "--model", warm, "--before", gpt, "--device", "cpu", "--text-field", "body")
    apart = orjson.loads(done(*useful, "--reference", task["test"], "--json"))["forgotten"]
    assert apart["bits_per_byte"] == pytest.approx(after["bits_per_byte"] - before["bits_per_byte"])
    shown = done(*useful, "--reference", task["test"])
    said = f"gained: {apart['bits_per_byte']:+.4f} [{apart['low']:+.4f}, {apart['high']:+.4f}] bits a byte"
    assert said in shown
    assert f"{apart['worse']} of 24 documents are predicted worse." in shown
    assert "the model has seen this file as its target data; pass held-out text like it" in refused(
        *useful, "--reference", task["dev"]
    )


def test_fine_tune_then_judge(mlm: Path, task: dict[str, str], tmp_path: Path) -> None:
    tuned = tmp_path / "tuned"
    asked = ("finetune", "--model", mlm, "--train", task["train"], "--dev", task["dev"], "--output", tuned)
    asked += ("--text-field", "body", "--label-field", "kind", "--epochs", 2, "--lr", "1e-2", "--device", "cpu")
    shown = done(*asked, "--seeds", 2, "--max-train", "20docs", "--batch-size", 8)
    assert "20 examples; figures on 24 dev examples\n" in shown
    judged = ("evaluate", "classify", "--model", tuned, "--data", task["test"], "--device", "cpu")
    shown = done(*judged)
    assert "sd of seeds" in shown
    assert "24 documents of 2 classes; always the commonest: 0.5000." in shown
    assert set(orjson.loads(done(*judged, "--json"))["figures"]) == {"accuracy", "micro_f1", "macro_f1", "mcc"}


def test_a_model_that_is_not_here_is_asked_for_with_a_word_or_refused(
    task: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can be no name on the hub is told from one without asking."""

    def unreachable(name: str) -> None:
        raise OSError("We couldn't connect to 'https://huggingface.co'")

    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", unreachable)
    monkeypatch.setattr("gotd.encoders.local._answers", lambda name: False)
    rest = ("-d", task["train"], "-o", tmp_path / "w")
    said = run("warmup", "-m", "nix-da", *rest)
    assert said.exit_code == 1
    first, second = said.stderr.splitlines()
    assert first == 'gotd: no folder "nix-da" here; asking the hub for a model of that name'
    absent = (
        'gotd: no folder "nix-da" here, and the model id "nix-da" could not be loaded: the hub does not answer, and '
    )
    assert second.startswith(f"{absent}from its cache: We couldn't connect")
    for name in ("./nix", "/nix", "x/y/z", "runs/warm/"):
        assert refused("warmup", "-m", name, *rest).startswith(f"gotd: {name}: no such folder, and no name that the")
    assert f"{task['dev']}: is a file; pass a folder" in refused("warmup", "-m", task["dev"], *rest)


def test_a_device_that_is_none_is_refused_wherever_it_is_asked_for(
    gpt: Path, mlm: Path, corpora: Any, selected: Path, selector: Path, task: dict[str, str], tmp_path: Path
) -> None:
    """`meta` is one of torch's, holds no numbers, and so ended each of them in another traceback, or in silence."""
    task_of = ("--train", task["train"], "--text-field", "body", "--label-field", "kind", "-o", tmp_path / "out")
    pool = ("--candidates", corpora.pool, "--target", corpora.target)
    texts = ("-m", gpt, "--data", task["test"], "--text-field", "body")
    for command in (
        ("select", *pool, "--budget", 9, "-o", tmp_path / "select"),
        ("select", *pool, "--budget", 9, "-o", tmp_path / "select", "--dry-run"),
        ("fit", "--target", corpora.target, "--reference", corpora.pool, "-o", tmp_path / "fit"),
        ("score", selector, corpora.pool, "-o", tmp_path / "score"),
        ("domains", *pool),
        ("report", selected, "-o", tmp_path / "report.html"),
        ("warmup", *texts, "-o", tmp_path / "out"),
        ("finetune", "-m", gpt, *task_of),
        ("tune-encoder", "-m", mlm, *task_of),
        ("evaluate", "perplexity", *texts),
        ("evaluate", "utility", "-m", gpt, "-r", task["test"], "--text-field", "body"),
        ("evaluate", "toxicity", *texts),
    ):
        assert refused(*command, "--device", "meta") == 'gotd: no device "meta". Pass auto, cpu, cuda, cuda:1 or mps.\n'
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_done_is_one_line(mlm: Path, task: dict[str, str], tmp_path: Path) -> None:
    said = refused("warmup", "-m", mlm, "-d", task["train"], "-o", tmp_path / "w", "--preset", "paper-gpt2")
    assert said.startswith("gotd: preset paper-gpt2 is for causal models")


def test_flags_without_a_meaning_are_refused(gpt: Path, task: dict[str, str], tmp_path: Path) -> None:
    asked = ("--text-field", "body", "-o", tmp_path / "out")
    said = refused("warmup", "-m", gpt, "-d", task["train"], *asked, "--mask", "0.3")
    assert said == "gotd: mask is 0.3, and a causal model has no token hidden from it; leave mask out\n"
    for command, words in (
        (("warmup", "-m", gpt, "-d", task["train"], "--patience", 2), "--patience wants --target"),
        (("warmup", "-m", gpt, "-d", task["train"], "--target-text-field", "x"), "--target-text-field wants --target"),
        (("finetune", "-m", gpt, "-d", task["train"], "--best-by", "mcc"), "--best-by wants --label-field"),
        (("tune-encoder", "-m", gpt, "-d", task["train"], "--patience", 2), "--patience wants --label-field"),
    ):
        found = run(*command, *asked)
        assert found.exit_code == 2
        assert words in found.stderr
    assert not (tmp_path / "out").exists()


def test_a_seed_that_the_library_cannot_take_is_refused(gpt: Path, task: dict[str, str], tmp_path: Path) -> None:
    """The last of several too, before the first is trained."""
    asked = ("-m", gpt, "-d", task["train"], "--text-field", "body", "-o", tmp_path / "out", "--seed", 2**32 - 1)
    said = refused("finetune", *asked, "--label-field", "kind", "--seeds", 2, "--device", "cpu")
    assert said == "gotd: seed is 4294967296; wanted a whole number from 0 to 2**32 - 1\n"
    assert not (tmp_path / "out").exists()


def test_the_launchers_report_ends_in_what_failed(
    mlm: Path, task: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torchrun reads it: else it names a process that it had to end, and where to read about tracebacks."""
    path = tmp_path / "error.json"
    for name, value in (("LOCAL_RANK", "0"), ("WORLD_SIZE", "1"), ("TORCHELASTIC_ERROR_FILE", str(path))):
        monkeypatch.setenv(name, value)
    said = refused("warmup", "-m", mlm, "-d", task["train"], "-o", tmp_path / "w", "--preset", "paper-gpt2")
    report = str(ChildFailedError("gotd", {0: ProcessFailure(0, 1, 1, str(path))}))
    assert report.splitlines()[-2] == f"  traceback : {said.strip()}"
