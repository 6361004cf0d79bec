"""What only a CUDA card can show; elsewhere every test here is skipped. `test_pricing.py` and others need none.

The ranking is that of the CPU, the transfers are right under real streams, the same call gives the same bits, memory
stays bounded, and what does not fit is told.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import gotd
from gotd import FitSettings, GotdError, Potential
from gotd.encoders import batching, fit_encoder
from gotd.encoders.precomputed import Precomputed
from gotd.selection.gradient import overlaps
from gotd.stages.arithmetic import precision_for
from gotd.stages.fit import fitted
from gotd.transfers import Fetch, streamed
from gotd.transport.products import _wide_sums, product, rounded

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
CUDA = torch.device("cuda")
DIM = 64


def drawn(count: int, seed: int, shift: float = 0.0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal((count, DIM)) + shift).astype(np.float32)


@pytest.fixture(scope="module")
def potential() -> Potential:
    return fitted(Precomputed(DIM), drawn(20_000, 0), drawn(1000, 1, 0.3), FitSettings())


@pytest.fixture(scope="module")
def pool() -> NDArray[np.float32]:
    return drawn(200_000, 3)


def alike(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Share of the best 1 % in common."""
    return overlaps([torch.from_numpy(scores) for scores in (first, second)])["1%"]


@pytest.mark.parametrize("products", ["fp16", "tf32", "bf16"])
def test_products_are_those_of_the_cpu(products) -> None:
    """Rounded alike and summed in float32: up to the order of sums; tensor cores cut tf32 a bit where we round."""
    x, y = (torch.from_numpy(drawn(count, 0)) / 8 for count in (300, 200))
    there = product(*(rounded(side.to(CUDA), products) for side in (x, y)), products)
    here = product(*(rounded(side, products) for side in (x, y)), products)
    assert there.dtype == torch.float32
    error = {"fp16": 1e-5, "bf16": 1e-5, "tf32": 5e-3}[products]
    torch.testing.assert_close(there.cpu(), here, rtol=0, atol=error)


def test_halves_are_multiplied_by_tensor_cores_to_float32() -> None:
    """Else they go through float32, right and slow: from torch 2.8 on there is no need."""
    assert _wide_sums("cuda", torch.float16)


@pytest.mark.parametrize("rows", [7_001, 65_536, 1_000_000])
def test_blocks_arrive_whole_while_the_device_is_busy(rows) -> None:
    host = torch.arange(200_000 * 8, dtype=torch.float32).reshape(-1, 8)
    busy = torch.randn(2048, 2048, device=CUDA)
    sums = torch.empty(len(host), device=CUDA)
    for start, block in streamed(host, rows, CUDA):
        busy = torch.tanh(busy @ busy)
        sums[start : start + len(block)] = block.sum(1)
    assert torch.equal(Fetch(sums).wait(), host.sum(1))


@pytest.mark.parametrize("products", ["float32", "tf32", "fp16"])
@pytest.mark.parametrize("half", [False, True])
def test_the_ranking_is_that_of_the_cpu(potential, pool, products, half) -> None:
    vectors = pool.astype(np.float16) if half else pool
    assert alike(potential.on(CUDA, products).score(vectors), potential.score(pool)) >= 0.99


def test_a_fit_there_ranks_as_a_fit_here(potential, pool) -> None:
    there = fitted(Precomputed(DIM), drawn(20_000, 0), drawn(1000, 1, 0.3), FitSettings(), device=CUDA)
    assert there.quality.converged
    assert alike(there.score(pool), potential.score(pool)) >= 0.99


def test_the_certificate_is_that_of_the_cpu(potential, pool) -> None:
    points, weights = potential.points(pool[:20_000]), torch.rand(20_000)
    found, wanted = (each.priced(points, weights).col for each in (potential.on(CUDA), potential))
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-6)


def test_the_same_call_gives_the_same_bits(potential, pool) -> None:
    there = potential.on(CUDA, "fp16", rows=10_000)
    assert np.array_equal(there.score(pool), there.score(pool))
    fits = [fitted(Precomputed(DIM), drawn(5000, 0), drawn(500, 1), FitSettings(), device=CUDA) for _ in range(2)]
    assert torch.equal(fits[0].attract.g, fits[1].attract.g)
    assert torch.equal(fits[0].repel.g, fits[1].repel.g)


def test_a_fast_precision_is_taken(potential) -> None:
    found = precision_for(potential, CUDA)
    assert found.products == "fp16"
    assert found.agreement["1%"] >= 0.99


def test_memory_does_not_grow_with_the_pool(potential, pool) -> None:
    there = potential.on(CUDA, "fp16", rows=10_000)
    peaks = []
    for count in (40_000, 200_000):
        there.score(pool[:count])
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        there.score(pool[:count])
        peaks.append(torch.cuda.max_memory_allocated() - before)
    # What grows is the scores, four bytes a document.
    assert peaks[1] - peaks[0] <= 5 * 160_000


def test_what_does_not_fit_is_told(potential, pool) -> None:
    there = potential.on(CUDA, rows=200_000)
    torch.cuda.empty_cache()
    # The vectors of the block alone are 51 MB.
    torch.cuda.set_per_process_memory_fraction(64e6 / torch.cuda.get_device_properties(CUDA).total_memory)
    try:
        with pytest.raises(GotdError, match=r"too little memory for a block of 200,000 documents.*rows=25000"):
            there.score(pool)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_an_encoder_there_gives_the_vectors_of_the_cpu(mlm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 where the card has it: cosine .99 at least, in many windows and batches."""
    monkeypatch.setattr(batching, "GPU_WINDOW_TEXTS", 40)
    monkeypatch.setattr(batching, "GPU_BATCH_TOKENS", 300)
    rng = np.random.default_rng(0)
    texts = [" ".join(f"common{word}" for word in rng.integers(40, size=size)) for size in rng.integers(1, 60, 300)]
    here, there = (fit_encoder(f"hf:{mlm}", [], device=device).encode(texts) for device in ("cpu", "cuda"))
    cosines = (here * there).sum(1) / np.linalg.norm(here, axis=1) / np.linalg.norm(there, axis=1)
    assert cosines.min() >= 0.99


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_a_whole_selection_there(corpora, mlm: Path, tmp_path: Path, executor) -> None:
    """Two processes that share the card, or this one: the rare documents, as on the CPU; the manifest says where."""
    found = {}
    for device in ("cpu", "cuda"):
        how = {"encoder": f"hf:{mlm}", "device": device, "executor": executor}
        chosen = gotd.select(corpora.pool, corpora.target, "15docs", tmp_path / device, **how)
        found[device] = set(chosen.to_arrow()["id"].to_pylist())
        assert ("arithmetic" in chosen.manifest) == (device == "cuda")
    assert chosen.manifest["arithmetic"]["device"].startswith("cuda")
    assert len(found["cpu"] & found["cuda"]) >= 14


def test_a_training_in_a_process_of_its_own_tells_the_memory_of_the_card(corpora, mlm: Path, tmp_path: Path) -> None:
    """CUDA has not begun when the count of its memory does."""
    command = [sys.executable, "-m", "gotd", "warmup", "-m", mlm, "-d", corpora.target, "-o", tmp_path / "warm"]
    command += ["--device", str(CUDA), "--tokens", "200", "--window", "32", "--batch-size", "4"]
    subprocess.run([str(part) for part in command], check=True)
    told = json.loads((tmp_path / "warm" / "manifest.json").read_text())
    weights = sum(path.stat().st_size for path in mlm.glob("*.safetensors"))
    assert weights < told["peak_memory_bytes"] < torch.cuda.get_device_properties(CUDA).total_memory
