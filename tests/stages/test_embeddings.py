"""Kept vectors: they score as fresh ones do, and serve nothing but the texts and the encoder they came from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import gotd
from gotd import ArtifactError, Fields, FitSettings, InputError, SettingsError
from gotd.cli import main
from gotd.corpus import Shard
from gotd.encoders.lsa import Lsa
from gotd.stages.embeddings import Kept


@pytest.fixture(scope="session")
def kept(corpora, selector: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of `gotd score --keep-embeddings` of the pool; not to be written to."""
    folder = tmp_path_factory.mktemp("kept")
    gotd.score(selector, corpora.pool, folder, keep_embeddings=True, workers=1)
    return folder


@pytest.fixture(scope="session")
def second(corpora, selector: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A selector for another target, with the encoder of the first."""
    folder = tmp_path_factory.mktemp("second")
    gotd.fit(corpora.other, corpora.pool, folder, settings=FitSettings(encoder=str(selector)))
    return folder


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that LSA embeds from here on."""
    texts: list[str] = []
    plain = Lsa.encode

    def encode(self: Lsa, some: Any) -> Any:
        texts.extend(some)
        return plain(self, some)

    monkeypatch.setattr(Lsa, "encode", encode)
    return texts


def scores(folder: Path) -> dict[str, float]:
    table = pq.read_table(folder / "scores.parquet")
    return dict(zip(table["id"].to_pylist(), table["score"].to_pylist()))


def test_keeping_changes_no_score(kept: Path, scored: Path) -> None:
    assert pq.read_table(kept / "scores.parquet").equals(pq.read_table(scored / "scores.parquet"))


def test_a_part_holds_unit_vectors_in_half_precision(kept: Path, selector: Path, corpora) -> None:
    potential = gotd.Potential.load(selector)
    found = Kept.load(kept)
    assert found.encoder == {"spec": "lsa", "dim": potential.encoder.dim, "fingerprint": potential.encoder.fingerprint}
    table = pq.read_table(sorted((kept / "embeddings").glob("*.parquet"))[0])
    assert table.column_names == ["id", "position", "piece", "text", "vector"]
    assert str(table.schema.field("vector").type) == f"fixed_size_list<element: halffloat>[{potential.encoder.dim}]"
    vectors = np.array(table["vector"].to_pylist(), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)


def test_the_next_target_embeds_nothing_and_ranks_alike(
    kept: Path, second: Path, corpora, tmp_path: Path, embedded: list[str]
) -> None:
    fresh = scores(gotd.score(second, corpora.pool, tmp_path / "fresh", workers=1).folder)
    embedded.clear()
    found = gotd.score(second, corpora.pool, tmp_path / "out", embeddings=kept, workers=1)
    assert embedded == []
    assert found.manifest["embeddings"] == {"from": str(kept / "embeddings"), "taken": 300, "embedded": 0}
    assert found.manifest["counts"] == {"read": 300, "scored": 300, "outside": 0, "rejected": 0}
    after = scores(found.folder)
    assert after != fresh  # half precision was there
    assert max(abs(after[id] - fresh[id]) for id in fresh) < 2e-3
    best = [set(sorted(one, key=one.__getitem__)[:30]) for one in (fresh, after)]
    assert len(best[0] & best[1]) >= 29


def test_small_batches_and_shards_find_every_vector(
    second: Path, corpora, tmp_path: Path, small_shards: Callable[[int], None], embedded: list[str], selector: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Batches of documents and of kept rows need not agree."""
    small_shards(1500)
    gotd.score(selector, corpora.pool, tmp_path / "kept", keep_embeddings=True, workers=1)
    monkeypatch.setattr("gotd.stages.shard_scorer._BATCH", 3)
    embedded.clear()
    found = gotd.score(second, corpora.pool, tmp_path / "out", embeddings=tmp_path / "kept", workers=1)
    assert found.manifest["embeddings"]["taken"] == 300
    assert embedded == []


@pytest.mark.parametrize(("kept_in", "scored_in"), [(4000, 1500), (1500, 4000), (1500, 10**6)])
def test_a_pool_cut_otherwise_finds_every_vector(
    second: Path, selector: Path, corpora, tmp_path: Path, small_shards: Callable[[int], None], embedded: list[str],
    kept_in: int, scored_in: int,
) -> None:  # fmt: skip
    """The cuts of a file depend on the pool that it is in."""
    small_shards(kept_in)
    gotd.score(selector, corpora.pool, tmp_path / "kept", keep_embeddings=True, workers=1)
    once = scores(gotd.score(second, corpora.pool, tmp_path / "1", embeddings=tmp_path / "kept", workers=1).folder)
    small_shards(scored_in)
    embedded.clear()
    found = gotd.score(second, corpora.pool, tmp_path / "2", embeddings=tmp_path / "kept", workers=1)
    assert found.manifest["embeddings"]["taken"] == 300
    assert embedded == []
    again = scores(found.folder)
    assert max(abs(again[id] - once[id]) for id in once) < 1e-5
    part = gotd.score(second, corpora.files[:1], tmp_path / "3", embeddings=tmp_path / "kept", workers=1)
    assert part.manifest["embeddings"]["embedded"] == 0 < part.manifest["embeddings"]["taken"]


def test_vectors_pass_from_folder_to_folder(kept: Path, second: Path, selector: Path, corpora, tmp_path: Path) -> None:
    gotd.score(second, corpora.pool, tmp_path / "1", embeddings=kept, keep_embeddings=True, workers=1)
    once = gotd.score(selector, corpora.pool, tmp_path / "2", embeddings=kept, workers=1)
    twice = gotd.score(selector, corpora.pool, tmp_path / "3", embeddings=tmp_path / "1", workers=1)
    a, b = scores(once.folder), scores(twice.folder)
    assert max(abs(a[id] - b[id]) for id in a) < 1e-3


def test_another_encoder_is_refused(kept: Path, corpora, tmp_path: Path) -> None:
    """LSA fitted on another target is another encoder: the message says how to keep it."""
    gotd.fit(corpora.other, corpora.pool, tmp_path / "lsa")
    with pytest.raises(ArtifactError, match=r"vectors of the encoder lsa \(\w+\).* lsa is fitted on every target anew"):
        gotd.score(tmp_path / "lsa", corpora.pool, tmp_path / "out", embeddings=kept, workers=1)
    gotd.fit(corpora.other, corpora.pool, tmp_path / "static", settings=FitSettings(encoder="static"))
    with pytest.raises(ArtifactError, match=r"fitted with static \(\w+\); fit with --encoder lsa, or leave out"):
        gotd.score(tmp_path / "static", corpora.pool, tmp_path / "out", embeddings=kept, workers=1)
    assert not (tmp_path / "out").exists()


def test_a_changed_pool_is_refused(write, text, selector: Path, tmp_path: Path) -> None:
    pool = [
        write(f"pool/{name}.jsonl", [{"id": f"{name}{i}", "text": text(i, False)} for i in range(9)]) for name in "ab"
    ]
    gotd.score(selector, pool, tmp_path / "kept", keep_embeddings=True, workers=1)
    write("pool/b.jsonl", [{"id": f"b{i}", "text": text(i + 1, False)} for i in range(9)])
    with pytest.raises(InputError, match=r"b\.jsonl: is new, or changed since the vectors in .* were kept; leave out"):
        gotd.score(selector, pool, tmp_path / "out", embeddings=tmp_path / "kept", workers=1)
    kept, cut = tmp_path / "kept", Fields(chunk_chars=50)
    with pytest.raises(InputError, match=r"a\.jsonl: was cut otherwise"):
        gotd.score(selector, pool[:1], tmp_path / "2", embeddings=kept, fields=cut, workers=1)


def test_another_text_of_the_same_record_is_refused(write, text, selector: Path, tmp_path: Path) -> None:
    records = [{"id": f"{i}", "text": text(i, False), "title": text(i + 50, True)} for i in range(9)]
    pool = write("pool.jsonl", records)
    gotd.score(selector, pool, tmp_path / "kept", keep_embeddings=True, workers=1)
    with pytest.raises(InputError, match=r"pool\.jsonl: the text of 0 is not the one whose vector was kept"):
        gotd.score(
            selector, pool, tmp_path / "out", embeddings=tmp_path / "kept", fields=Fields(text="title"), workers=1
        )


def test_what_was_left_out_then_is_embedded_now(
    selector: Path, corpora, tmp_path: Path, embedded: list[str], scored: Path
) -> None:
    gotd.score(selector, corpora.pool, tmp_path / "kept", sources=["first"], keep_embeddings=True, workers=1)
    embedded.clear()
    found = gotd.score(selector, corpora.pool, tmp_path / "out", embeddings=tmp_path / "kept", workers=1)
    assert len(embedded) == 100
    assert (found.manifest["embeddings"]["taken"], found.manifest["embeddings"]["embedded"]) == (200, 100)
    a, b = scores(found.folder), scores(scored)
    assert all(a[f"second-{i}"] == b[f"second-{i}"] for i in range(200, 300))


def test_no_further_pass_embeds(selector: Path, corpora, tmp_path: Path, embedded: list[str]) -> None:
    """A small reg asks for corrections by whole passes."""
    settings = FitSettings(encoder=str(selector), reg=0.01, fit_sample=30)
    gotd.fit(corpora.target, corpora.pool, tmp_path / "fit", settings=settings)
    embedded.clear()
    found = gotd.score(tmp_path / "fit", corpora.pool, tmp_path / "out", keep_embeddings=True, workers=1)
    assert found.manifest["polish_steps"] > 0
    assert len(embedded) == 300


def test_select_keeps_and_takes(corpora, tmp_path: Path, embedded: list[str]) -> None:
    gotd.select(corpora.pool, corpora.target, 9, tmp_path / "1", keep_embeddings=True, workers=1)
    assert (tmp_path / "1" / "embeddings" / "index.json").exists()
    given = {"encoder": str(tmp_path / "1"), "embeddings": tmp_path / "1", "workers": 1}
    found = gotd.select(corpora.pool, corpora.other, 9, tmp_path / "2", **given)
    assert found.manifest["embeddings"]["taken"] == 300
    with pytest.raises(ArtifactError, match="lsa is fitted on every target anew"):
        gotd.select(corpora.pool, corpora.other, 9, tmp_path / "3", embeddings=tmp_path / "1", workers=1)


def test_the_flags(corpora, selector: Path, second: Path, tmp_path: Path) -> None:
    first, then = str(tmp_path / "first"), str(tmp_path / "then")
    for flags in (
        [str(selector), corpora.pool, "-o", first, "--keep-embeddings", "--workers", "1"],
        [str(second), corpora.pool, "-o", then, "--embeddings", first, "--workers", "1"],
    ):
        shown = CliRunner().invoke(main, ["score", *flags])
        assert shown.exit_code == 0, shown.output
    assert gotd.Scores.load(then).manifest["embeddings"]["taken"] == 300


def test_what_has_nothing_to_keep_says_so(write, corpora, selector: Path, kept: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="found no kept vectors; wanted a folder made by"):
        gotd.score(selector, corpora.pool, tmp_path / "out", embeddings=selector, workers=1)
    pool = write("v.jsonl", [{"text": f"{i}", "v": [1.0, i]} for i in range(9)])
    with pytest.raises(SettingsError, match="the records carry their vectors already"):
        gotd.select(pool, pool, 2, tmp_path / "v", fields=Fields(embedding="v"), keep_embeddings=True, workers=1)
    with pytest.raises(SettingsError, match="method random embeds no candidate"):
        gotd.select(corpora.pool, corpora.target, 2, tmp_path / "r", method="random", keep_embeddings=True, workers=1)
    with pytest.raises(SettingsError, match="--overwrite would delete the vectors"):
        gotd.score(selector, corpora.pool, kept, embeddings=kept, overwrite=True, workers=1)
    with pytest.raises(SettingsError, match="--overwrite would delete the vectors"):
        gotd.select(corpora.pool, corpora.target, 2, kept, embeddings=kept, overwrite=True, workers=1)
    assert (kept / "embeddings" / "index.json").exists()


def test_a_run_that_was_stopped_keeps_all(
    selector: Path, corpora, tmp_path: Path, small_shards: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gotd.stages.shard_scorer import ShardScorer

    small_shards(4000)
    plain = ShardScorer.__call__

    def stopping(self: ShardScorer, shard: Shard, stem: Path) -> dict[str, Any]:
        if shard.index == 2:
            raise KeyboardInterrupt
        return plain(self, shard, stem)

    monkeypatch.setattr(ShardScorer, "__call__", stopping)
    with pytest.raises(KeyboardInterrupt):
        gotd.score(selector, corpora.pool, tmp_path / "out", keep_embeddings=True, workers=1)
    monkeypatch.setattr(ShardScorer, "__call__", plain)
    gotd.score(selector, corpora.pool, tmp_path / "out", keep_embeddings=True, workers=1)
    found = [pq.read_table(path) for path in sorted((tmp_path / "out" / "embeddings").glob("*.parquet"))]
    assert sum(map(len, found)) == 300
