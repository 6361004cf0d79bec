"""Records that carry their vectors: nothing is encoded, and a wrong vector is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gotd
from gotd import Fields, InputError, SettingsError

FIELDS = Fields(embedding="v")
Record = dict[str, Any]


def records(count: int, rare: int, seed: int, dim: int = 4) -> list[Record]:
    """Vectors about two directions; one record in `rare` is of the second."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        vector = rng.normal(0, 0.1, dim) + np.eye(dim)[0 if i % rare else 1]
        found.append({"id": f"{seed}-{i}", "text": f"text {i}", "rare": i % rare == 0, "v": vector.tolist()})
    return found


@pytest.fixture(params=["jsonl", "parquet"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str, list[Record]], str]:
    """store(name, records) -> path, in either format."""

    def write(name: str, found: list[Record]) -> str:
        path = tmp_path / f"{name}.{request.param}"
        if request.param == "parquet":
            pq.write_table(pa.Table.from_pylist(found), path)
        else:
            path.write_text("".join(json.dumps(record) + "\n" for record in found))
        return str(path)

    return write


def test_vectors_are_taken_as_they_are(store, rows, tmp_path: Path) -> None:
    """The rare direction is found, and scores are those of the vectors, to the bit."""
    candidates = records(100, 20, 1)
    pool, target = store("pool", candidates), store("target", records(40, 2, 2))
    found = gotd.select(pool, target, 5, tmp_path / "out", fields=FIELDS, workers=1)
    assert all(row["rare"] for row in rows(found.path))
    assert found.manifest["fit"]["encoder"] == {
        "spec": "precomputed",
        "dim": 4,
        "fingerprint": found.potential.encoder.fingerprint,
    }
    vectors = np.array([record["v"] for record in candidates], dtype=np.float32)
    saved = pq.read_table(found.scores)["score"].to_numpy()
    assert np.array_equal(found.potential.score(vectors), saved)


def test_nan_and_missing_vectors_are_rejected(store, rows, tmp_path: Path) -> None:
    candidates = records(30, 5, 1)
    candidates[3]["v"] = [1.0, float("nan"), 0.0, 0.0]
    candidates[7]["v"] = None
    pool, target = store("pool", candidates), store("target", records(20, 2, 2))
    found = gotd.select(pool, target, 3, tmp_path / "out", fields=FIELDS, workers=1)
    rejects = rows(found.folder / "rejects.jsonl")
    assert [(r["row"], r["reason"]) for r in rejects] == [(4, "vector-nan"), (8, "vector-missing")]
    assert found.manifest["counts"] == {
        "read": 30,
        "selected": 3,
        "not_selected": 25,
        "rejected": 2,
        "tokens_estimated": found.manifest["counts"]["tokens_estimated"],
    }


def test_vectors_of_another_length_are_rejected(store, rows, tmp_path: Path) -> None:
    """By file and line; where none has the length of the fit, the first is named."""
    pool, target = store("pool", records(30, 5, 1)), store("target", records(20, 2, 2))
    gotd.fit(target, pool, tmp_path / "fit", fields=FIELDS)
    mixed = store("mixed", records(9, 5, 3) + records(2, 5, 4, dim=6))
    found = gotd.score(tmp_path / "fit", mixed, tmp_path / "1", workers=1)
    assert found.manifest["counts"] == {"read": 11, "scored": 9, "outside": 0, "rejected": 2}
    rejects = rows(found.folder / "rejects.jsonl")
    assert [(r["row"], r["reason"]) for r in rejects] == [(10, "vector-length"), (11, "vector-length")]
    assert rejects[0]["message"].startswith(f'{mixed}:10: found 6 numbers in "v", wanted 4')
    with pytest.raises(InputError, match=rf'{mixed}:10: found 6 numbers in "v", wanted 4.* Or pass --on-error skip'):
        gotd.score(tmp_path / "fit", mixed, tmp_path / "2", on_error="fail", workers=1)
    longer = store("longer", records(9, 5, 3, dim=6))
    with pytest.raises(InputError, match=rf"no document could be read, of 9 rows; the first: {longer}:1: found 6 numb"):
        gotd.score(tmp_path / "fit", longer, tmp_path / "3", workers=1)


def test_a_fit_takes_the_length_that_most_vectors_have(store, rows, tmp_path: Path) -> None:
    pool, target = store("pool", records(30, 5, 1) + records(1, 5, 3, dim=6)), store("target", records(20, 2, 2))
    found = gotd.select(pool, target, 3, tmp_path / "out", fields=FIELDS, workers=1)
    assert [(r["row"], r["reason"]) for r in rows(found.folder / "rejects.jsonl")] == [(31, "vector-length")]
    assert found.manifest["fit"]["counts"]["reference"] == {"rows": 31, "fitted": 30, "rejected": 1}
    assert [domain.documents for domain in gotd.domains(pool, target, fields=FIELDS)] == [30]
    with pytest.raises(InputError, match=rf'{pool}:31: found 6 numbers in "v", wanted 4'):
        gotd.select(pool, target, 3, tmp_path / "fail", fields=FIELDS, on_error="fail", workers=1)
    with pytest.raises(InputError, match="target vectors have 6 numbers, reference vectors 4"):
        gotd.fit(store("longer", records(9, 5, 3, dim=6)), pool, tmp_path / "fit", fields=FIELDS)


def test_a_pool_without_vectors_is_named(store, tmp_path: Path) -> None:
    """By the row, or the column, that lacks them; and where they are not asked for, by the encoder."""
    pool, target = store("pool", records(30, 5, 1)), store("target", records(20, 2, 2))
    gotd.fit(target, pool, tmp_path / "fit", fields=FIELDS)
    texts = store("texts", [{"text": f"only words {i}"} for i in range(5)])
    with pytest.raises(InputError, match=r'texts\.jsonl:1: no vector in "v"|texts\.parquet: no column "v"'):
        gotd.score(tmp_path / "fit", texts, tmp_path / "1", workers=1)
    with pytest.raises(
        SettingsError, match=r"fitted on vectors of the records \(4 numbers each\), and 5 texts came without"
    ):
        gotd.score(tmp_path / "fit", texts, tmp_path / "2", fields=Fields(), workers=1)
