"""`knn-kde`: neighbours of the target, penalised by the density of the pool (TSDS, Liu et al., NeurIPS 2024).

The paper (arXiv 2410.11303, KNN-KDE) moves mass b_j of each target to the N candidates of the pool,

    min over P >= 0    alpha / c sum_ij P_ij d(x_i, y_j) + (1 - alpha) max_ij P_ij rho_i / b_j,    sum_i P_ij = b_j
    rho(x) = sum over the pool of max(0, 1 - |x - x'|^2 / sigma^2)        1 for a document without near-duplicates

and samples candidates by p_i = sum_j P_ij. Its optimum is one number s, neighbours in documents free of duplicates:
each target fills its nearest candidates with b_j / (s rho_i) apiece until b_j is spent, at a radius r_j. The penalty
1 / s is worth raising s until sum_j b_j sum_i (r_j - d_ij)+ / rho_i reaches (1 - alpha) c / alpha. So, as a function
of any document,

    p(x) = 1 / (s rho(x)) sum_j b_j [d(x, y_j) <= r_j]
    score(x) = -log p(x), or where p(x) = 0, above all those, the least d(x, y_j) - r_j

s and r_j are fitted, and rho is estimated, on a sample of the reference, each document of which stands for N a_i
of the pool. What is approximated against the paper and its code (github.com/ZifanL/TSDS):

- where the sample is the pool, p is the paper's but for the last neighbour of each target, which gets what is left
  of b_j: here nothing. Otherwise a duplicate is seen only as far as the sample holds its twins;
- a document of the sample does not count itself twice: its text is known by a digest;
- rho is summed over `sample` documents of the sample at most, drawn with the seed, each standing for more of the pool;
- the 1000 nearest of the sample bound a target's neighbours; the code takes 5000 of the pool;
- the ranking is by p; the paper draws with replacement. `noise` draws without: -log p(x) - Gumbel(seed, id of x).

From file to score it takes up to a third more than gotd (docs/methods.md); `sample` is what decides it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import log
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gotd.errors import InputError, SettingsError
from gotd.selection.methods.draws import gumbel
from gotd.selection.methods.options import positive, read_options
from gotd.selection.methods.protocol import Batch, Samples
from gotd.transport import Measure
from gotd.transport.blocks import blocks, blockwise

# alpha, c and sigma as the paper's code ships them; pool 0 stands for the size of the sample.
OPTIONS = {"alpha": 0.5, "c": 5.0, "sigma": 0.75, "pool": 0, "sample": 4000, "noise": False}
_NEIGHBOURS = 1000
_GUMBEL_SPREAD = 3.7  # -log(-log u) is above -3.7 for every u that is drawn


@dataclass(frozen=True, slots=True)
class Density:
    """rho, estimated on a sample.

    Attributes:
        points: (n, d) float32 sample of the pool.
        weights: (n,) float32, summing to 1.
        keys: (n,) int64 digests of its texts, ascending.
        own: (n,) float32 weight of the document that each key belongs to.
        sigma: width of the kernel, a Euclidean distance.
        pool: documents in the pool.
    """

    points: Tensor
    weights: Tensor
    keys: Tensor
    own: Tensor
    sigma: float
    pool: int

    @classmethod
    def of(cls, measure: Measure, texts: Sequence[str], sigma: float, pool: int) -> Density:
        """rho on all documents of a measure."""
        weights = measure.weights.float()
        keys, first = np.unique(_digests(texts), return_index=True)
        own = weights[torch.from_numpy(first)]
        return cls(measure.points.float(), weights, torch.from_numpy(keys), own, sigma, pool)

    def __call__(self, points: Tensor, texts: Sequence[str]) -> NDArray[np.float64]:
        """rho (n,) >= 1 of documents: themselves, and their near-duplicates among the others of the pool."""
        norms = (self.points * self.points).sum(1)

        def near(x: Tensor) -> Tensor:
            squares = torch.addmm(norms, x, self.points.T, alpha=-2).add_((x * x).sum(1, keepdim=True))
            return squares.mul_(-(self.sigma**-2)).add_(1).clamp_(0, 1).mul_(self.weights).sum(1)

        found = blockwise(points, near).numpy().astype(np.float64)
        own = self._own(texts)
        return 1 + (self.pool - 1) * np.maximum(found - own, 0) / np.maximum(1 - own, 1e-12)

    def _own(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """(n,) weight of the documents themselves in the sample; 0 where they are not in it."""
        keys, wanted = self.keys.numpy(), _digests(texts)
        place = np.searchsorted(keys, wanted).clip(0, len(keys) - 1)
        held: NDArray[np.float64] = np.where(keys[place] == wanted, self.own.numpy()[place], 0).astype(np.float64)
        return held


@dataclass(frozen=True, slots=True)
class KnnKde:
    """The mass that neighbours of the target receive.

    Attributes:
        targets: (m, d) float32 points of the target.
        mass: (m,) float32 b, above 0.
        radii: (m,) float32 r, Euclidean.
        neighbours: s, in documents free of duplicates.
        density: rho.
        seed: of the noise.
        noise: whether documents are drawn by p, without replacement.
    """

    name: ClassVar[str] = "knn-kde"
    needs_points: ClassVar[bool] = True
    targets: Tensor
    mass: Tensor
    radii: Tensor
    neighbours: float
    density: Density
    seed: int
    noise: bool

    def score(self, batch: Batch) -> NDArray[np.float32]:
        reached, beyond = self._reached(batch.points)
        inside = np.flatnonzero(reached > 0)
        texts, ids = ([column[i] for i in inside.tolist()] for column in (batch.texts, batch.ids))
        rho = self.density(batch.points[torch.from_numpy(inside)], texts)
        log_p = np.log(reached[inside]) - np.log(np.maximum(self.neighbours * rho, 1))
        if self.noise:
            log_p += gumbel(self.seed, ids, "gotd-knn-kde")
        # The least p that a document in reach can have, and the lowest noise.
        least = log(float(self.mass.min())) - log(max(self.neighbours * (1 + self.density.pool), 1))
        scores = _GUMBEL_SPREAD - least + beyond
        scores[inside] = -log_p
        return scores.astype(np.float32)

    def _reached(self, points: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n,) mass of the targets that have x within their radius, and (n,) how far x is beyond the nearest one."""
        reached = torch.empty(len(points), dtype=torch.float64)
        beyond = torch.empty(len(points), dtype=torch.float64)
        for start, stop, block in blocks(points):
            distance = _distances(block, self.targets)
            past = (distance - self.radii)[: stop - start]
            reached[start:stop] = ((past <= 0) * self.mass).sum(1, dtype=torch.float64)
            beyond[start:stop] = past.amin(1).clamp_min(0)
        return reached.numpy(), beyond.numpy()

    def config(self) -> dict[str, Any]:
        return {
            "method": self.name,
            "neighbours": self.neighbours,
            "sigma": self.density.sigma,
            "pool": self.density.pool,
            "seed": self.seed,
            "noise": self.noise,
        }

    def tensors(self) -> dict[str, Tensor]:
        return {
            "targets": self.targets,
            "mass": self.mass,
            "radii": self.radii,
            "density.points": self.density.points,
            "density.weights": self.density.weights,
            "density.keys": self.density.keys,
            "density.own": self.density.own,
        }


def checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options: `alpha` (0.5) and `c` (5), near against spread; `sigma` (0.75), within which documents are duplicates;
    `pool`, its documents (as many as the sample); `sample` (4000), documents to see duplicates in; `noise` (false)."""
    chosen = read_options(KnnKde.name, options, OPTIONS)
    for name in ("c", "sigma", "sample"):
        positive(KnnKde.name, name, chosen[name])
    if not 0 < chosen["alpha"] <= 1:
        raise SettingsError(f"knn-kde: alpha is {chosen['alpha']}; wanted above 0, and at most 1")
    if not chosen["pool"] >= 0:
        raise SettingsError(f"knn-kde: pool is {chosen['pool']}; wanted the number of documents in the pool")
    return chosen


def fit(samples: Samples, seed: int, options: Mapping[str, Any]) -> KnnKde:
    """With options that `checked` has read."""
    reference, texts = samples.reference, samples.reference_texts
    if len(texts) != len(reference):
        raise InputError(f"knn-kde: {len(texts)} texts for {len(reference)} points of the reference; wanted one each")
    pool = options["pool"] or len(reference)
    drawn = np.sort(np.random.default_rng(seed).permutation(len(reference))[: options["sample"]])
    few = Measure.of(reference.points[torch.from_numpy(drawn)], reference.weights[torch.from_numpy(drawn)])
    density = Density.of(few, [texts[i] for i in drawn.tolist()], options["sigma"], pool)
    held = samples.target.weights > 0
    targets, mass = samples.target.points[held].float(), samples.target.weights[held].float()
    tolerance = (1 - options["alpha"]) * options["c"] / options["alpha"]
    neighbours, radii = _radii(targets, mass, reference, texts, density, tolerance)
    return KnnKde(targets, mass, radii, neighbours, density, seed, options["noise"])


def restore(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> KnnKde:
    points, weights, keys, own = (tensors[f"density.{part}"] for part in ("points", "weights", "keys", "own"))
    density = Density(points, weights, keys, own, config["sigma"], config["pool"])
    targets, mass, radii = tensors["targets"], tensors["mass"], tensors["radii"]
    return KnnKde(targets, mass, radii, config["neighbours"], density, config["seed"], config["noise"])


def _radii(
    targets: Tensor, mass: Tensor, reference: Measure, texts: Sequence[str], density: Density, tolerance: float
) -> tuple[float, Tensor]:
    """s, and the radii r (m,): raise s until what it costs to go further, summed over targets, is `tolerance`."""
    points = reference.points.float()
    distance, row = _nearest(targets, points, min(_NEIGHBOURS, len(texts)))
    used = np.unique(row)
    # (n,) documents free of duplicates that each of the sample stands for; 0 where it is nobody's neighbour.
    stands = np.zeros(len(texts))
    rho = density(points[torch.from_numpy(used)], [texts[i] for i in used.tolist()])
    stands[used] = density.pool * reference.weights.numpy()[used] / rho
    filled = np.cumsum(stands[row], 1)
    # Going on to the neighbour after k costs (r - d), r its distance, for each document within: Abel's sum.
    cost = np.diff(distance, append=distance[:, -1:]) * filled
    order = np.argsort(filled, axis=None, kind="stable")
    paid = np.cumsum((cost * mass.numpy()[:, None]).ravel()[order])
    stop = min(int(np.searchsorted(paid, tolerance)), len(order) - 1)
    neighbours = float(filled.ravel()[order[stop]])
    full = (filled <= neighbours * (1 + 1e-9)).sum(1).clip(1, distance.shape[1])
    rows = np.arange(len(targets))
    # Halfway to the first that is not filled, so that rounding moves nobody across.
    radii = (distance[rows, full - 1] + distance[rows, np.minimum(full, distance.shape[1] - 1)]) / 2
    return neighbours, torch.from_numpy(radii * (1 + 1e-6) + 1e-6).float()


def _nearest(targets: Tensor, points: Tensor, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(m, count) Euclidean distances to the nearest points, ascending, and their rows."""
    parts = [_distances(block, points)[: stop - start].topk(count, 1, False) for start, stop, block in blocks(targets)]
    return (
        torch.cat([part.values for part in parts]).double().numpy(),
        torch.cat([part.indices for part in parts]).numpy(),
    )


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """(n, m) Euclidean distances of x (n, d) and y (m, d)."""
    squares = torch.addmm((y * y).sum(1), x, y.T, alpha=-2).add_((x * x).sum(1, keepdim=True))
    return squares.clamp_min_(0).sqrt_()


def _digests(texts: Sequence[str]) -> NDArray[np.int64]:
    """(n,) 64 bits of each text."""
    parts = [blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts]
    return np.frombuffer(b"".join(parts), "<i8").astype(np.int64)
