"""What documents are priced with: the device, and the precision of its products.

A GPU multiplies numbers of ten bits many times as fast as float32. What that does to the choice is measured, once for
each potential: the sample of the reference that it holds is ranked with each precision, the fastest first, and the
first that keeps 99 % of the best 1 % by float64 is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gotd.encoders import Encoder
from gotd.encoders.weights import ON_GPU, transport_device
from gotd.engine import Executor
from gotd.potential import Potential
from gotd.pricing import Pricer
from gotd.selection import several
from gotd.selection.gradient import overlaps
from gotd.transfers import give_back
from gotd.transport import Products, SoftMin

AT_LEAST = 0.99  # of the best 1 %
TRIED: tuple[Products, ...] = ("fp16", "tf32")
# One reads and writes while the device works for the other. Each has a context, a model and a block of its own there.
WORKERS_A_GPU = 2


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What prices documents.

    Attributes:
        device: its type, and its number if one was asked for.
        products: of what precision.
        agreement: share of the best 1, 5 and 10 % of the reference's sample that it has in common with float64.
    """

    device: str
    products: Products
    agreement: dict[str, float]


def arithmetic_for(potential: Potential, device: str) -> Arithmetic | None:
    """What to price a pool with, where `device` is as the user said it.

    None for the CPU, which takes float32, and for other methods than gotd, which rank on the CPU.
    """
    where = transport_device(device, potential.encoder.config())
    if where.type == "cpu" or potential.method is not None:
        return None
    found = precision_for(potential, where)
    give_back(where)
    return found


def priced_with(potential: Potential, device: str, products: Products | None) -> Potential:
    """In a worker: the potential as the arithmetic says, on the device that `device` means there."""
    where = transport_device(device, potential.encoder.config())
    return potential if products is None or where.type == "cpu" else potential.on(where, products)


def precision_for(potential: Potential, device: torch.device, tried: Sequence[Products] = TRIED) -> Arithmetic:
    """The first of `tried` that ranks the reference's sample as float64 does; float32 if none does."""
    exact = _ranked(potential, device, "float32", torch.float64)
    for products in (*tried, "float32"):
        agreement = overlaps([exact, _ranked(potential, device, products, torch.float32)])
        if products == "float32" or agreement["1%"] >= AT_LEAST:
            return Arithmetic(str(device), products, agreement)
    raise AssertionError("float32 is the last")


def worker_count(workers: int | None, executor: Executor | None, device: str, potential: Potential) -> int | None:
    """Processes to score with, where the user leaves it open and they would share a GPU; Ray shares them out itself."""
    encoder = potential.encoder.config()
    works_there = potential.method is None or encoder.get("kind") in ON_GPU
    if workers is not None or executor == "ray" or not works_there or transport_device(device, encoder).type == "cpu":
        return workers
    return WORKERS_A_GPU


def on_gpu(device: str, encoder: Encoder) -> bool:
    """Whether the work is quicker with a GPU."""
    device = str(device)  # from Python it may be torch's
    return device.startswith("cuda") or (device != "cpu" and encoder.config().get("kind") in ON_GPU)


def _ranked(potential: Potential, device: torch.device, products: Products, dtype: torch.dtype) -> torch.Tensor:
    """Scores (n,) of the reference's sample."""
    attracts = tuple(_as(term.attract, dtype) for term in potential.terms)
    repel = None if potential.repel is None else _as(potential.repel, dtype)
    pricer = Pricer.of(potential.space, attracts, repel, device, products)
    return several.scores(potential.terms, pricer.points(potential.reference.points)[0])


def _as(part: SoftMin, dtype: torch.dtype) -> SoftMin:
    return SoftMin(part.points.to(dtype), part.g.to(dtype), part.log_b.to(dtype), part.reg, part.cost)
