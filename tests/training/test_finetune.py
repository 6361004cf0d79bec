"""Fine-tuning: a task whose answer is in the words, several seeds, kills, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from gotd.errors import InputError, SettingsError
from gotd.evaluation.classification import classify
from gotd.evaluation.perplexity import perplexity
from gotd.training.classify import encode, padded_tokenizer
from gotd.training.encoder import tune_encoder
from gotd.training.finetune import finetune
from gotd.training.labelled import Example
from gotd.training.settings import Machine

CPU = Machine(device="cpu")
QUICK: dict[str, Any] = {"label_field": "y", "lr": 1e-2, "batch": 8, "epochs": 4.0, "machine": CPU}


def examples(text: Any, start: int, count: int, length: int = 8) -> list[dict[str, Any]]:
    """Class 1 is of the rare words, class 0 of the common ones."""
    return [{"text": text(start + i, i % 2 == 0, length), "y": int(i % 2 == 0)} for i in range(count)]


@pytest.fixture
def train(write, text) -> str:
    return write("train.jsonl", examples(text, 0, 32))


@pytest.fixture
def dev(write, text) -> str:
    return write("dev.jsonl", examples(text, 100, 10))


@pytest.fixture
def test(write, text) -> str:
    return write("test.jsonl", [*examples(text, 200, 20), {"text": text(9, True, 8), "y": 1}])


def same(one: Path, other: Path, tolerance: float = 0.0) -> bool:
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    return all(torch.allclose(first[name], second[name], rtol=0, atol=tolerance) for name in first)


@pytest.mark.parametrize(("model", "more"), [("gpt", {}), ("mlm", {}), ("gpt", {"lora": 4})])
def test_a_task_whose_answer_is_in_the_words_is_solved(
    model: str,
    more: dict[str, Any],
    request: pytest.FixtureRequest,
    train: str,
    dev: str,
    test: str,
    tmp_path: Path,
) -> None:
    folder = request.getfixturevalue(model)
    found = finetune(str(folder), train, tmp_path / "tuned", dev=dev, **{**QUICK, **more})
    assert found.manifest["classes"] == ["0", "1"]
    assert found.manifest["counts"]["classes"] == {"0": 16, "1": 16}
    judged = classify(str(tmp_path / "tuned"), test, device="cpu")
    # Factors of rank 4 over a random model learn less than its embeddings do.
    least = 0.8 if more else 1.0
    assert {name for name, figure in judged.figures.items() if figure.mean < least} <= {"mcc"}
    assert judged.figures["accuracy"].mean == pytest.approx(judged.figures["micro_f1"].mean)
    assert (judged.documents, judged.classes, judged.majority) == (21, {"0": 10, "1": 11}, pytest.approx(11 / 21))


def test_several_seeds_are_several_models_and_a_kill_costs_none_that_is_done(
    mlm: Path, train: str, dev: str, test: str, tmp_path: Path
) -> None:
    asked = {**QUICK, "seeds": 2, "epochs": 1.0, "lr": 1e-3, "seed": 5, "measurements": 2}
    whole = finetune(str(mlm), train, tmp_path / "whole", dev=dev, **asked)
    runs = []

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "fine-tuning" and done == 1:
            runs.append(done)
        if len(runs) == 2 and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(str(mlm), train, tmp_path / "halves", dev=dev, progress=progress, **asked)
    first = (tmp_path / "halves" / "seed-5" / "model.safetensors").stat().st_mtime_ns
    found = finetune(str(mlm), train, tmp_path / "halves", dev=dev, **asked)
    assert (tmp_path / "halves" / "seed-5" / "model.safetensors").stat().st_mtime_ns == first
    assert found.manifest["models"] == ["seed-5", "seed-6"]
    assert found.manifest["seeds"][1]["steps"]["resumed"] == 2
    for name in ("seed-5", "seed-6"):
        assert same(whole.folder / name, found.folder / name)
    assert not same(found.folder / "seed-5", found.folder / "seed-6")
    assert {path.name for path in found.folder.iterdir()} == {"seed-5", "seed-6", "manifest.json"}
    with pytest.raises(SettingsError, match=r"holds 2 models, one a seed; .* such as .*seed-5"):
        perplexity(str(found.folder), test, device="cpu")
    judged = classify(str(found.folder), test, device="cpu")
    accuracy = judged.figures["accuracy"]
    assert accuracy.mean == pytest.approx(sum(accuracy.seeds) / 2)
    assert len(accuracy.seeds) == 2
    assert accuracy.sd is not None


def test_the_dev_data_choose_the_checkpoint(mlm: Path, train: str, write, text, tmp_path: Path) -> None:
    """Dev labels turned round: the more is learnt, the worse; so an early checkpoint is kept, and training stops."""
    turned = [{**row, "y": 1 - row["y"]} for row in examples(text, 100, 10)]
    asked = {**QUICK, "epochs": 8.0, "patience": 2, "best_by": "loss"}
    found = finetune(str(mlm), train, tmp_path / "tuned", dev=write("dev.jsonl", turned), **asked).manifest["seeds"][0]
    measured = {e["step"]: e["held_out"]["loss"] for e in found["curve"] if "held_out" in e}
    assert found["steps"]["kept"] == min(measured, key=lambda step: measured[step])
    assert found["steps"]["taken"] < found["steps"]["planned"]
    assert found["dev"]["after"]["loss"] == pytest.approx(min(measured.values()), rel=1e-5)


def test_without_dev_data_a_tenth_of_each_class_is_held_out(mlm: Path, train: str, tmp_path: Path) -> None:
    found = finetune(str(mlm), train, tmp_path / "tuned", max_train="20docs", **{**QUICK, "epochs": 1.0}).manifest
    assert found["counts"]["dev"] == {"used": 3, "from_train": True}
    assert found["counts"]["train"] == {"rows": 32, "used": 20}
    assert sorted(found["counts"]["classes"].values()) == [10, 10]


def test_micro_batches_change_nothing(mlm: Path, train: str, dev: str, tmp_path: Path) -> None:
    """Without dropout, which is drawn per micro-batch."""
    import json

    plain = tmp_path / "plain"
    shutil.copytree(mlm, plain)
    config = json.loads((plain / "config.json").read_text())
    config.update({name: 0.0 for name in config if name.endswith("dropout_prob")})
    (plain / "config.json").write_text(json.dumps(config))
    asked = {**QUICK, "dev": dev, "epochs": 1.0, "lr": 1e-3}
    whole = finetune(str(plain), train, tmp_path / "whole", **asked)
    parts = finetune(str(plain), train, tmp_path / "parts", **{**asked, "machine": Machine("cpu", 2)})
    assert same(whole.folder, parts.folder, tolerance=1e-5)


def test_long_texts_are_cut_and_counted(mlm: Path, write, text, tmp_path: Path) -> None:
    """64 positions hold 62 words between CLS and SEP."""
    rows = examples(text, 0, 14) + [{"text": text(50 + i, False, 62 + i), "y": 0} for i in range(3)]
    found = finetune(
        str(mlm), write("train.jsonl", rows), tmp_path / "t", dev=write("dev.jsonl", rows[:4]), **QUICK
    ).manifest["seeds"][0]
    assert (found["cut"], found["window"]) == ({"train": 2, "dev": 0}, 64)
    judged = classify(str(tmp_path / "t"), write("test.jsonl", rows[::-1]), device="cpu")
    assert (judged.cut, judged.window) == (2, 64)


def test_a_pair_has_its_marks_and_the_longer_text_is_cut(mlm: Path, gpt: Path) -> None:
    pair = Example("common1 common2", "rare1", "a")
    found = encode([pair], padded_tokenizer(str(mlm)), 64, ["a"])
    assert found.items == [
        {"input_ids": [2, 6, 7, 3, 46, 3], "token_type_ids": [0, 0, 0, 0, 1, 1], "labels": 0},
    ]
    cut = encode([Example("common1 " * 9, "rare1 rare2", "a")], padded_tokenizer(str(mlm)), 10, ["a"])
    assert cut.items[0]["input_ids"] == [2, 6, 6, 6, 6, 6, 3, 46, 47, 3]
    assert cut.cut == 1
    tokenizer = padded_tokenizer(str(gpt))
    plain = encode([pair], tokenizer, 64, ["a"]).items[0]["input_ids"]
    assert tokenizer.decode(plain) == "common1 common2\nrare1"


def test_pairs_are_learnt(mlm: Path, write, tmp_path: Path) -> None:
    """The class is in the second text alone: four combinations, ten times each."""
    rows = [
        {"text": f"common{i // 2 % 2}", "other": f"rare{i % 2}", "y": "no" if i % 2 else "yes", "id": i}
        for i in range(80)
    ]
    asked = {**QUICK, "pair_field": "other", "epochs": 5.0}
    finetune(str(mlm), write("a.jsonl", rows[:40]), tmp_path / "t", dev=write("b.jsonl", rows[40:60]), **asked)
    judged = classify(str(tmp_path / "t"), write("c.jsonl", rows[60:]), device="cpu")
    assert judged.figures["accuracy"].mean == 1.0


def test_a_new_layer_over_frozen_weights_in_bf16_learns_in_float32(
    gpt: Path, train: str, dev: str, tmp_path: Path
) -> None:
    """As the low-rank factors do: a step of 1e-5 of a weight is none in eight bits."""
    asked = {**QUICK, "lora": 4, "precision": "mixed", "epochs": 1.0, "lr": 1e-5}
    finetune(str(gpt), train, tmp_path / "t", dev=dev, **asked)
    tensors = load_file(tmp_path / "t" / "model.safetensors")
    assert tensors.pop("score.weight").dtype == torch.float32
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}


@pytest.mark.parametrize("model", ["gpt", "mlm"])
def test_weights_that_a_checkpoint_lacks_are_not_made_up(
    model: str, request: pytest.FixtureRequest, train: str, tmp_path: Path
) -> None:
    """But the new layer, and a pooler; neither for a classifier nor for an encoder."""
    broken = tmp_path / "broken"
    shutil.copytree(request.getfixturevalue(model), broken)
    kept = {name: t for name, t in load_file(broken / "model.safetensors").items() if ".1." not in name}
    save_file(kept, broken / "model.safetensors", metadata={"format": "pt"})
    for made in (finetune, tune_encoder):
        with pytest.raises(SettingsError, match=r"lacks 1[26] weights, .*; they would be random\. Pass a complete"):
            made(str(broken), train, tmp_path / made.__name__, label_field="y", machine=CPU)


def test_one_seed_is_judged_as_all_are(mlm: Path, write, tmp_path: Path) -> None:
    """By its folder alone: with the pairs that it was tuned on, and not on what it was tuned on."""
    rows = [{"text": f"common{i // 2 % 2}", "other": f"rare{i % 2}", "y": "ny"[i % 2], "id": i} for i in range(60)]
    train, dev, test = (write(f"{i}.jsonl", rows[i : i + 20]) for i in (0, 20, 40))
    asked = {**QUICK, "pair_field": "other", "epochs": 5.0, "seeds": 2}
    finetune(str(mlm), train, tmp_path / "t", dev=dev, **asked)
    every = classify(str(tmp_path / "t"), test, device="cpu").figures["accuracy"].seeds
    one = classify(str(tmp_path / "t" / "seed-1"), test, device="cpu").figures["accuracy"].seeds
    assert one == every[1:] == [1.0]
    with pytest.raises(SettingsError, match="has seen this file as its train data"):
        classify(str(tmp_path / "t" / "seed-1"), train, device="cpu")


def test_without_labels_it_is_a_language_model(gpt: Path, train: str, dev: str, test: str, tmp_path: Path) -> None:
    asked = {**QUICK, "label_field": None, "window": 32}
    before = perplexity(str(gpt), test, device="cpu").bits_per_byte
    found = finetune(str(gpt), train, tmp_path / "tuned", dev=dev, **asked).manifest
    assert found["objective"] == "language"
    assert found["seeds"][0]["loss"]["held_out"]["after"] < found["seeds"][0]["loss"]["held_out"]["before"]
    assert perplexity(str(tmp_path / "tuned"), test, device="cpu").bits_per_byte < before - 0.5


def test_what_is_refused(mlm: Path, train: str, dev: str, test: str, write, tmp_path: Path, monkeypatch) -> None:
    one = write("one.jsonl", [{"text": "common1", "y": 1}] * 5)
    with pytest.raises(InputError, match="one class only"):
        finetune(str(mlm), one, tmp_path / "a", **QUICK)
    with pytest.raises(InputError, match='no label in "label"; found "text", "y"'):
        finetune(str(mlm), train, tmp_path / "a", **{**QUICK, "label_field": "label"})
    with pytest.raises(SettingsError, match="a checkpoint is chosen on what was not trained"):
        finetune(str(mlm), train, tmp_path / "a", dev=[dev, train], **QUICK)
    other = write("other.jsonl", [{"text": "common1", "y": 7}] * 2)
    with pytest.raises(InputError, match="dev data has 2 examples of class '7'"):
        finetune(str(mlm), train, tmp_path / "a", dev=other, **QUICK)
    with pytest.raises(SettingsError, match="pass --label-field with --pair-field"):
        finetune(str(mlm), train, tmp_path / "a", pair_field="text", **{**QUICK, "label_field": None})
    with pytest.raises(SettingsError, match="found no classifier; it lacks"):
        classify(str(mlm), test, label_field="y", device="cpu")
    finetune(str(mlm), train, tmp_path / "b", dev=dev, **{**QUICK, "epochs": 1.0})
    for seen, part in ((train, "train"), (dev, "dev")):
        with pytest.raises(SettingsError, match=f"has seen this file as its {part} data"):
            classify(str(tmp_path / "b"), seen, device="cpu")
    with pytest.raises(InputError, match="test data has 2 examples of class '7'"):
        classify(str(tmp_path / "b"), other, device="cpu")

    def cramped(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr("transformers.BertForSequenceClassification.forward", cramped)
    with pytest.raises(SettingsError, match="memory with 32 texts of up to 64 tokens at a time"):
        classify(str(tmp_path / "b"), test, device="cpu")
