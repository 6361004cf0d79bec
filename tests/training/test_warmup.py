"""Warm-up: what it learns, what it counts, that it goes on after a kill, and what it refuses."""

from __future__ import annotations

import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from safetensors.torch import load_file, save_file

from gotd.errors import ArtifactError, InputError, MissingExtra, SettingsError
from gotd.training import batches
from gotd.training.encoder import tune_encoder
from gotd.training.finetune import finetune
from gotd.training.models import load_tokenizer, quiet
from gotd.training.settings import Machine
from gotd.training.warmup import TrainedModel, warmup

CPU = Machine(device="cpu")
QUICK: dict[str, Any] = {"lr": 3e-3, "batch": 8, "window": 32, "machine": CPU}


@pytest.fixture
def data(write, text) -> str:
    return write("data.jsonl", [{"text": text(i, True, 12)} for i in range(32)])


@pytest.fixture
def dev(write, text) -> str:
    return write("dev.jsonl", [{"text": text(1000 + i, True, 12)} for i in range(10)])


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: Path, other: Path, tolerance: float = 0.0) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(
        torch.allclose(first[name], second[name], rtol=0, atol=tolerance) for name in first
    )


def stopped_at(step: int) -> Any:
    """A progress that interrupts, as Ctrl-C does."""

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "warming up" and done == step:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("model", ["gpt", "mlm"])
def test_reading_the_task_lowers_the_loss_on_its_held_out_texts(
    model: str, request: pytest.FixtureRequest, data: str, dev: str, tmp_path: Path
) -> None:
    """From a random model towards log(40) nats a word: the words of the task are 40, equally frequent."""
    folder = request.getfixturevalue(model)
    found = warmup(
        str(folder), data, tmp_path / "warm", target=dev, epochs=5.0, measurements=2, **{**QUICK, "lr": 1e-2}
    ).manifest
    assert found["settings"]["kind"] == {"gpt": "causal", "mlm": "masked"}[model]
    assert found["loss"]["held_out"]["after"] < found["loss"]["held_out"]["before"] - 0.4
    assert found["loss"]["training"]["last"] < found["loss"]["training"]["first"]
    assert found["steps"]["taken"] == found["steps"]["planned"] == -(-found["windows"]["planned"] // 8)
    assert found["tokens"]["seen"] == found["tokens"]["planned"]
    assert found["tokens_per_second"] > 0
    assert {"transformers", "accelerate", "torch"} <= found["versions"].keys()
    assert not (tmp_path / "warm" / "checkpoints").exists()


def test_what_is_saved_is_what_was_measured(gpt: Path, data: str, dev: str, tmp_path: Path) -> None:
    """The loss of the saved model, from its logits by hand, is the one in the manifest."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from gotd.training.windows import pack

    found = warmup(str(gpt), data, tmp_path / "warm", target=dev, **QUICK)
    model = AutoModelForCausalLM.from_pretrained(found.folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(found.folder)
    texts = [orjson.loads(line)["text"] for line in Path(dev).read_bytes().splitlines()]
    windows = pack(texts, tokenizer, "causal", 32)
    nats = []
    for row, length in zip(windows.ids, windows.lengths):
        ids = torch.tensor(row[:length], dtype=torch.long)
        with torch.no_grad():
            logs = model(ids[None]).logits[0].log_softmax(-1)
        nats += [-float(logs[i, token]) for i, token in enumerate(ids[1:])]
    assert found.manifest["loss"]["held_out"]["after"] == pytest.approx(sum(nats) / len(nats), abs=1e-4)


@pytest.mark.parametrize("model", ["gpt", "mlm"])
def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    model: str, request: pytest.FixtureRequest, data: str, dev: str, tmp_path: Path
) -> None:
    """Order, masks, dropout, optimiser and learning rate, all as if nothing had happened: equal to the bit."""
    name = str(request.getfixturevalue(model))
    asked = {**QUICK, "target": dev, "epochs": 2.0, "measurements": 4}
    whole = warmup(name, data, tmp_path / "whole", **asked)
    last = whole.manifest["steps"]["planned"] - 1
    with pytest.raises(KeyboardInterrupt):
        warmup(name, data, tmp_path / "halves", progress=stopped_at(last), **asked)
    (tmp_path / "halves" / "checkpoints" / f"checkpoint-{last}").mkdir()  # and the kill left this one half written
    found = warmup(name, data, tmp_path / "halves", **asked)
    assert 0 < found.manifest["steps"]["resumed"] < last
    assert same(whole.folder, found.folder)
    assert found.manifest["loss"]["held_out"] == whole.manifest["loss"]["held_out"]
    assert found.manifest["tokens"]["seen"] == whole.manifest["tokens"]["seen"]
    assert found.manifest["tokens"]["seen_here"] < whole.manifest["tokens"]["seen_here"]


def test_begun_with_other_settings_is_refused_and_finished_is_kept(gpt: Path, data: str, tmp_path: Path) -> None:
    asked = {**QUICK, "epochs": 2.0}
    with pytest.raises(KeyboardInterrupt):
        warmup(str(gpt), data, tmp_path / "warm", progress=stopped_at(5), **asked)
    with pytest.raises(ArtifactError, match=r"was made otherwise: lr was 0\.003 and is now 0\.001"):
        warmup(str(gpt), data, tmp_path / "warm", **{**asked, "lr": 1e-3})
    with pytest.raises(ArtifactError, match="this training has not ended"):
        warmup(str(tmp_path / "warm"), data, tmp_path / "more", **QUICK)
    first = warmup(str(gpt), data, tmp_path / "warm", **asked)
    written = (first.folder / "model.safetensors").stat().st_mtime_ns
    assert warmup(str(gpt), data, tmp_path / "warm", **asked).manifest == first.manifest
    assert (first.folder / "model.safetensors").stat().st_mtime_ns == written
    # Killed between the manifest and the removal of what is no longer needed.
    (first.folder / "checkpoints" / "checkpoint-1").mkdir(parents=True)
    assert warmup(str(gpt), data, tmp_path / "warm", **asked).manifest == first.manifest
    assert not (first.folder / "checkpoints").exists()


@pytest.mark.parametrize("model", ["gpt", "mlm"])
def test_micro_batches_and_recomputed_activations_change_nothing(
    model: str, request: pytest.FixtureRequest, data: str, tmp_path: Path
) -> None:
    """Without dropout, which is drawn per micro-batch."""
    name = str(_without_dropout(request.getfixturevalue(model), tmp_path / "model"))
    whole = warmup(name, data, tmp_path / "whole", **QUICK)
    parts = warmup(name, data, tmp_path / "parts", **{**QUICK, "machine": Machine("cpu", 2, True)})
    assert same(whole.folder, parts.folder, tolerance=2e-5)
    assert not same(whole.folder, Path(name), tolerance=1e-3)
    # Adam forgives a gradient that is four times too large; the loss does not.
    first, second = (found.manifest["loss"]["training"]["first"] for found in (whole, parts))
    assert first == pytest.approx(second, rel=1e-4)


def test_a_budget_in_tokens(gpt: Path, data: str, tmp_path: Path) -> None:
    """Whole windows, no more than needed; less than a pass, and more than one."""
    for name, budget in (("less", 100), ("more", 2500)):
        found = warmup(str(gpt), data, tmp_path / name, tokens=budget, **QUICK).manifest
        assert (name == "less") == (budget < found["tokens"]["data"])
        assert abs(found["tokens"]["seen"] - budget) < 32


def test_no_step_is_left_without_a_token_to_guess(gpt: Path, write, text, tmp_path: Path) -> None:
    """One token more than two windows hold: it is the last text's EOS, and a batch of it alone would have no loss."""
    tokenizer = load_tokenizer(str(gpt))
    ids = tokenizer(" ".join(text(i, True, 12) for i in range(8)), add_special_tokens=False)["input_ids"]
    whole = tokenizer.decode(ids[:64])
    assert tokenizer(whole, add_special_tokens=False)["input_ids"] == ids[:64]
    data = write("exact.jsonl", [{"text": whole}])
    found = warmup(str(gpt), data, tmp_path / "warm", **{**QUICK, "batch": 1}).manifest
    assert (found["windows"]["data"], found["tokens"]["seen"]) == (2, 64)
    assert found["loss"]["training"]["last"] > 0


def test_low_rank_factors_merge_into_the_model_and_stand_alone_too(gpt: Path, data: str, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    found = warmup(str(gpt), data, tmp_path / "warm", lora=4, **QUICK)
    parameters = found.manifest["parameters"]
    assert 0 < parameters["trained"] < parameters["all"] / 2
    ids = torch.tensor([[5, 6, 7, 8]])
    base = AutoModelForCausalLM.from_pretrained(gpt).eval()
    merged = AutoModelForCausalLM.from_pretrained(found.folder).eval()
    with torch.no_grad():
        before = base(ids).logits
        with quiet():
            adapted = PeftModel.from_pretrained(base, found.folder / "adapter").eval()(ids).logits
        assert torch.allclose(merged(ids).logits, adapted, atol=1e-5)
    assert not torch.allclose(before, adapted, atol=1e-2)


def test_low_rank_factors_with_less_memory(gpt: Path, data: str, tmp_path: Path) -> None:
    """Activations computed twice, though what comes in needs no gradient."""
    name = str(_without_dropout(gpt, tmp_path / "model"))
    whole = warmup(name, data, tmp_path / "whole", lora=4, **QUICK)
    parts = warmup(name, data, tmp_path / "parts", lora=4, **{**QUICK, "machine": Machine("cpu", 2, True)})
    assert same(whole.folder, parts.folder, tolerance=2e-5)
    assert not same(whole.folder, Path(name), tolerance=1e-3)


def test_low_rank_factors_resume(gpt: Path, data: str, dev: str, tmp_path: Path) -> None:
    asked = {**QUICK, "target": dev, "lora": 4, "epochs": 2.0, "measurements": 4}
    whole = warmup(str(gpt), data, tmp_path / "whole", **asked)
    with pytest.raises(KeyboardInterrupt):
        warmup(str(gpt), data, tmp_path / "halves", progress=stopped_at(6), **asked)
    assert same(whole.folder, warmup(str(gpt), data, tmp_path / "halves", **asked).folder)


def test_bf16_weights_stay_bf16(gpt: Path, data: str, tmp_path: Path) -> None:
    found = warmup(str(gpt), data, tmp_path / "warm", precision="bf16", **QUICK)
    assert {tensor.dtype for tensor in weights(found.folder).values()} == {torch.bfloat16}


def test_the_most_memory_is_told(gpt: Path, data: str, tmp_path: Path) -> None:
    """On a CPU that of the process since its start: what was held before, and is given back, counts."""
    import psutil

    held = torch.ones(100_000_000)
    before = psutil.Process().memory_info().rss
    del held
    found = warmup(str(gpt), data, tmp_path / "warm", **QUICK)
    # The kernel adds up in batches what it counts: two of its figures differ by some pages.
    assert 0.98 * before < found.manifest["peak_memory_bytes"] < psutil.virtual_memory().total


@pytest.mark.parametrize("model", ["gpt", "mlm"])
def test_mixed_precision_computes_in_bf16_and_keeps_float32_weights(
    model: str, request: pytest.FixtureRequest, data: str, dev: str, tmp_path: Path
) -> None:
    folder, asked = str(request.getfixturevalue(model)), {**QUICK, "target": dev}
    found = warmup(folder, data, tmp_path / "warm", precision="mixed", **asked)
    assert {tensor.dtype for tensor in weights(found.folder).values()} == {torch.float32}
    assert found.manifest["device"]["arithmetic"] == "bf16"
    plain = warmup(folder, data, tmp_path / "plain", precision="float32", **asked)
    assert same(found.folder, plain.folder, 1e-2)
    assert not same(found.folder, plain.folder)


def test_frozen_weights_under_lora_are_bf16_where_the_arithmetic_is() -> None:
    """The rule alone: a GPU with bf16, as here there is none."""
    from gotd.training.models import weights_dtype

    assert weights_dtype(True, "auto", 16) == torch.bfloat16
    assert weights_dtype(True, "auto", None) == torch.float32
    assert weights_dtype(False, "auto", 16) == torch.float32


def test_it_stops_where_the_held_out_loss_rises_and_keeps_the_best(
    gpt: Path, data: str, write, text, tmp_path: Path
) -> None:
    """The held-out words are others than those it reads: after some common ground it only gets worse."""
    other = write("other.jsonl", [{"text": text(i, False, 12)} for i in range(10)])
    asked = {**QUICK, "lr": 1e-2, "epochs": 12.0, "measurements": 12, "patience": 2}
    found = warmup(str(gpt), data, tmp_path / "warm", target=other, **asked).manifest
    held_out = [(entry["held_out"]["loss"], entry["step"]) for entry in found["curve"] if "held_out" in entry]
    assert found["steps"]["kept"] < found["steps"]["taken"] < found["steps"]["planned"]
    assert (found["loss"]["held_out"]["after"], found["steps"]["kept"]) == pytest.approx(min(held_out))
    # Stopped when it had been patient once, it goes on to be so once more, not twice.
    last = stopped_at(found["steps"]["taken"] - 1)
    with pytest.raises(KeyboardInterrupt):
        warmup(str(gpt), data, tmp_path / "halves", target=other, progress=last, **asked)
    again = warmup(str(gpt), data, tmp_path / "halves", target=other, **asked).manifest
    assert again["steps"] == {**found["steps"], "resumed": again["steps"]["resumed"]}
    assert again["steps"]["resumed"] > found["steps"]["kept"]


@pytest.mark.parametrize(("patience", "measurements"), [(1, 12), (20, 4)], ids=["stopped early", "to the end"])
def test_killed_when_all_was_read_it_reads_no_more_and_keeps_the_best(
    gpt: Path, data: str, write, text, tmp_path: Path, monkeypatch, patience: int, measurements: int
) -> None:
    """From another folder too: the checkpoints were written under a name that the best is no longer found by."""
    other = write("other.jsonl", [{"text": text(i, False, 12)} for i in range(10)])
    asked = {**QUICK, "lr": 1e-2, "epochs": 3.0, "measurements": measurements, "patience": patience, "target": other}
    whole = warmup(str(gpt), data, tmp_path / "whole", **asked).manifest
    assert whole["steps"]["kept"] < whole["steps"]["taken"]
    assert (whole["steps"]["taken"] < whole["steps"]["planned"]) is (patience == 1)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gotd.training.language.save_model", killed)
        with pytest.raises(KeyboardInterrupt):
            warmup(str(gpt), data, tmp_path / "before", **asked)
    (tmp_path / "before").rename(tmp_path / "after")
    again = warmup(str(gpt), data, tmp_path / "after", **asked).manifest
    assert again["steps"] == {**whole["steps"], "resumed": whole["steps"]["taken"]}
    assert again["loss"]["held_out"] == whole["loss"]["held_out"]
    assert same(tmp_path / "whole", tmp_path / "after")


def test_overwrite_deletes_nothing_that_a_training_reads(gpt: Path, data: str, write, text, tmp_path: Path) -> None:
    """A folder named twice by mistake would cost the model that it holds."""
    warm = tmp_path / "warm"
    warmup(str(gpt), data, warm, **QUICK)
    inside = shutil.copy(data, warm / "labelled.jsonl")
    before = sorted(path.name for path in warm.iterdir())
    asked: dict[str, Any] = {"overwrite": True, "machine": CPU}
    for training in (
        lambda: warmup(str(warm), data, warm, **asked),
        lambda: warmup(str(gpt), str(inside), warm, **asked),
        lambda: finetune(str(warm), data, warm, **asked),
        lambda: tune_encoder(str(gpt), str(inside), warm, **asked),
    ):
        with pytest.raises(ArtifactError, match=r"--overwrite would delete .*, which is to be read"):
            training()
        assert sorted(path.name for path in warm.iterdir()) == before


def test_a_training_that_an_error_ended_lets_go_of_its_folder(gpt: Path, data: str, tmp_path: Path) -> None:
    """Though the error, and with it the traceback, is kept."""
    with pytest.raises(KeyboardInterrupt) as kept:
        warmup(str(gpt), data, tmp_path / "warm", **QUICK, progress=stopped_at(2))
    with ThreadPoolExecutor(1) as other:
        assert other.submit(warmup, str(gpt), data, tmp_path / "warm", **QUICK).result().manifest
    assert kept.value is not None


def test_a_selection_folder_is_its_chosen_texts(gpt: Path, selected: Path, tmp_path: Path) -> None:
    """Fifteen documents; not the scores of 300 that lie beside them."""
    found = warmup(str(gpt), str(selected), tmp_path / "warm", **QUICK).manifest
    assert found["counts"]["data"] == {"rows": 15, "used": 15, "rejected": 0}
    assert found["inputs"]["data"][0].split()[0] == str(selected.resolve())


def test_a_text_longer_than_the_window_raises_no_alarm(gpt: Path, tmp_path: Path, caplog) -> None:
    """The library warns of indexing errors; the text is cut into windows."""
    from transformers import AutoTokenizer
    from transformers.utils import logging

    AutoTokenizer.from_pretrained(gpt, model_max_length=8).save_pretrained(tmp_path)
    logging.enable_propagation()
    try:
        assert len(load_tokenizer(str(tmp_path))("a text of many words " * 9)["input_ids"]) > 8
    finally:
        logging.disable_propagation()
    assert not caplog.records


def test_replay_is_the_share_of_tokens_from_the_reference(gpt: Path, data: str, write, text, tmp_path: Path) -> None:
    reference = write("reference.jsonl", [{"text": text(i, False, 12)} for i in range(40)])
    found = warmup(str(gpt), data, tmp_path / "warm", reference=reference, replay="20%", epochs=2.0, **QUICK).manifest
    windows, tokens = found["windows"], found["tokens"]
    length = tokens["reference"] / windows["reference"]
    assert windows["planned"] == 2 * windows["data"] + round(2 * tokens["data"] / 4 / length)
    budget = 40 * 32
    found = warmup(str(gpt), data, tmp_path / "b", reference=reference, replay=0.2, tokens=budget, **QUICK).manifest
    assert found["windows"]["planned"] == 40
    # A text that is shorter than a window, beside full windows of the reference.
    short = write("short.jsonl", [{"text": text(1, True, 4)}])
    found = warmup(str(gpt), short, tmp_path / "s", reference=reference, replay=0.2, tokens=budget, **QUICK).manifest
    assert found["tokens"]["data"] < 16
    assert abs(found["tokens"]["seen"] - budget) < 32
    of_reference = found["windows"]["planned"] - math.ceil(0.8 * budget / found["tokens"]["data"])
    assert abs(32 * of_reference - 0.2 * budget) < 32
    with pytest.raises(SettingsError, match="pass --reference"):
        warmup(str(gpt), data, tmp_path / "none", replay="10%", **QUICK)
    with pytest.raises(SettingsError, match="pass --replay"):
        warmup(str(gpt), data, tmp_path / "none", reference=reference, **QUICK)
    with pytest.raises(SettingsError, match='replay is "200%"'):
        warmup(str(gpt), data, tmp_path / "none", reference=reference, replay="200%", **QUICK)


def test_presets_are_the_published_settings(gpt: Path, mlm: Path, data: str, tmp_path: Path) -> None:
    found = warmup(str(gpt), data, tmp_path / "gpt", preset="paper-gpt2", window=32, machine=CPU)
    assert found.manifest["settings"].items() >= {"lr": 2e-5, "epochs": 3.0, "window": 32}.items()
    with pytest.raises(SettingsError, match="window is 295 tokens, and the model takes 64"):
        warmup(str(mlm), data, tmp_path / "mlm", preset="paper-bert", machine=CPU)
    with pytest.raises(SettingsError, match="paper-bert is for masked models, and this one is causal"):
        warmup(str(gpt), data, tmp_path / "wrong", preset="paper-bert", machine=CPU)


def test_rejects_are_counted_and_kept(gpt: Path, write, text, rows, tmp_path: Path) -> None:
    data = write("data.jsonl", [{"text": text(i, True, 12)} for i in range(30)] + [b"{", {"body": "x"}])
    found = warmup(str(gpt), data, tmp_path / "warm", **QUICK).manifest
    assert found["counts"]["data"] == {"rows": 32, "used": 30, "rejected": 2}
    assert [row["row"] for row in rows(tmp_path / "warm" / "rejects.jsonl")] == [31, 32]
    with pytest.raises(InputError, match="malformed JSON"):
        warmup(str(gpt), data, tmp_path / "strict", on_error="fail", **QUICK)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(
    gpt: Path, data: str, tmp_path: Path
) -> None:
    """Bad from the first step, and bad from the sixth."""
    broken = _with_infinite_weight(gpt, tmp_path / "broken")
    with pytest.raises(
        SettingsError, match=r"the loss is nan at step 1 of .*there is no checkpoint yet. Lower --lr .*not to"
    ):
        warmup(str(broken), data, tmp_path / "nan", **QUICK)
    poisoned = tmp_path / "later"

    def poison(stage: str, done: int, total: int) -> None:
        """A weight goes bad in the fifth step, as a bad gradient would make it."""
        if stage == "warming up" and done == 5:
            trainer_model = _model_in_training()
            with torch.no_grad():
                next(trainer_model.parameters()).fill_(torch.nan)

    asked = {**QUICK, "epochs": 3.0, "measurements": 5}
    with pytest.raises(SettingsError, match=r"at step 6 of .*the last good checkpoint is .*checkpoint-4\. Lower"):
        warmup(str(gpt), data, poisoned, progress=poison, **asked)
    kept = load_file(poisoned / "checkpoints" / "checkpoint-4" / "model.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())


def test_a_gradient_that_is_not_finite_touches_no_weight(gpt: Path, data: str, tmp_path: Path, monkeypatch) -> None:
    """Infinite gradients under a finite loss: without the guard the next checkpoint would hold NaN."""
    plain = batches.mean_loss

    def steep(logits: torch.Tensor, labels: torch.Tensor, count: Any) -> torch.Tensor:
        logits.register_hook(lambda gradient: gradient * torch.inf)
        return plain(logits, labels, count)

    monkeypatch.setattr("gotd.training.language.mean_loss", steep)
    with pytest.raises(SettingsError, match="the gradient is not finite at step 1"):
        warmup(str(gpt), data, tmp_path / "warm", **QUICK)


@pytest.mark.parametrize(("room", "said"), [(2, "8 texts .* at a time; 2 fit. Pass --micro-batch 2"), (0, "one text")])
def test_out_of_memory_names_a_size_that_fits(
    gpt: Path, data: str, tmp_path: Path, monkeypatch, room: int, said: str
) -> None:
    """A device with room for so many texts, which fails as PyTorch does."""
    from transformers import GPT2LMHeadModel

    forward = GPT2LMHeadModel.forward

    def cramped(self: Any, input_ids: torch.Tensor, **others: Any) -> Any:
        if len(input_ids) > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return forward(self, input_ids=input_ids, **others)

    monkeypatch.setattr(GPT2LMHeadModel, "forward", cramped)
    with pytest.raises(SettingsError, match=said):
        warmup(str(gpt), data, tmp_path / "warm", **QUICK)
    if room:
        warmup(str(gpt), data, tmp_path / "warm", **{**QUICK, "machine": Machine("cpu", room)})


def test_other_errors_are_not_taken_for_a_lack_of_memory(gpt: Path, data: str, tmp_path: Path, monkeypatch) -> None:
    from transformers import GPT2LMHeadModel

    def broken(self: Any, **_: Any) -> Any:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(GPT2LMHeadModel, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        warmup(str(gpt), data, tmp_path / "warm", **QUICK)


def test_models_that_cannot_be_trained_say_so(gpt: Path, mlm: Path, data: str, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(gpt, bare, ignore=shutil.ignore_patterns("tokenizer*"))
    with pytest.raises(SettingsError, match="found no tokenizer"):
        warmup(str(bare), data, tmp_path / "warm", **QUICK)
    headless = tmp_path / "headless"
    shutil.copytree(mlm, headless)
    kept = {name: tensor for name, tensor in weights(mlm).items() if not name.startswith("cls.")}
    save_file(kept, headless / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SettingsError, match=r"the checkpoint lacks .* weights of a masked language model"):
        warmup(str(headless), data, tmp_path / "warm", **QUICK)
    foreign = tmp_path / "foreign"
    shutil.copytree(mlm, foreign)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(gpt / name, foreign / name)
    with pytest.raises(SettingsError, match="tokens and the model vectors for 85"):
        warmup(str(foreign), data, tmp_path / "warm", **QUICK)
    quantised = tmp_path / "quantised"
    shutil.copytree(gpt, quantised)
    config = orjson.loads((quantised / "config.json").read_bytes())
    config["quantization_config"] = {"quant_method": "gguf", "gguf_file": "model.Q4_1.gguf", "dequantize": False}
    (quantised / "config.json").write_bytes(orjson.dumps(config))
    with pytest.raises(SettingsError, match="weights are quantised, and cannot be trained"):
        warmup(str(quantised), data, tmp_path / "quantised-warm", **QUICK)
    with pytest.raises(SettingsError, match="micro-batch is 3, and the batch of 8"):
        warmup(str(gpt), data, tmp_path / "warm", **{**QUICK, "machine": Machine("cpu", 3)})


def test_a_missing_extra_names_its_pip_line(gpt: Path, data: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("gotd.encoders.local.find_spec", lambda name: None if name == "peft" else name)
    with pytest.raises(MissingExtra, match=r"peft, which is not installed. Run: pip install 'gotd\[train\]'"):
        warmup(str(gpt), data, tmp_path / "warm", lora=4, **QUICK)
    assert isinstance(warmup(str(gpt), data, tmp_path / "warm", **QUICK), TrainedModel)


def _without_dropout(model: Path, folder: Path) -> Path:
    import json

    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    config.update({name: 0.0 for name in config if name.endswith(("pdrop", "dropout_prob"))})
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _with_infinite_weight(model: Path, folder: Path) -> Path:
    shutil.copytree(model, folder)
    tensors = weights(model)
    tensors["transformer.wpe.weight"][:] = torch.inf
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _model_in_training() -> Any:
    """The one model that is being trained, found among the live objects."""
    import gc

    from transformers import GPT2LMHeadModel

    return next(found for found in gc.get_objects() if type(found) is GPT2LMHeadModel and found.training)
