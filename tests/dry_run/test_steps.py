"""Seconds from rates: arithmetic with known answers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from gotd.dry_run.rates import Line, Rates
from gotd.dry_run.steps import Job, further_pass, steps

ZERO = Line(0.0, 0.0)
NONE = Rates(0, 0, 0, ZERO, 0, 0, ZERO, ZERO, 0, 0, 0, 0, 8, 0, False, "cpu", "cpu")
JOB = Job(
    bytes=1000,
    other_bytes=10,
    rows=800,
    reference_rows=800,
    fitted=100,
    targets=50,
    chosen=40,
    workers=2,
    longest=0.1,
    streamed=False,
    rounds=1,
    shortlist=10.0,
    sources=0,
    separate=False,
    embeds=True,
)


def seconds(job: Job, **rates: object) -> dict[str, float]:
    """Of the steps that take any."""
    return {step.name: step.seconds for step in steps(job, replace(NONE, **rates)) if step.seconds}


def test_a_line_goes_through_both_points() -> None:
    line = Line.through((10, 3.0), (30, 7.0))
    assert (line.fixed, line.each) == (1.0, 0.2)
    assert line.at(100) == pytest.approx(21)


@pytest.mark.parametrize(("small", "large"), [((10, 5.0), (30, 5.0)), ((10, 6.0), (30, 5.0)), ((10, 5.0), (10, 5.0))])
def test_what_takes_no_longer_for_more_is_fixed(small: tuple[float, float], large: tuple[float, float]) -> None:
    line = Line.through(small, large)
    assert (line.fixed, line.each, line.at(1e9)) == (5.0, 0.0, 5.0)


def test_what_grows_faster_than_its_size_starts_from_nothing() -> None:
    """A line that would begin below zero: the larger point tells the slope."""
    assert Line.through((10, 1.0), (30, 9.0)) == Line(0.0, 0.3)


def test_each_file_is_digested_by_every_stage_that_reads_it() -> None:
    assert seconds(JOB, hash_byte=1.0) == {"digest the files": 3 * 1000 + 2 * 10}
    assert seconds(replace(JOB, separate=True), hash_byte=1.0) == {"digest the files": 2 * 1000 + 2 * 10}


def test_reading_passes_over_all_and_parses_what_is_drawn() -> None:
    found = seconds(JOB, scan_row=1.0)
    assert found == {"read target and reference": 800}
    drawn = 100 * (1 + math.log(8)) + 50
    assert seconds(JOB, parse_row=1.0)["read target and reference"] == pytest.approx(drawn)


def test_cheap_vectors_are_made_for_five_times_the_sample() -> None:
    step = "embed more of the reference"
    assert step not in seconds(JOB, scan_row=1.0, parse_row=1.0)
    assert seconds(JOB, scan_row=1.0, cheap=True)[step] == 800
    assert seconds(JOB, parse_row=1.0, cheap=True)[step] == seconds(JOB, embed_text=1.0, cheap=True)[step] == 500
    assert seconds(JOB, price_row=1.0, cheap=True)[step] == 500
    assert step not in seconds(replace(JOB, fitted=800), scan_row=1.0, cheap=True)


def test_the_fit_grows_with_texts_and_the_solving_with_pairs() -> None:
    found = seconds(JOB, fit_encoder=Line(1.0, 0.1), embed_text=1.0, solve=Line(2.0, 1e-3))
    assert found["fit the encoder"] == pytest.approx(1 + 15)
    assert found["embed target and reference"] == 150
    assert found["solve"] == pytest.approx(2 + 5)


def test_workers_share_the_rows_but_for_what_only_one_can_read() -> None:
    rates = replace(NONE, parse_row=1.0, embed_alone=2.0, price_row=3.0, keep_row=4.0, start=5.0)
    assert further_pass(JOB, rates) == 5 + 400 * 10
    assert further_pass(replace(JOB, longest=0.75), rates) == 5 + 600 * 10


def test_a_choice_is_solved_again_for_itself_a_random_one_and_each_round() -> None:
    once = (100 + 40) * 50
    assert seconds(JOB, again=Line(0.0, 1.0)) == {"choose": 2 * once}
    assert seconds(replace(JOB, rounds=4), again=Line(0.0, 1.0)) == {"choose": 6 * once}


def test_choosing_fetches_compares_and_reads_again_what_cannot_be_sought() -> None:
    assert seconds(JOB, compare_text=1.0) == {"choose": 40}
    assert seconds(replace(JOB, streamed=True), scan_row=1.0)["choose"] == 3 * 800
    assert "choose" not in seconds(JOB, scan_row=1.0)


def test_sources_are_measured_only_where_that_is_asked_for() -> None:
    assert "measure the sources" not in seconds(JOB, scan_row=1.0, again=Line(0.0, 1.0))
    found = seconds(replace(JOB, sources=4), again=Line(0.0, 1.0))
    assert found["measure the sources"] == 2 * 4 * (800 / 4 * 50)
