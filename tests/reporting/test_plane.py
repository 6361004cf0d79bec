"""The plane: principal components with known answers, UMAP where it is installed."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.decomposition import PCA

from gotd.errors import MissingExtra, SettingsError
from gotd.reporting.plane import check_projection, project

RNG = np.random.default_rng(0)


def test_alike_weights_are_sklearns_components() -> None:
    points = (RNG.normal(size=(60, 7)) * np.arange(1, 8)).astype(np.float32)
    found = project(points, np.ones(60), "pca", 0)
    reference = PCA(2).fit(points)
    assert np.allclose(np.abs(found.xy), np.abs(reference.transform(points)), atol=1e-3)
    assert found.kept == pytest.approx(reference.explained_variance_ratio_.sum(), abs=1e-4)


def test_only_what_has_weight_spans_the_plane() -> None:
    """Ten points vary along the third axis, a hundred without weight along the first."""
    points = np.zeros((110, 4), dtype=np.float32)
    points[:10, 2] = np.arange(10)
    points[10:, 0] = RNG.normal(size=100) * 100
    found = project(points, np.repeat([1.0, 0.0], [10, 100]), "pca", 0)
    assert np.allclose(found.xy[:10, 0], np.arange(10) - 4.5)
    assert np.allclose(found.xy[10:, 0], -4.5)
    assert found.kept == pytest.approx(1)


@pytest.mark.parametrize("shape", [(1, 5), (2, 5), (5, 1), (3, 2)])
def test_few_points_and_few_dimensions(shape: tuple[int, int]) -> None:
    points = np.ones(shape, dtype=np.float32)
    found = project(points, np.ones(len(points)), "pca", 0)
    assert found.xy.shape == (len(points), 2)
    assert not found.xy.any()


def test_the_sign_is_settled() -> None:
    points = RNG.normal(size=(30, 3)).astype(np.float32)
    first, again = (project(points, np.ones(30), "pca", 0).xy for _ in range(2))
    assert np.array_equal(first, again)
    mirrored = project(-points, np.ones(30), "pca", 0).xy
    assert np.allclose(mirrored, -first, atol=1e-5)


def test_another_projection_is_refused() -> None:
    with pytest.raises(SettingsError, match='projection is "tsne"; wanted pca or umap'):
        check_projection("tsne")


def test_umap_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtra, match=r"pip install 'gotd\[umap\]'"):
        check_projection("umap")


def test_umap_keeps_what_is_apart_apart() -> None:
    pytest.importorskip("umap")
    groups = np.repeat(np.eye(3, 8), 12, axis=0)
    points = (groups + RNG.normal(size=(36, 8)) * 0.05).astype(np.float32)
    found = project(points, np.ones(36), "umap", 0)
    middles = found.xy.reshape(3, 12, 2).mean(1)
    spread = max(np.linalg.norm(found.xy.reshape(3, 12, 2) - middles[:, None], axis=2).ravel())
    apart = min(np.linalg.norm(middles[i] - middles[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert apart > spread
    assert np.array_equal(found.xy, project(points, np.ones(36), "umap", 0).xy)
