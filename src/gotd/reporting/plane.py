"""Points of many dimensions on a plane, to look at: principal components, or UMAP where it is asked for.

Neither keeps distances: what is near on the plane is not always near in the space where the costs are taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gotd.errors import MissingExtra, SettingsError

Projection = Literal["pca", "umap"]
_NEIGHBOURS = 15


@dataclass(frozen=True, slots=True)
class Plane:
    """Where the points lie.

    Attributes:
        xy: (n, 2) float64.
        name: of the projection, for people.
        kept: share of the variance that the plane holds; None for UMAP.
    """

    xy: NDArray[np.float64]
    name: str
    kept: float | None


def check_projection(projection: str) -> None:
    """Before the work, not after it.

    Raises:
        SettingsError: there is no such projection.
        MissingExtra: UMAP is not installed.
    """
    if projection not in get_args(Projection):
        raise SettingsError(f'projection is "{projection}"; wanted {" or ".join(get_args(Projection))}')
    if projection == "umap":
        try:
            from umap import UMAP  # noqa: F401
        except ImportError as error:
            raise MissingExtra("--projection umap", "umap-learn", "umap") from error


def project(points: NDArray[np.float32], weights: NDArray[np.float64], projection: Projection, seed: int) -> Plane:
    """Points (n, d) on a plane, n at least 1.

    Args:
        weights: (n,) what each point counts in the principal components; UMAP takes all alike.
    """
    if projection == "umap" and len(points) > 3:
        return Plane(_umap(points, seed), "a UMAP", None)
    share = weights / weights.sum()
    centred = points - share @ points
    variances, axes = np.linalg.eigh((centred * share[:, None]).T @ centred)
    first = axes[:, ::-1][:, :2]
    first = first * np.sign(first[np.abs(first).argmax(0), np.arange(first.shape[1])])
    xy = np.zeros((len(points), 2))
    xy[:, : first.shape[1]] = centred @ first
    kept = float(variances[::-1][:2].sum() / variances.sum()) if variances.sum() > 0 else 1.0
    return Plane(xy, "the principal components of reference and target", kept)


def _umap(points: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    from umap import UMAP

    neighbours = min(_NEIGHBOURS, len(points) - 1)
    # The spectral start asks for more points than a small map has.
    start = "spectral" if len(points) > 2 * _NEIGHBOURS else "random"
    found = UMAP(n_neighbors=neighbours, metric="cosine", init=start, random_state=seed, n_jobs=1)
    return np.asarray(found.fit_transform(points), dtype=np.float64)
