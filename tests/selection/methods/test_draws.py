"""Numbers made from the seed and an id, and the two methods that are nothing else."""

from __future__ import annotations

import math
from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd.selection.methods import fit_method
from gotd.selection.methods.draws import below_one, gumbel, uniform

IDS = [f"id-{number}" for number in range(20_000)]


def test_a_draw_is_the_hash_of_its_id() -> None:
    digest = blake2b(b"id-7", digest_size=8, key=b"3", person=b"p").digest()
    steps = int.from_bytes(digest, "little") >> 12
    assert uniform(3, ["x", "id-7"], "p")[1] == (steps + 0.5) / 2**52


def test_draws_are_uniform_and_independent_over_seeds_and_purposes() -> None:
    """Kolmogorov-Smirnov at 1 in 1000: 1.95 / sqrt n; and correlations within 4 / sqrt n."""
    draws = [uniform(0, IDS, "a"), uniform(1, IDS, "a"), uniform(0, IDS, "b")]
    steps = np.arange(1, len(IDS) + 1) / len(IDS)
    assert all(np.abs(np.sort(draw) - steps).max() < 1.95 / math.sqrt(len(IDS)) for draw in draws)
    assert np.abs(np.corrcoef(draws) - np.eye(3)).max() < 4 / math.sqrt(len(IDS))


def test_the_ends_are_never_reached(monkeypatch) -> None:
    class Fixed:
        def __init__(self, digest: bytes) -> None:
            self._digest = digest

        def copy(self):
            return self

        def update(self, data: bytes) -> None:
            pass

        def digest(self) -> bytes:
            return self._digest

    for byte, draw in ((b"\0", 2.0**-53), (b"\xff", 1 - 2.0**-53)):
        monkeypatch.setattr("gotd.selection.methods.draws.blake2b", lambda byte=byte, **_: Fixed(byte * 8))
        assert uniform(0, ["a"], "p").tolist() == [draw]
        assert -3.7 < gumbel(0, ["a"], "p")[0] < 36.8
        assert 0 <= below_one(uniform(0, ["a"], "p"))[0] < 1


def test_the_highest_of_log_weight_plus_gumbel_is_drawn_by_weight() -> None:
    """Gumbel-max: of weights 1, 2, 5 each wins 1/8, 2/8, 5/8 of 4000 seeds; four standard errors are .03."""
    wins = [np.argmax(np.log([1, 2, 5]) + gumbel(seed, ["a", "b", "c"], "p")) for seed in range(4000)]
    np.testing.assert_allclose(np.bincount(wins) / 4000, [1 / 8, 2 / 8, 5 / 8], atol=0.031)


@given(st.lists(st.text(max_size=5), max_size=8), st.integers())
def test_a_draw_depends_on_seed_and_id_alone(ids, seed) -> None:
    alone = [uniform(seed, [id], "p")[0] for id in ids]
    assert uniform(seed, ids, "p").tolist() == alone


@pytest.mark.parametrize("seed", [0, -1, 10**50])
def test_random_is_the_draw(planted, seed) -> None:
    method = fit_method("random", seed=seed, **planted.samples)
    scores = method.score(planted.pool)
    assert scores.tolist() == uniform(seed, planted.pool.ids, "gotd-random").astype(np.float32).tolist()
    assert ((scores >= 0) & (scores < 1)).all()
