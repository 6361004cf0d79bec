"""Transfers, with CUDA's streams played by two adversaries: one that works as late as it may, one as early.

A stream is a line of work in order; nobody waits for it but where the code says so. What is read before it was
written, or written before it was read, gives another answer under one of the four ways in which two streams can be
late or early.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, combinations
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gotd import GotdError, transfers

CUDA = torch.device("cuda")


class Event:
    def __init__(self) -> None:
        self.asked = self.done = 0
        self.stream: Stream | None = None

    def record(self, stream: Stream) -> None:
        self.asked, self.stream = self.asked + 1, stream
        stream.do(self._mark)

    def _mark(self) -> None:
        self.done += 1

    def synchronize(self, asked: int | None = None) -> None:
        while self.done < (self.asked if asked is None else asked):
            assert self.stream is not None
            self.stream.step()


class Stream:
    """A line of work; before each piece the events that it waits for."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.queue = machine, deque()
        machine.streams.append(self)

    def do(self, work: Callable[[], Any]) -> None:
        self.queue.append(([], work))
        self.machine.hurry()

    def wait_event(self, event: Event) -> None:
        self.queue.append(([(event, event.asked)], lambda: None))
        self.machine.hurry()

    def wait_stream(self, other: Stream) -> None:
        event = Event()
        event.record(other)
        self.wait_event(event)

    @property
    def ready(self) -> bool:
        return bool(self.queue) and all(event.done >= asked for event, asked in self.queue[0][0])

    def step(self) -> None:
        waits, work = self.queue[0]
        for event, asked in waits:
            event.synchronize(asked)
        self.queue.popleft()
        work()


class Machine:
    """What `transfers` finds under the name of torch."""

    def __init__(self, early: tuple[int, ...]) -> None:
        self.streams: list[Stream] = []
        self.early = early
        self.main = Stream(self)
        self.current = self.main
        self.most = 0
        self.cuda = SimpleNamespace(
            Event=Event,
            Stream=lambda device: Stream(self),
            current_stream=lambda device: self.main,
            stream=self._on,
        )

    @contextmanager
    def _on(self, stream: Stream) -> Iterator[None]:
        self.current = stream
        yield
        self.current = self.main

    def hurry(self) -> None:
        """Streams that are early do all that they may."""
        while ready := [stream for number, stream in enumerate(self.streams) if number in self.early and stream.ready]:
            ready[0].step()

    def empty(self, shape: Any, *, dtype: Any, pin_memory: bool = False, device: Any = None) -> Buffer:
        assert pin_memory != (device is not None)
        return Buffer(torch.full(tuple(shape), -1, dtype=dtype), self)


class Buffer:
    """Memory that is pinned or on the device."""

    is_cuda, device = True, CUDA

    def __init__(self, data: torch.Tensor, machine: Machine) -> None:
        self.data, self.machine = data, machine
        self.shape, self.dtype = data.shape, data.dtype

    def __getitem__(self, rows: slice) -> Buffer:
        return Buffer(self.data[rows], self.machine)

    def __len__(self) -> int:
        return len(self.data)

    def copy_(self, source: Any, non_blocking: bool = False) -> None:
        if non_blocking:
            self.machine.current.do(lambda: self.data.copy_(source.data))
        else:
            self.data.copy_(source)


@pytest.fixture(params=chain.from_iterable(combinations((0, 1), size) for size in range(3)), ids=str)
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Main is stream 0, the side stream 1; those named are early, the others late."""
    played = Machine(request.param)
    monkeypatch.setattr(transfers, "torch", played)
    return played


@pytest.mark.parametrize("count", [5, 8, 12, 13, 20])
def test_every_row_arrives_whatever_is_late(machine: Machine, count: int) -> None:
    host = torch.arange(count)
    seen: list[tuple[int, torch.Tensor]] = []
    for start, block in transfers.streamed(host, 4, CUDA):
        machine.main.do(lambda start=start, block=block: seen.append((start, block.data.clone())))
    while machine.main.queue:
        machine.main.step()
    assert [start for start, _ in seen] == list(range(0, count, 4))
    assert torch.cat([block for _, block in seen]).tolist() == host.tolist()


def test_the_host_runs_two_blocks_ahead_at_most(machine: Machine) -> None:
    """So that a slow device does not fill with what is to come: of 50 blocks the first are done before the last."""
    done: list[int] = []
    behind = []
    for number, _ in enumerate(transfers.streamed(torch.arange(200), 4, CUDA)):
        behind.append(number - len(done))
        machine.main.do(lambda number=number: done.append(number))
    assert max(behind) <= 3


def test_memory_is_given_back_with_no_copy_on_its_way(machine: Machine) -> None:
    blocks = transfers.streamed(torch.arange(20), 4, CUDA)
    next(blocks)
    next(blocks)
    blocks.close()
    while machine.main.queue:
        machine.main.step()
    assert not machine.streams[1].queue


def test_a_result_is_there_when_it_was_waited_for(machine: Machine) -> None:
    found = Buffer(torch.zeros(3, dtype=torch.int64), machine)
    machine.main.do(lambda: found.data.fill_(7))
    fetch = transfers.Fetch(found)
    machine.main.do(lambda: found.data.fill_(9))
    assert fetch.wait().data.tolist() == [7, 7, 7]


def test_on_the_cpu_blocks_are_the_rows() -> None:
    host = torch.arange(10)
    found = list(transfers.streamed(host, 4, torch.device("cpu")))
    assert [start for start, _ in found] == [0, 4, 8]
    assert torch.cat([block for _, block in found]).tolist() == host.tolist()
    assert transfers.Fetch(host).wait().tolist() == host.tolist()
    assert list(transfers.streamed(host[:0], 4, torch.device("cpu"))) == []


def test_too_little_memory_is_one_line_with_the_remedy() -> None:
    def work() -> None:
        with transfers.enough_memory("a block of 65,536 documents", "pass rows=8192"):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with pytest.raises(
        GotdError, match=r"^the device has too little memory for a block of 65,536 documents; pass rows"
    ):
        work()
