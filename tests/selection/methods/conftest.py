"""A pool with a rare cluster in it: three topics, as points and as words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from gotd.selection.methods import Batch
from gotd.transport import Measure, Space

TOPICS = {
    "common": ["market", "stock", "price", "bank", "trade", "profit", "share", "rate", "fund", "loan"],
    "rare": ["enzyme", "protein", "cell", "gene", "tissue", "membrane", "receptor", "acid", "assay", "dose"],
    "other": ["court", "statute", "law", "judge", "clause", "party", "appeal", "ruling", "brief", "claim"],
}
SHARED = ["the", "of", "and", "a", "to", "in", "is", "that", "for", "with"]
DIM = 24


@dataclass(frozen=True)
class Planted:
    """What a method is fitted on, and a pool of 1500: 1260 common, 60 rare, 180 of another topic."""

    reference_texts: list[str]
    target_texts: list[str]
    reference: Measure
    target: Measure
    pool: Batch

    @property
    def samples(self) -> dict:
        return {
            "reference_texts": self.reference_texts,
            "target_texts": self.target_texts,
            "reference": self.reference,
            "target": self.target,
        }

    def part(self, rows) -> Batch:
        columns = (self.pool.texts, self.pool.ids, self.pool.sources)
        return Batch(
            *([column[i] for i in rows] for column in columns),
            self.pool.points[torch.tensor(list(rows), dtype=torch.long)],
        )

    def rare_among(self, rows) -> float:
        """Share of the rare cluster among these rows of the pool."""
        return float(np.mean([self.pool.sources[i] == "rare" for i in rows]))


def _drawn(rng: np.random.Generator, counts: dict[str, int]) -> tuple[list[str], np.ndarray, list[str]]:
    sources = [topic for topic, count in counts.items() for _ in range(count)]
    order = rng.permutation(len(sources))
    sources = [sources[i] for i in order]
    texts, vectors = [], np.zeros((len(sources), DIM), np.float32)
    for row, topic in enumerate(sources):
        words = [*rng.choice(TOPICS[topic], 8), *rng.choice(SHARED, 12)]
        texts.append(" ".join(rng.permutation(words)))
        vectors[row] = rng.normal(size=DIM) * 0.25
        vectors[row, list(TOPICS).index(topic)] += 1
        vectors[row, DIM - 1] += 1
    return texts, vectors, sources


@pytest.fixture(scope="session")
def planted() -> Planted:
    rng = np.random.default_rng(0)
    reference_texts, reference, _ = _drawn(rng, {"common": 516, "rare": 12, "other": 72})
    target_texts, target, _ = _drawn(rng, {"common": 40, "rare": 40})
    texts, pool, sources = _drawn(rng, {"common": 1260, "rare": 60, "other": 180})
    space = Space.fit(reference, centre=False)
    return Planted(
        reference_texts,
        target_texts,
        Measure.of(space(reference)),
        Measure.of(space(target)),
        Batch(texts, [f"doc-{row}" for row in range(len(texts))], sources, space(pool)),
    )
