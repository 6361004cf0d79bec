"""Between host and device without waiting. What only CUDA runs is here, and a few lines in `transport/products.py`.

    sent        one tensor to the device
    streamed    the rows of a large one, block by block, the next travelling while the caller works on this one
    Fetch       a result on its way back, waited for when it is needed
    give_back   memory that is not needed any more, to other processes

A copy that nobody waits for needs pinned memory, and pinned memory must not be written again before the copy from it
has ended. On other devices all three copy plainly.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from gotd.errors import GotdError


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on the device."""
    if device.type == "cuda":
        # torch gives the pinned copy to nobody else before this transfer has ended: its allocator records an event.
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class Fetch:
    """A tensor on its way to the host, behind the work on the current stream that was asked for so far."""

    def __init__(self, found: Tensor) -> None:
        self._done: torch.cuda.Event | None = None
        if found.is_cuda:
            self._host = torch.empty(found.shape, dtype=found.dtype, pin_memory=True)
            self._host.copy_(found, non_blocking=True)
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._done.record(torch.cuda.current_stream(found.device))
        else:
            self._host = found.cpu()

    def wait(self) -> Tensor:
        """The tensor, arrived."""
        if self._done is not None:
            self._done.synchronize()
        return self._host


def streamed(host: Tensor, rows: int, device: torch.device) -> Iterator[tuple[int, Tensor]]:
    """Blocks of at most `rows` rows of a host tensor (n, ...) on the device, each with its first row.

    A block is overwritten once the caller asks for the next but one: its work on a block must be asked for, on the
    stream that was current at the start, before it asks for another. Two blocks are held, here and on the device.
    """
    starts = range(0, len(host), rows)
    if device.type != "cuda":
        for start in starts:
            yield start, host[start : start + rows].to(device)
    elif len(starts) <= 1:
        yield from ((start, sent(host, device)) for start in starts)
    else:
        yield from _by_lanes(host, starts, device)


def _by_lanes(host: Tensor, starts: range, device: torch.device) -> Iterator[tuple[int, Tensor]]:
    main = torch.cuda.current_stream(device)
    side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    lanes = [_Lane(host, starts.step, device), _Lane(host, starts.step, device)]
    side.wait_stream(main)  # memory that the lanes were given may have had another use, which main is still at
    lanes[0].send(host[: starts.step], side)
    for number, start in enumerate(starts):
        lane, other = lanes[number % 2], lanes[1 - number % 2]
        # All copies asked for so far: where the caller stops here, none is on its way to memory that is given back.
        main.wait_event(lane.arrived)
        yield start, lane.block[: min(starts.step, len(host) - start)]
        lane.used.record(main)
        if start + starts.step < len(host):
            other.send(host[start + starts.step : start + 2 * starts.step], side)


class _Lane:
    """A pinned buffer and the block of the device that it is copied to; an event not yet recorded holds nobody up."""

    def __init__(self, host: Tensor, rows: int, device: torch.device) -> None:
        shape = (rows, *host.shape[1:])
        self._pinned = torch.empty(shape, dtype=host.dtype, pin_memory=True)
        self.block = torch.empty(shape, dtype=host.dtype, device=device)
        self.arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self.used = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def send(self, rows: Tensor, side: torch.cuda.Stream) -> None:
        self.arrived.synchronize()  # the host waits: the last copy out of the pinned buffer has ended
        self._pinned[: len(rows)].copy_(rows)
        side.wait_event(self.used)  # the device waits: the caller's work on the block has ended
        with torch.cuda.stream(side):
            self.block[: len(rows)].copy_(self._pinned[: len(rows)], non_blocking=True)
            self.arrived.record(side)


def give_back(device: torch.device | str) -> None:
    """To the card, what torch keeps of it for later: other processes are about to work there."""
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()


@contextmanager
def enough_memory(what: str, remedy: str) -> Iterator[None]:
    """Where the device has too little memory, one line that says for what, and what to do."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise GotdError(f"the device has too little memory for {what}; {remedy}") from error
