"""From raw vectors to points: unit length, centred, and honest about what has no direction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gotd.errors import InputError, SettingsError
from gotd.transport import Space


@pytest.fixture
def vectors() -> np.ndarray:
    """Vectors (50, 8) of many lengths that share a large common part."""
    generator = np.random.default_rng(0)
    lengths = generator.uniform(0.01, 100, (50, 1))
    return ((generator.normal(size=(50, 8)) + 3) * lengths).astype(np.float32)


@pytest.mark.parametrize("centre", [True, False])
def test_points_have_unit_length(vectors, centre):
    points = Space.fit(vectors, centre=centre)(vectors)
    assert points.dtype == torch.float32
    torch.testing.assert_close(points.norm(dim=1), torch.ones(50))


def test_uncentred_only_the_length_goes(vectors):
    expected = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(Space.fit(vectors, centre=False)(vectors).numpy(), expected, atol=1e-6)


def test_centring_takes_the_mean_of_the_unit_vectors_off(vectors):
    """v -> v / |v|, minus the reference's mean, again to unit length; that mean serves new vectors."""
    space = Space.fit(vectors, centre=True)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(space.mean.numpy(), unit.mean(0), atol=1e-6)
    expected = unit[:7] - unit.mean(0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(space(vectors[:7]).numpy(), expected, atol=1e-5)


def test_the_length_of_a_vector_does_not_count(vectors):
    space = Space.fit(vectors, centre=True)
    torch.testing.assert_close(space(1000 * vectors), space(vectors), rtol=0, atol=1e-5)


@pytest.mark.parametrize("centre", [True, False])
def test_a_vector_of_zeros_stays_zero(vectors, centre):
    space = Space.fit(vectors, centre=centre)
    vectors = vectors.copy()
    vectors[3] = 0
    points = space(vectors)
    assert points[3].tolist() == [0.0] * 8
    torch.testing.assert_close(points[4].norm(), torch.tensor(1.0))


def test_a_vector_equal_to_the_mean_has_no_direction():
    """What centring leaves of it is rounding: no direction is made up."""
    same = np.random.default_rng(1).normal(size=300).astype(np.float32)[None].repeat(7, 0)
    space = Space.fit(same, centre=True)
    left = Space()(same) - space.mean
    assert 0 < left.abs().max() < 1e-6
    assert space(same).abs().max() == 0


def test_a_single_vector_is_a_batch_of_one(vectors):
    space = Space.fit(vectors, centre=True)
    torch.testing.assert_close(space(vectors[:1]), space(vectors)[:1])
    assert space(vectors[:0]).shape == (0, 8)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_names_its_row(vectors, bad):
    space = Space.fit(vectors, centre=True)
    vectors = vectors.copy()
    vectors[17, 2] = bad
    for attempt in (lambda: space(vectors), lambda: Space.fit(vectors, centre=True)):
        with pytest.raises(InputError, match="vector 17 of 50 holds NaN or infinity; drop or mend that document"):
            attempt()


def test_a_single_row_without_its_axis_is_refused(vectors):
    with pytest.raises(InputError, match=r"vectors have shape \(8,\); wanted \(n, d\), a row for each document"):
        Space()(vectors[0])


def test_vectors_of_another_encoder_are_refused(vectors):
    with pytest.raises(InputError, match=r"vectors have 7 dimensions, the potential was fitted on 8; use the encoder"):
        Space.fit(vectors, centre=True)(vectors[:, :7])


def test_whitened_points_vary_alike_in_every_direction(vectors):
    """W C W = 1 up to the share d / (n + d) by which variances are drawn toward their mean."""
    rng = np.random.default_rng(3)
    many = (rng.normal(size=(20_000, 6)) * [8, 4, 2, 1, 0.5, 0.25]).astype(np.float32)
    centred = Space.fit(many, centre=True)(many)
    space = Space.fit(many, centre=True, whiten=1)
    moved = centred @ space.axes
    moments = moved.T @ moved / len(moved)
    spread = moments.diagonal() / moments.diagonal().mean()
    torch.testing.assert_close(spread, torch.ones(6), rtol=0, atol=0.03)
    assert moments.fill_diagonal_(0).abs().max() < 0.01 * moved.square().mean()
    torch.testing.assert_close(space(many).norm(dim=1), torch.ones(20_000))


def test_half_whitened_lies_between(vectors):
    rng = np.random.default_rng(3)
    many = (rng.normal(size=(20_000, 2)) * [9, 1]).astype(np.float32)
    centred = Space.fit(many, centre=True)(many)
    before, half = centred.std(0), (centred @ Space.fit(many, centre=True, whiten=0.5).axes).std(0)
    torch.testing.assert_close(half[0] / half[1], (before[0] / before[1]).sqrt(), rtol=1e-3, atol=0)


def test_the_leading_directions_are_left_out(vectors):
    rng = np.random.default_rng(3)
    many = (rng.normal(size=(5_000, 5)) * [1, 1, 9, 1, 1]).astype(np.float32)
    points = Space.fit(many, centre=True, remove_top=1)(many)
    assert points[:, 2].abs().max() < 0.02
    torch.testing.assert_close(points.norm(dim=1), torch.ones(5_000))


def test_a_whitened_point_has_the_same_bits_in_any_company(vectors):
    space = Space.fit(vectors, centre=True, whiten=1)
    many = np.concatenate([vectors] * 7)
    together = space(many)
    for start, stop in ((0, 1), (3, 132), (128, 350)):
        assert torch.equal(space(many[start:stop]), together[start:stop])


def test_directions_need_a_centre(vectors):
    with pytest.raises(SettingsError, match="need centred vectors"):
        Space.fit(vectors, centre=False, whiten=1)


def test_more_directions_than_there_are_cannot_be_left_out(vectors):
    with pytest.raises(SettingsError, match="8 directions"):
        Space.fit(vectors, centre=True, remove_top=8)


def test_equal_vectors_have_no_directions_to_even_out():
    same = np.ones((7, 4), dtype=np.float32)
    assert Space.fit(same, centre=True, whiten=1).axes is None


@pytest.mark.parametrize("scale", [1e-40, 1e-9, 1e-5, 1e12, 1e22, 1e37])
def test_directions_alone_count_however_long_vectors_are(scale: float) -> None:
    """Squares of the shortest and the longest leave float32: these were taken for texts of which nothing is known."""
    vectors = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    space = Space.fit(vectors, centre=True)
    scaled = (vectors.astype(np.float64) * scale).astype(np.float32)
    np.testing.assert_allclose(space(scaled).numpy(), space(vectors).numpy(), atol=1e-2 if scale < 1e-38 else 1e-6)
    fitted = Space.fit(scaled, centre=True)
    assert fitted.mean is not None
    assert space.mean is not None
    np.testing.assert_allclose(fitted.mean.numpy(), space.mean.numpy(), atol=1e-2 if scale < 1e-38 else 1e-6)
