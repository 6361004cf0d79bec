"""What becomes of shards whose workers die, by workers that die as they are told to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gotd.corpus import Shard
from gotd.engine.crew import GIVE_UP, Death, Ready, cause, supervised
from gotd.engine.parts import Done, Lost
from gotd.errors import GotdError


@dataclass
class Script:
    """A crew whose workers die of a shard as often as `deaths` says; one has something to say at a time.

    Attributes:
        log: what was done, and by how many workers at most since the start or the last mark.
    """

    deaths: dict[int, int] = field(default_factory=dict)
    stillborn: bool = False
    started: int = 0
    alive: int = 0
    log: list[tuple[int, int]] = field(default_factory=list)

    def start(self) -> Actor:
        self.started += 1
        self.alive += 1
        return Actor(self)

    def wait(self, workers: Sequence[Actor]) -> Sequence[Actor]:
        return workers[:1]


class Actor:
    def __init__(self, script: Script) -> None:
        self.script = script
        self.says: Ready | Done | Death = Death("it was born dead") if script.stillborn else Ready()

    def give(self, shard: Shard) -> None:
        script = self.script
        script.log.append((shard.index, script.alive))
        left = script.deaths.get(shard.index, 0)
        script.deaths[shard.index] = left - 1
        self.says = Death(f"death {left}") if left > 0 else Done(shard, Path("stem"), {})

    def hear(self) -> Ready | Done | Death:
        if isinstance(self.says, Death):
            self.script.alive -= 1
        return self.says

    def stop(self) -> None:
        self.script.alive -= 1


def outcomes(script: Script, shards: Sequence[Shard], count: int) -> tuple[list[int], list[tuple[int, str]]]:
    """Indices of what was done, and of what was lost with the reasons; no worker is left behind."""
    every = list(supervised(script, shards, count))
    assert script.alive == 0
    done = sorted(one.shard.index for one in every if isinstance(one, Done))
    return done, [(one.shard.index, one.reason) for one in every if isinstance(one, Lost)]


@pytest.mark.parametrize(("count", "started"), [(1, 1), (2, 2), (6, 6), (99, 6)])
def test_no_more_workers_than_shards(count: int, started: int, shards: list[Shard]) -> None:
    script = Script()
    assert outcomes(script, shards, count) == (list(range(6)), [])
    assert script.started <= started
    assert max(alive for _, alive in script.log) <= started


def test_a_dead_worker_is_replaced_and_its_shard_tried_again_alone(shards: list[Shard]) -> None:
    script = Script({1: 1, 4: 1})
    assert outcomes(script, shards, 2) == (list(range(6)), [])
    tries = [index for index, _ in script.log]
    assert sorted(tries) == [0, 1, 1, 2, 3, 4, 4, 5]
    assert script.log[-2:] == [(1, 1), (4, 1)]  # last of all, beside no other


def test_a_second_death_is_quarantine(shards: list[Shard]) -> None:
    script = Script({1: 9, 3: 1, 4: 9})
    assert outcomes(script, shards, 2) == ([0, 2, 3, 5], [(1, "death 8"), (4, "death 8")])


def test_deaths_one_after_another_are_not_the_shards(shards: list[Shard]) -> None:
    """As on a machine that is too small for any: it is given up before each has been tried twice."""
    many = [Shard(shards[0].file, index, 0, 1) for index in range(3 * GIVE_UP)]
    script = Script({shard.index: 9 for shard in many})
    with pytest.raises(GotdError, match=rf"{GIVE_UP} workers died one after another, the last: death 9\. Run the same"):
        list(supervised(script, many, 2))
    assert script.alive == 0
    assert len(script.log) <= GIVE_UP + 2
    one_lives = Script({shard.index: 9 for shard in many if shard.index % GIVE_UP})
    with pytest.raises(GotdError):  # in the second round, where the good ones are done already
        list(supervised(one_lives, many, 2))
    assert {index for index, _ in one_lives.log} == set(range(len(many)))


def test_a_worker_that_cannot_start_is_no_fault_of_a_shard(shards: list[Shard]) -> None:
    script = Script(stillborn=True)
    with pytest.raises(GotdError, match=r"could not start: it was born dead\. Pass ") as caught:
        list(supervised(script, shards, 2))
    assert (script.alive, script.started, script.log) == (0, 2, [])
    assert "--executor inline" in str(caught.value)


def test_an_interrupt_leaves_no_worker(shards: list[Shard]) -> None:
    script = Script()
    outcomes = supervised(script, shards, 3)
    next(outcomes)
    assert script.alive == 3
    outcomes.close()
    assert script.alive == 0


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (-9, "SIGKILL killed it, as the system does for want of memory"),
        (-11, "SIGSEGV killed it"),
        (-99, "signal 99 killed it"),
        (3, "it ended with exit status 3"),
    ],
)
def test_how_a_worker_ended_is_told(status: int, told: str) -> None:
    assert cause(status) == told
