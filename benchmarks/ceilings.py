"""What a device can do at all: products of square matrices in each precision, and copies to, from and within it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Card:
    """Where it runs, how often, and what was measured of it: products in FLOP a second, copies in bytes a second."""

    device: torch.device
    rounds: int
    products: dict[str, float]
    copies: dict[str, float]

    def timed(self, work: Callable[[], Any]) -> float:
        return timed(work, self.device, self.rounds)


def timed(work: Callable[[], Any], device: torch.device, rounds: int) -> float:
    """Seconds, the median of `rounds` after one more."""
    found = []
    for _ in range(rounds + 1):
        settle(device)
        started = time.perf_counter()
        work()
        settle(device)
        found.append(time.perf_counter() - started)
    return median(found[1:])


def settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measured(device: torch.device, rounds: int, side: int) -> Card:
    """The ceilings."""
    types = {"float32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    if device.type == "cuda":
        types["tf32"] = torch.float32
    products = {}
    for name, dtype in types.items():
        square = torch.randn(side, side, device=device).to(dtype)
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
        products[name] = 2 * side**3 / timed(lambda: square @ square, device, rounds)  # noqa: B023
        torch.set_float32_matmul_precision(before)
    products.setdefault("tf32", products["float32"])
    host = torch.ones(side * side * 4, dtype=torch.uint8)
    there, other = (torch.empty_like(host, device=device) for _ in range(2))
    pinned = host.pin_memory() if device.type == "cuda" else host
    copies = {
        "host to device, pinned": host.numel() / timed(lambda: there.copy_(pinned, non_blocking=True), device, rounds),
        "host to device": host.numel() / timed(lambda: there.copy_(host), device, rounds),
        "device to host, pinned": host.numel() / timed(lambda: pinned.copy_(there, non_blocking=True), device, rounds),
        # Read and written.
        "within the device": 2 * host.numel() / timed(lambda: other.copy_(there), device, rounds),
    }
    return Card(device, rounds, products, copies)
