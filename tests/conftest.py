"""What the tests of the stages share: tiny corpora over two vocabularies that have no word in common."""

from __future__ import annotations

import os

# Two threads a core are slower than one; read by the libraries when they load, in workers too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import gc
import json
import multiprocessing
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("gotd", derandomize=True, deadline=None)
settings.load_profile("gotd")

COMMON = [f"common{i}" for i in range(40)]
RARE = [f"rare{i}" for i in range(40)]
_TIMES = ("seconds", "documents_per_second")

Write = Callable[[str, Iterable[Any]], str]
Rows = Callable[[Path | str], list[dict[str, Any]]]


def words(seed: int, rare: bool, count: int = 0) -> str:
    """A text of `count` words (3 to 14 if left out) of one vocabulary, the same for a seed."""
    rng = random.Random(f"{seed} {rare}")
    return " ".join(rng.choices(RARE if rare else COMMON, k=count or rng.randint(3, 14)))


def _write(path: Path, records: Iterable[Any]) -> str:
    """A file of lines: bytes as they are, anything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return str(path)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write(name, records) -> path of a file of lines in the test's folder."""
    return lambda name, records: _write(tmp_path / name, records)


@pytest.fixture(scope="session")
def text() -> Callable[..., str]:
    """text(seed, rare, count) -> words of the rare or of the common vocabulary."""
    return words


@pytest.fixture(scope="session")
def rows() -> Rows:
    """rows(path) -> the records of a JSONL file."""
    return lambda path: [orjson.loads(line) for line in Path(path).read_bytes().splitlines()]


@dataclass(frozen=True)
class Corpora:
    """One document in twenty of the pool is of the rare vocabulary; of the target, one in two.

    Attributes:
        pool: folder of `first.jsonl` (200 records) and `second.jsonl` (100).
        target: file of 60 records.
        other: file of 80 records, common ones only: a reference that is not the pool.
    """

    pool: str
    target: str
    other: str

    @property
    def files(self) -> list[str]:
        return [f"{self.pool}/first.jsonl", f"{self.pool}/second.jsonl"]


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Corpora:
    folder = tmp_path_factory.mktemp("corpora")

    def record(name: str, i: int) -> dict[str, Any]:
        rare = i % 20 == 0
        return {"id": f"{name}-{i}", "text": words(i, rare), "rare": rare, "year": 1900 + i}

    for name, start, count in (("first", 0, 200), ("second", 200, 100)):
        _write(folder / "pool" / f"{name}.jsonl", [record(name, start + i) for i in range(count)])
    _write(folder / "target.jsonl", [{"text": words(1000 + i, i % 2 == 0)} for i in range(60)])
    _write(folder / "other.jsonl", [{"text": words(2000 + i, False)} for i in range(80)])
    return Corpora(*(str(folder / name) for name in ("pool", "target.jsonl", "other.jsonl")))


@pytest.fixture(scope="session")
def selector(corpora: Corpora, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of `gotd fit` on the pool and the target; not to be written to."""
    from gotd import fit

    folder = tmp_path_factory.mktemp("selector")
    fit(corpora.target, corpora.pool, folder)
    return folder


@pytest.fixture(scope="session")
def scored(corpora: Corpora, selector: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of `gotd score` of the pool; not to be written to."""
    from gotd import score

    folder = tmp_path_factory.mktemp("scored")
    score(selector, corpora.pool, folder, workers=1)
    return folder


@pytest.fixture(scope="session")
def selected(corpora: Corpora, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of `gotd select`, 15 documents of the pool; not to be written to."""
    from gotd import select

    folder = tmp_path_factory.mktemp("selected")
    select(corpora.pool, corpora.target, "15docs", folder, workers=1)
    return folder


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, Any]]:
    """contents(folder) -> its files: tables as tables, others as bytes, the manifest without times.

    The certificate is a sum over shards: it is the same for any shards up to rounding only.
    """
    import pyarrow.parquet as pq

    def read(folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for path in sorted(folder.iterdir()):
            if path.name == "manifest.json":
                manifest = orjson.loads(path.read_bytes())
                for part in (manifest, manifest.get("quality", {})):
                    for name in {"marginal_error", "marginal_error_pool"} & part.keys():
                        part[name] = None if part[name] is None else round(part[name], 6)
                found[path.name] = {name: value for name, value in manifest.items() if name not in _TIMES}
            elif path.suffix == ".parquet":
                found[path.name] = pq.read_table(path).to_pydict()
            else:
                found[path.name] = path.read_bytes()
        return found

    return read


@pytest.fixture(scope="session")
def forked() -> Any:
    """Processes forked from one server that has imported all a run needs: ready at once, unlike spawned ones."""
    context = multiprocessing.get_context("forkserver")
    with pytest.MonkeyPatch.context() as patch:
        here = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        patch.setenv("PYTHONPATH", os.pathsep.join(here))
        context.set_forkserver_preload(["prepared"])
        forkserver.ensure_running()
    return context


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """A device that is not the CPU's, though it computes there: see `pretend.py`."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with import_module("pretend").pretended() as device:
        yield device


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """small_shards(size): score in shards of so many bytes from here on."""
    from gotd.corpus import plan

    def cut(size: int) -> None:
        monkeypatch.setattr("gotd.stages.score.plan", lambda files, fields: plan(files, fields, size))

    return cut


@pytest.fixture(scope="session")
def quick_trainings() -> Iterator[None]:
    """After each training accelerate collects garbage, which walks every object of the process: leaves out the old."""
    import_module("gotd.training.loop")
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a GPT-2 of two layers of width 32, 64 positions, with a byte-level tokenizer trained here."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("gpt")
    trained = ByteLevelBPETokenizer()
    texts = [words(i, i % 2 == 0) for i in range(200)]
    trained.train_from_iterator(texts, vocab_size=400, special_tokens=["<eos>"], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, eos_token="<eos>")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=64, **ends)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def mlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a masked BERT of two layers of width 32, 64 positions, that knows the words of both vocabularies."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("mlm")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *COMMON, *RARE]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, mask_token="[MASK]", model_input_names=inputs, **names)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, **shape)
    BertForMaskedLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def plain_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever colours and widths the environment asks for."""
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """terminal(width): from here on both streams pass for a terminal of so many columns, without colours."""

    def open_one(width: int) -> None:
        monkeypatch.setenv("TTY_COMPATIBLE", "1")
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("LINES", "50")

    return open_one
