"""Real text for the benchmarks, and its embeddings.

A data folder holds `candidates/*.jsonl.zst` (one file a source) and `tasks/chemprot.jsonl.zst`. Where there is
none, the texts that gotd ships for its demo serve: one source is the target, the others are the candidates.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from gotd.corpus import Document, Fields, File, find, plan, read, sample

DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"
TASK = "chemprot"
DEMO_TARGET = "cooking"


@dataclass(frozen=True, slots=True)
class Texts:
    """Where the texts are.

    Attributes:
        candidates, target: files.
        name: what to call them beside a figure.
    """

    candidates: list[File]
    target: list[File]
    name: str

    @classmethod
    def of(cls, folder: Path | None) -> Texts:
        """The texts of a data folder; of the demo where it holds no candidates."""
        place = folder or DEFAULT
        if (place / "candidates").is_dir():
            target = find([str(place / "tasks" / f"{TASK}.jsonl.zst")])
            return cls(find([str(place / "candidates")]), target, f"{place.name}/candidates -> {TASK}")
        import gotd

        files = find([str(Path(gotd.__file__).parent / "demo" / "data" / "*.jsonl.zst")])
        target = [file for file in files if file.source == DEMO_TARGET]
        others = [file for file in files if file.source != DEMO_TARGET]
        return cls(others, target, f"demo -> {DEMO_TARGET}")


@dataclass(frozen=True, slots=True)
class Embedded:
    """Raw vectors of gotd's own encoder, fitted as `gotd fit` does: on a sample of the candidates and the target.

    Attributes:
        candidates: (n, d) float32, in random order: any first rows are a sample.
        target: (m, d) float32.
    """

    candidates: NDArray[np.float32]
    target: NDArray[np.float32]


def embedded(texts: Texts, n: int, m: int, *, fit_sample: int = 20_000, seed: int = 0) -> Embedded:
    """`lsa` vectors of at most n candidates and m target texts; texts without a known word are left out."""
    from gotd.encoders import fit_encoder

    candidates = _sampled(texts.candidates, n, seed)
    target = _sampled(texts.target, m, seed)
    encoder = fit_encoder("lsa", candidates[:fit_sample] + target, seed=seed)
    vectors = [encoder.encode(some) for some in (candidates, target)]
    return Embedded(*(found[found.any(1)] for found in vectors))


def _sampled(files: list[File], size: int, seed: int) -> list[str]:
    drawn = [document.text for document in sample(files, Fields(), size, seed).documents]
    random.Random(seed).shuffle(drawn)
    return drawn


def tiled(texts: Texts, documents: int, chars: int, *, seed: int = 0) -> list[str]:
    """The first `documents` of the `stretches` of the candidates."""
    return list(islice(stretches(texts, chars, seed=seed), documents))


def stretches(texts: Texts, chars: int, *, seed: int = 0) -> Iterator[str]:
    """Candidates joined, source by source, and cut into pieces of exactly `chars` characters, in random order.

    Where the text ends, it is cut again from other offsets: 0, then 1/2, 1/4, 3/4, ... of a piece. All pieces are
    different stretches of real text, and a shorter pool begins a longer one.
    """
    sources = [_joined(file) for file in texts.candidates]
    for turn in count():
        offset = round(chars * _van_der_corput(turn))
        places = [(text, start) for text in sources for start in range(offset, len(text) - chars + 1, chars)]
        random.Random(f"{seed}:{turn}").shuffle(places)
        for text, start in places:
            yield text[start : start + chars]


def _joined(file: File) -> str:
    return "\n".join(document.text for document in _documents(file))


def _documents(file: File) -> Iterator[Document]:
    for shard in plan([file], Fields()):
        yield from (item for item in read(shard, Fields()) if isinstance(item, Document))


def _van_der_corput(turn: int) -> float:
    """0, 1/2, 1/4, 3/4, 1/8, ...: each new offset as far from the others as can be."""
    return int(format(turn, "b")[::-1], 2) / (1 << turn.bit_length()) if turn else 0.0


def write_lines(path: Path, texts: Iterable[str]) -> Path:
    """Plain JSONL with the one field that gotd and DSIR both read."""
    with path.open("wb") as file:
        file.writelines(orjson.dumps({"text": text}) + b"\n" for text in texts)
    return path


def target_lines(texts: Texts, path: Path, documents: int, *, seed: int = 0) -> Path:
    """A target of at most so many documents."""
    return write_lines(path, _sampled(texts.target, documents, seed))
