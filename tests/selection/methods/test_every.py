"""What holds for every method: the same bits on any shard, the same after a save, and what each finds."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from gotd.selection.gradient import fit_gradient
from gotd.selection.methods import BLIND, KNOWN_METHODS, Batch, Method, fit_method, restore_method

CASES = {
    "random": ("random", {}),
    "nearest": ("nearest", {}),
    "nearest mean": ("nearest", {"kind": "mean"}),
    "round-robin": ("round-robin", {}),
    "mmd": ("mmd", {}),
    "mmd gaussian": ("mmd", {"kernel": "gaussian", "sample": 300}),
    "dsir": ("dsir", {}),
    "dsir by weight": ("dsir", {"noise": False, "buckets": 500}),
    "knn-kde": ("knn-kde", {"sigma": 1.0, "c": 1}),
    "all-target": ("all-target", {}),
    "knn-kde drawn": ("knn-kde", {"noise": True, "pool": 10_000, "sample": 200}),
}


@pytest.fixture(scope="module")
def methods(planted) -> dict[str, Method]:
    return {
        case: fit_method(name, seed=3, options=options, **planted.samples) for case, (name, options) in CASES.items()
    }


def test_every_method_is_among_the_cases() -> None:
    assert {name for name, _ in CASES.values()} == set(KNOWN_METHODS)


@pytest.mark.parametrize("case", CASES)
def test_scores_are_finite_float32_and_as_many_as_documents(methods, planted, case) -> None:
    method = methods[case]
    assert isinstance(method, Method)
    assert method.name == CASES[case][0]
    scores = method.score(planted.pool)
    assert scores.shape == (1500,)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    # To all-target one candidate is as little wanted as another.
    assert len(np.unique(scores)) > 700 or case == "all-target"
    assert method.score(planted.part([])).shape == (0,)


@pytest.mark.parametrize("case", CASES)
def test_a_document_without_words_or_direction_has_a_score(methods, planted, case) -> None:
    blank = Batch(["", "\ud800 \x00"], ["", "\ud800"], ["", "new"], torch.zeros(2, planted.pool.points.shape[1]))
    assert np.isfinite(methods[case].score(blank)).all()


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=30)
@given(order=st.permutations(range(300)), cuts=st.lists(st.integers(1, 299), max_size=6))
def test_a_score_has_the_same_bits_whatever_else_is_in_the_batch(methods, planted, case, order, cuts) -> None:
    whole = methods[case].score(planted.pool)
    edges = [0, *sorted(set(cuts)), 300]
    parts = [order[start:stop] for start, stop in pairwise(edges)]
    found = np.concatenate([methods[case].score(planted.part(part)) for part in parts])
    np.testing.assert_array_equal(found, whole[list(order)])


@pytest.mark.parametrize("case", CASES)
def test_a_method_saved_and_restored_scores_alike(methods, planted, case) -> None:
    method = methods[case]
    kept = json.dumps(method.config()), save({k: v.contiguous() for k, v in method.tensors().items()})
    back = restore_method(json.loads(kept[0]), load(kept[1]))
    assert (back.name, back.needs_points, back.config()) == (method.name, method.needs_points, method.config())
    assert method.needs_points == (method.name not in BLIND)
    np.testing.assert_array_equal(back.score(planted.pool), method.score(planted.pool))


@pytest.mark.parametrize("case", [case for case, (name, _) in CASES.items() if name in ("random", "dsir")])
def test_what_needs_no_points_takes_none(methods, planted, case) -> None:
    pool = planted.pool
    assert not methods[case].needs_points
    bare = Batch(pool.texts, pool.ids, pool.sources, torch.empty(len(pool), 0))
    np.testing.assert_array_equal(methods[case].score(bare), methods[case].score(pool))


@pytest.mark.parametrize(
    "case", [case for case, (name, _) in CASES.items() if name in ("nearest", "round-robin", "mmd")]
)
def test_what_scores_points_looks_at_nothing_else(methods, planted, case) -> None:
    pool = planted.pool
    assert methods[case].needs_points
    bare = Batch([""] * len(pool), [""] * len(pool), [""] * len(pool), pool.points)
    np.testing.assert_array_equal(methods[case].score(bare), methods[case].score(pool))


# Share of the rare cluster, 4 % of the pool and half of the target, among the best 60 of 1500.
@pytest.mark.parametrize(
    ("case", "least", "most"),
    [
        ("gotd", 0.9, 1.0),
        ("random", 0.0, 0.1),
        ("nearest", 0.0, 0.1),
        ("mmd", 0.9, 1.0),
        ("mmd gaussian", 0.9, 1.0),
        ("dsir", 0.9, 1.0),
        ("dsir by weight", 0.9, 1.0),
        ("knn-kde", 0.7, 1.0),
        ("round-robin", 0.4, 0.6),
    ],
)
def test_the_share_of_a_rare_cluster_that_each_finds(methods, planted, case, least, most) -> None:
    """What looks at the reference, or at the density of the pool, sees that it is lacking; distance alone does not."""
    if case == "round-robin":
        lists = methods[case].lists()
        lists.add(planted.pool.points, np.arange(1500))
        best = lists.take(60).rows
    elif case == "gotd":
        best = fit_gradient(planted.reference, planted.target)(planted.pool.points).argsort()[:60].tolist()
    else:
        best = np.argsort(methods[case].score(planted.pool), kind="stable")[:60]
    assert least <= planted.rare_among(best) <= most
