"""What a comparison takes, from rates: arithmetic with known answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gotd.comparison import cost
from gotd.comparison.config import Config, Task
from gotd.comparison.plan import Cell
from gotd.dry_run import DryRun
from gotd.dry_run.rates import Line, Rates
from gotd.dry_run.steps import Job, steps

ZERO = Line(0.0, 0.0)
EMBEDDING = Rates(0, 0, 0, ZERO, 0, 1.0, ZERO, ZERO, 0, 0, 0, 0, 8, 0, False, "cpu", "cpu")  # a second a document
JOB = Job(0, 0, 100, 100, 10, 5, 20, 1, 0.1, False, 1, 10.0, 0, False, True)
CELLS = [Cell(task, row, budget, 0) for task in "ab" for row in ("near", "words") for budget in ("9docs", "20docs")]
CONFIG = Config("model", ("pool",), (Task("a", ("target",), ("test",)),), {"random": {}}, ("20docs",), (0,))


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch):
    """seconds(rates, embedded) of four scorings and eight choices, of which one row alone embeds."""

    def reckoned(rates: Rates, embedded: set[str]) -> float:
        def looked(config: Config, task: str, row: str) -> DryRun:
            job = replace(JOB, embeds=row == "near")
            return DryRun([], "static", None, "", {}, steps(job, rates), job, rates, 0.0, 0.0)

        monkeypatch.setattr(cost, "_looked", looked)
        return cost._choosing(CONFIG, CELLS[::2], CELLS, embedded)

    return reckoned


def test_vectors_that_serve_all_are_made_once(seconds) -> None:
    assert seconds(EMBEDDING, set()) == 100
    assert seconds(EMBEDDING, {"other"}) == 100
    assert seconds(EMBEDDING, {"static"}) == 0


def test_those_of_an_encoder_of_its_own_are_made_for_each_scoring(seconds) -> None:
    assert seconds(replace(EMBEDDING, encoder_bytes=1), {"static"}) == 200


def test_every_scoring_reads_the_pool_and_the_pass_that_embeds_it_too(seconds) -> None:
    reading = replace(EMBEDDING, embed_alone=0.0, price_row=0.01)
    assert seconds(reading, set()) == pytest.approx(4)
    assert seconds(replace(reading, embed_alone=1.0), set()) == pytest.approx(105)


def test_every_choice_is_made_and_measured(seconds) -> None:
    """Twice 20 chosen texts embedded and two solves to choose, 20 texts and a solve by the shared potential."""
    rates = replace(EMBEDDING, embed_alone=0.0, embed_text=0.01, again=Line(1.0, 0.0))
    fits = 4 * (10 + 5) * 0.01
    assert seconds(rates, set()) == pytest.approx(fits + 8 * (2 + 2 * 20 * 0.01 + 1 + 20 * 0.01))
