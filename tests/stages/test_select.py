"""The main job: every row accounted for, records unchanged, the right documents chosen."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import numpy as np
import orjson
import pytest
import torch

import gotd
from gotd import Fields, FitSettings, InputError, SettingsError
from gotd.pipeline import fit_settings

KEY = b',"gotd":'


def test_read_is_selected_not_selected_and_rejected(write, text, corpora, rows, tmp_path: Path) -> None:
    """Each bad row is in rejects.jsonl, under its file and line; nothing else is."""
    good = [{"id": f"g{i}", "text": text(i, i % 4 == 0)} for i in range(40)]
    dirty = write(
        "pool/dirty.jsonl",
        [
            good[0],
            b"",
            b'{"id": "x", "text": "cut',
            {"id": "null", "text": None},
            {"id": "number", "text": 7},
            b'{"id": "latin", "text": "caf\xe9"}',
            {"id": "blank", "text": " "},
            b'["a", "list"]',
            {"id": "other", "body": "the text stands elsewhere"},
            b'{"id": "half", "text": "\\ud83d"}',
            good[1],
            good[0],
            b'{"id": "nul", "text": "\0"}',
        ],
    )
    clean = write("pool/clean.jsonl", [*good[2:], good[1]])
    write("pool/empty.jsonl", [])
    lines = [json.dumps({"id": f"z{i}", "text": text(i, False, 200)}) for i in range(40)]
    whole = gzip.compress("\n".join(lines).encode())
    cut = tmp_path / "pool" / "cut.jsonl.gz"
    cut.write_bytes(whole[: len(whole) // 2])

    found = gotd.select(str(tmp_path / "pool"), corpora.target, "5docs", tmp_path / "out", workers=1)

    rejects = rows(found.folder / "rejects.jsonl")
    from_cut = [r for r in rejects if r["file"] == str(cut)]
    assert {(r["file"], r["row"], r["reason"]) for r in rejects if r["file"] != str(cut)} == {
        (dirty, 2, "blank-line"),
        (dirty, 3, "malformed-json"),
        (dirty, 4, "text-missing"),
        (dirty, 5, "text-not-text"),
        (dirty, 6, "bad-utf8"),
        (dirty, 7, "text-blank"),
        (dirty, 8, "not-an-object"),
        (dirty, 9, "text-missing"),
        (dirty, 10, "lone-surrogate"),
        (dirty, 12, "duplicate-id"),
        (dirty, 13, "nul-bytes"),
        # The files are read in the order of their names: clean before dirty.
        (dirty, 11, "duplicate-id"),
    }
    assert clean not in {r["file"] for r in rejects}
    assert [r["reason"] for r in from_cut] == ["truncated-stream"]
    assert all(r["message"].startswith(f"{r['file']}:{r['row']}: ") for r in rejects)

    counts = found.manifest["counts"]
    kept_of_cut = from_cut[0]["row"] - 1
    assert 0 < kept_of_cut < 40
    assert counts["read"] == 13 + 39 + kept_of_cut + 1
    assert counts["rejected"] == len(rejects) == sum(found.manifest["rejects"].values()) == 13
    assert counts["selected"] == len(found) == 5
    assert counts["read"] == counts["selected"] + counts["not_selected"] + counts["rejected"]


def test_a_pool_too_small_for_its_rejects_says_which(write, text, corpora, tmp_path: Path) -> None:
    """An id that all records share leaves one of them."""
    pool = write("pool.jsonl", [{"id": "a", "text": text(i, i % 2 == 0)} for i in range(40)])
    told = r"the pool holds 1 that can be scored; .*\. Rejected: 39 duplicate-id; see .*/\.work/scores/rejects\.jsonl"
    with pytest.raises(SettingsError, match=told):
        gotd.select(pool, corpora.target, "5docs", tmp_path / "out", workers=1)
    assert (tmp_path / "out/.work/scores/rejects.jsonl").read_text().count("\n") == 39


def test_no_more_rounds_are_advised_than_documents_chosen(write, tmp_path: Path) -> None:
    """Three alike: what one step predicts is off by all of it, and there is nothing to divide."""
    pool = write("pool.jsonl", [{"text": "a b c"}] * 3)
    found = gotd.select(pool, pool, "1docs", tmp_path / "out", workers=1).manifest["transport"]
    assert found["predicted"] < found["before"] <= found["after"]
    assert found["rounds_needed"] == 1


def test_duplicates_are_named_by_line_in_any_shards(write, corpora, rows, small_shards, tmp_path: Path) -> None:
    """Lines before a duplicate count whether they were documents, rejects, or in an earlier shard."""
    path = write(
        "pool.jsonl", [{"id": f"{i}", "text": f"common{i}"} for i in range(30)] + [b"", b'{"id": "3", "text": "again"}']
    )
    for name, size in (("whole", 1 << 20), ("cut", 50)):
        small_shards(size)
        found = gotd.select(path, corpora.target, "5docs", tmp_path / name, workers=1)
        assert [(r["row"], r["reason"]) for r in rows(found.folder / "rejects.jsonl")] == [
            (31, "blank-line"),
            (32, "duplicate-id"),
        ]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_bad_rows_are_placed_without_a_look_at_what_comes_before(
    suffix: str, write, corpora, rows, small_shards, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a large file each shard may have one; only where it stops the run the lines before it are counted."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    records = [{"id": f"{i}", "text": None if i % 7 == 3 else f"common{i}"} for i in range(50)]
    path = write("pool.jsonl", records)
    if suffix == "parquet":
        path = str(tmp_path / "pool.parquet")
        pq.write_table(pa.Table.from_pylist(records), path, row_group_size=5)
    small_shards(70)
    with monkeypatch.context() as patch:
        patch.setattr("gotd.corpus.json_lines.count_lines", lambda _, stop: 0 if stop == 0 else pytest.fail("counted"))
        found = gotd.select(path, corpora.target, "5docs", tmp_path / "out", workers=1)
    rejects = rows(found.folder / "rejects.jsonl")
    assert [r["row"] for r in rejects] == [i + 1 for i in range(50) if i % 7 == 3]
    assert all(r["message"].startswith(f'{path}:{r["row"]}: found null in "text"') for r in rejects)
    gotd.fit(corpora.target, corpora.pool, tmp_path / "selector")
    bad = write("bad.jsonl", [*records[:3], *records[4:6], *records[7:9], records[10]])
    with pytest.raises(InputError, match=r"bad\.jsonl:8: found null"):
        gotd.score(tmp_path / "selector", bad, tmp_path / "scores", on_error="fail", workers=1)


@pytest.mark.parametrize(("suffix", "line"), [("csv", 5), ("parquet", 3)])
def test_duplicates_in_tables_are_named(suffix: str, line: int, corpora, rows, tmp_path: Path) -> None:
    """In CSV by line, with the header as the first, and a row of two; in Parquet by row."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    table = pa.table({"id": ["a", "b", "a", "c"], "text": ["common1", "common2\nrare1", "common3", "rare3"]})
    path = tmp_path / f"pool.{suffix}"
    if suffix == "csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    found = gotd.select(str(path), corpora.target, 2, tmp_path / "out", workers=1)
    (reject,) = rows(found.folder / "rejects.jsonl")
    assert (reject["reason"], reject["row"]) == ("duplicate-id", line)
    assert reject["message"].startswith(f'{path}:{line}: id "a" was there before')


def test_a_pool_that_changes_between_fit_and_score_is_named(write, corpora, tmp_path: Path) -> None:
    """As one that is still being written: the manifest would name the files as they were."""
    pool = write("pool.jsonl", [{"text": f"common{i} rare{i}"} for i in range(40)])

    def append(stage: str, *_: int) -> None:
        if stage.startswith("reading"):
            with open(pool, "a") as file:
                file.write('{"text": "common1"}\n')

    with pytest.raises(InputError, match="the candidates changed while they were read; once they are whole, run it ag"):
        gotd.select(pool, corpora.target, 5, tmp_path / "out", workers=1, progress=append)
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert len(gotd.select(pool, corpora.target, 5, tmp_path / "out", workers=1, overwrite=True)) == 5


def test_rejects_of_the_target_are_told_and_not_counted(write, text, corpora, rows, tmp_path: Path) -> None:
    """They are no rows of the pool. A path with a space in it is a path."""
    target = write("my task.jsonl", [{"text": text(i, i % 2 == 0)} for i in range(20)] + [{"text": None}])
    found = gotd.select(corpora.pool, target, "5docs", tmp_path / "out", workers=1)
    assert [(r["file"], r["row"]) for r in rows(found.folder / "rejects.jsonl")] == [(target, 21)]
    assert found.manifest["counts"]["rejected"] == 0


def test_rejects_of_a_reference_apart_are_told(write, text, corpora, rows, tmp_path: Path) -> None:
    reference = write("ref.jsonl", [{"text": text(i, False)} for i in range(20)] + [b"{"])
    found = gotd.select(corpora.pool, corpora.target, "5docs", tmp_path / "out", reference=reference, workers=1)
    assert [(r["file"], r["row"]) for r in rows(found.folder / "rejects.jsonl")] == [(reference, 21)]


def test_records_come_out_as_they_were_with_one_more_key(write, corpora, tmp_path: Path) -> None:
    """Odd but valid bytes stay: spaces, escapes, 1.0, big integers, the order of keys."""
    records = [
        b'{"text":"common1  common2", "n": 1.0}',
        b'{ "text" : "caf\\u00e9 rare1", "big": 123456789012345678901234567890 }',
        '{"z": null, "text": "\u65e5\u672c rare2", "a": [1, {"b": 2e3}]}'.encode(),
        b'{"text": "rare3 \\/ rare4", "dup": 1, "dup": 2}',
    ]
    path = write("pool.jsonl", records)
    found = gotd.select(path, corpora.target, 4, tmp_path / "out", workers=1)
    lines = found.path.read_bytes().splitlines()
    assert sorted(line.rpartition(KEY)[0] + b"}" for line in lines) == sorted(records)
    for rank, line in enumerate(lines, start=1):
        mark = orjson.loads(line)["gotd"]
        assert list(mark) == ["id", "source", "score", "calibrated", "rank"]
        assert (mark["source"], mark["rank"]) == ("pool", rank)


def test_the_ranking_is_that_of_the_scores(selected: Path, rows) -> None:
    """Selected are the lowest scores, lowest first, as scores.parquet has them under the same id."""
    chosen = gotd.Selection.load(selected)
    everything = {row["id"]: row["score"] for row in _table(selected)}
    marks = [row["gotd"] for row in rows(chosen.path)]
    assert [mark["score"] for mark in marks] == sorted(everything.values())[:15]
    assert all(everything[mark["id"]] == mark["score"] for mark in marks)
    assert [row["id"] for row in rows(chosen.path)] == [mark["id"] for mark in marks]


def test_the_calibrated_score_is_lava_s(selected: Path, rows) -> None:
    """f_i - sum_{k != i} f_k / (N - 1) over the pool (Just et al. 2023, eq. 5)."""
    scores = np.array([row["score"] for row in _table(selected)], dtype=np.float64)
    for row in rows(selected / "selected.jsonl"):
        mark = row["gotd"]
        others = (scores.sum() - mark["score"]) / (len(scores) - 1)
        assert math.isclose(mark["calibrated"], mark["score"] - others, rel_tol=1e-12)


def test_every_candidate_is_in_the_scores_once(selected: Path, corpora, rows) -> None:
    ids = [record["id"] for path in corpora.files for record in rows(path)]
    assert [row["id"] for row in _table(selected)] == ids
    assert {row["source"] for row in _table(selected)} == {"first", "second"}


@pytest.mark.parametrize("batch", [1, 7, 300])
def test_the_saved_potential_gives_the_saved_scores(batch: int, selected: Path, corpora, rows) -> None:
    """To the bit, however many texts are scored at a time."""
    texts = [record["text"] for path in corpora.files for record in rows(path)]
    potential = gotd.Selection.load(selected).potential
    found = np.concatenate([potential.score(texts[i : i + batch]) for i in range(0, len(texts), batch)])
    assert found.dtype == np.float32
    assert np.array_equal(found, np.array([row["score"] for row in _table(selected)], dtype=np.float32))


def test_select_is_fit_then_score_then_choose(selected: Path, scored: Path, contents, tmp_path: Path) -> None:
    gotd.choose(scored, "15docs", tmp_path / "chosen")
    at_once, in_halves = contents(selected), contents(tmp_path / "chosen")
    assert at_once.keys() == in_halves.keys()
    for name in at_once:
        if name != "manifest.json":
            assert at_once[name] == in_halves[name], name
    for part in ("counts", "sources", "transport", "quality", "best", "worst", "rejects", "files"):
        assert at_once["manifest.json"][part] == in_halves["manifest.json"][part], part


def test_a_second_process_changes_nothing(selected: Path, corpora, contents, small_shards, tmp_path: Path) -> None:
    small_shards(3000)
    gotd.select(corpora.pool, corpora.target, "15docs", tmp_path / "two", workers=2)
    assert contents(tmp_path / "two") == contents(selected)


@pytest.mark.parametrize("size", [400, 900, 10_000])
def test_shards_of_any_size_give_the_same_bits(
    size: int, selected: Path, corpora, contents, small_shards, tmp_path: Path
) -> None:
    """Down to a few documents a shard."""
    small_shards(size)
    gotd.select(corpora.pool, corpora.target, "15docs", tmp_path / "out", workers=1)
    assert contents(tmp_path / "out") == contents(selected)


def test_the_rare_half_of_the_target_is_chosen(corpora, rows, tmp_path: Path) -> None:
    """Figure 3 of Kang et al. 2024: of 5 % in the pool and half of the target, almost only the rare are taken.

    The debiased gradient takes no fewer of them than the published one.
    """

    def share(name: str, **settings: object) -> float:
        found = gotd.select(corpora.pool, corpora.target, "15docs", tmp_path / name, workers=1, **settings)
        return sum(row["rare"] for row in rows(found.path)) / 15

    debiased, published = share("debiased"), share("published", paper=True)
    assert debiased == 1
    assert debiased >= published


@pytest.mark.parametrize("seen_rare", [False, True])
def test_what_the_reference_lacks_is_chosen(seen_rare: bool, write, text, rows, tmp_path: Path) -> None:
    """The same pool and target, half and half: the reference alone decides which half is wanted."""
    pool = write("pool.jsonl", [{"text": text(i, i % 2 == 0), "rare": i % 2 == 0} for i in range(100)])
    target = write("target.jsonl", [{"text": text(500 + i, i % 2 == 0)} for i in range(40)])
    reference = write("reference.jsonl", [{"text": text(900 + i, seen_rare)} for i in range(80)])
    found = gotd.select(pool, target, 20, tmp_path / "out", reference=reference, workers=1)
    assert {row["rare"] for row in rows(found.path)} == {not seen_rare}
    assert found.manifest["fit"]["counts"]["reference"] == {"rows": 80, "fitted": 80, "rejected": 0}
    moved = found.manifest["transport"]
    assert moved["after"] < moved["before"]
    assert moved["after"] < moved["random"]


def test_the_published_settings_are_recorded(corpora, tmp_path: Path) -> None:
    """Entropic OT with a small reg, neither debiased nor centred; what is given goes before."""
    found = gotd.select(corpora.pool, corpora.target, 5, tmp_path / "paper", paper=True, workers=1)
    settings = found.manifest["settings"]
    assert (settings["reg"], settings["debias"], settings["centre"]) == (0.01, False, False)
    assert found.potential.repel is None
    assert found.potential.space.mean is None
    assert found.manifest["transport"]["measure"] == "entropic OT"

    given = gotd.select(corpora.pool, corpora.target, 5, tmp_path / "given", paper=True, reg=0.2, workers=1)
    settings = given.manifest["settings"]
    assert (settings["reg"], settings["debias"], settings["centre"]) == (0.2, False, False)


def test_fields_of_candidates_and_target_differ(write, text, tmp_path: Path) -> None:
    pool = write("pool.jsonl", [{"body": text(i, i % 5 == 0)} for i in range(40)])
    target = write("target.jsonl", [{"question": text(100 + i, i % 2 == 0)} for i in range(20)])
    fields, asked = Fields(text="body"), Fields(text="question")
    found = gotd.select(pool, target, 5, tmp_path / "out", fields=fields, target_fields=asked, workers=1)
    assert len(found) == 5
    with pytest.raises(InputError, match=r'target holds no document; .*target\.jsonl:1: no field "body"'):
        gotd.select(pool, target, 5, tmp_path / "without", fields=fields, workers=1)


def test_a_missing_text_field_names_the_field_to_pass(write, corpora, tmp_path: Path) -> None:
    pool = write("pool.jsonl", [{"key": 1, "body": "some words"}] * 3)
    with pytest.raises(
        InputError, match=r'pool\.jsonl:\d: no field "text"; found "key", "body"\. Pass --text-field body'
    ):
        gotd.select(pool, corpora.target, 1, tmp_path / "out", workers=1)


def test_after_an_error_the_remedy_works_in_the_same_folder(write, text, corpora, tmp_path: Path) -> None:
    """Nothing was finished, so other settings are not refused."""
    pool = write("pool.jsonl", [{"body": text(i, i % 5 == 0)} for i in range(40)])
    with pytest.raises(InputError, match="--text-field body"):
        gotd.select(pool, corpora.target, 99, tmp_path / "out", workers=1)
    fields = Fields(text="body")
    asked = {"fields": fields, "target_fields": Fields(), "workers": 1}
    with pytest.raises(SettingsError, match="the budget is 99 documents and the pool holds 40"):
        gotd.select(pool, corpora.target, 99, tmp_path / "out", **asked)
    assert len(gotd.select(pool, corpora.target, 9, tmp_path / "out", **asked)) == 9


def test_cut_texts_are_pieces_of_their_documents(corpora, rows, tmp_path: Path) -> None:
    """Each selected record is a piece of the length asked for, and scored as such."""
    fields = Fields(chunk_chars=80)
    found = gotd.select(corpora.pool, corpora.target, "5%", tmp_path / "out", fields=fields, workers=1)
    pieces = rows(found.path)
    assert pieces
    assert max(len(piece["text"]) for piece in pieces) == 80
    assert all("#" in piece["gotd"]["id"] for piece in pieces)
    scores = found.potential.score([piece["text"] for piece in pieces])
    assert scores.tolist() == [np.float32(piece["gotd"]["score"]) for piece in pieces]
    counts = found.manifest["counts"]
    joined = [len("\n\n".join(row["text"] for row in rows(path))) for path in corpora.files]
    assert counts["read"] == sum(math.ceil(chars / 80) for chars in joined)
    assert counts["read"] == counts["selected"] + counts["not_selected"] + counts["rejected"]


def test_repeated_pieces_are_named(write, corpora, rows, tmp_path: Path) -> None:
    pool = write("pool.jsonl", [{"id": "same", "text": f"common{i} " * 30} for i in range(3)])
    found = gotd.select(pool, corpora.target, 1, tmp_path / "out", fields=Fields(chunk_chars=100), workers=1)
    rejects = rows(found.folder / "rejects.jsonl")
    assert rejects
    assert {r["reason"] for r in rejects} == {"duplicate-id"}
    assert all(f'pool.jsonl: piece {r["row"]}: id "same#' in r["message"] for r in rejects)


def test_only_the_kept_sources_are_chosen_from(write, text, rows, tmp_path: Path) -> None:
    """The others are read, and counted as not selected."""
    pool = [
        write(f"pool/{name}.jsonl", [{"text": text(n * 100 + i, i >= common)} for i in range(30)])
        for n, (name, common) in enumerate((("near", 0), ("far", 30), ("between", 15)))
    ]
    target = write("target.jsonl", [{"text": text(900 + i, True)} for i in range(30)])
    found = gotd.select(pool, target, 10, tmp_path / "out", keep=2, workers=1)
    assert sorted(found.manifest["kept_sources"]) == ["between", "near"]
    assert found.manifest["sources"].keys() == {"between", "near"}
    counts = found.manifest["counts"]
    assert (counts["read"], counts["selected"], counts["not_selected"], counts["rejected"]) == (90, 10, 80, 0)
    assert {row["source"] for row in _table(found.folder)} == {"between", "near"}


def test_the_selection_can_be_had_as_a_table(selected: Path, rows) -> None:
    chosen = gotd.Selection.load(selected)
    table = chosen.to_arrow()
    assert table.column_names == ["rank", "id", "source", "text", "score", "calibrated"]
    expected = [
        {"rank": r["gotd"]["rank"], "text": r["text"], **{k: r["gotd"][k] for k in ("id", "source", "calibrated")}}
        for r in rows(chosen.path)
    ]
    found = table.drop_columns(["score"]).to_pylist()
    assert found == [{name: row[name] for name in found[0]} for row in expected]
    assert chosen.to_pandas()["rank"].tolist() == list(range(1, 16))
    assert chosen.scores == selected / "scores.parquet"


def test_the_manifest_says_what_was_done(selected: Path, corpora) -> None:
    manifest = gotd.Selection.load(selected).manifest
    assert manifest["kind"] == "select"
    assert {line.rpartition(" ")[0] for line in manifest["inputs"]["candidates"]} == set(corpora.files)
    assert all(" sha256:" in line for lines in manifest["inputs"].values() for line in lines)
    assert manifest["sources"] == {
        "first": {"pool": 200, "selected": manifest["sources"]["first"]["selected"]},
        "second": {"pool": 100, "selected": 15 - manifest["sources"]["first"]["selected"]},
    }
    assert {"fit", "score", "choose", "total"} <= manifest["seconds"].keys()
    assert manifest["versions"]["gotd"] == gotd.__version__
    assert manifest["quality"]["converged"] is True
    assert len(manifest["best"]) == len(manifest["worst"]) == 5
    scores = [row["score"] for row in _table(selected)]
    assert [line["score"] for line in manifest["best"]] == sorted(scores)[:5]
    assert [line["score"] for line in manifest["worst"]] == sorted(scores, reverse=True)[:5]


def test_the_prediction_is_the_first_order_one(selected: Path, rows) -> None:
    """OT(P, T) + mix (mean_U phi - mean_P phi); the reference P here is the whole pool."""
    transport = gotd.Selection.load(selected).manifest["transport"]
    chosen = np.mean([row["gotd"]["score"] for row in rows(selected / "selected.jsonl")])
    pool = np.mean([row["score"] for row in _table(selected)])
    assert math.isclose(transport["predicted"], transport["before"] + 0.1 * (chosen - pool), abs_tol=1e-5)


def test_a_new_temporary_folder_without_output(corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = gotd.select(corpora.pool, corpora.target, 3, workers=1)
    assert found.folder.parent == tmp_path
    assert len(found) == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"budget": "5000dcs"}, 'budget is "5000dcs"; wanted 5000docs'),
        ({"mix": 0.0}, "mix is 0.0; wanted a share above 0"),
        ({"mix": float("nan")}, "mix is nan"),
        ({"format": "xml"}, 'format is "xml"; wanted jsonl, jsonl.zst, parquet'),
        ({"reg": 0.0}, "reg is 0.0; wanted a positive fraction"),
        ({"reg": float("nan")}, "reg is nan"),
        ({"cost": "manhattan"}, 'cost is "manhattan"; wanted'),
        ({"text_mass": "words"}, 'text_mass is "words"; wanted docs or tokens'),
        ({"fit_sample": 0}, "wanted 1 or more"),
        ({"keep": 0}, "keep is 0; wanted 1 or more sources"),
        ({"on_error": "ignore"}, 'on_error is "ignore"; wanted "skip" or "fail"'),
        ({"encoder": "lsb"}, 'no encoder "lsb"'),
        ({"polish": -1}, "polish is -1; wanted 0 or more"),
    ],
)
def test_a_wrong_setting_is_named(given: dict[str, object], message: str, corpora, tmp_path: Path) -> None:
    asked = {"candidates": corpora.pool, "target": corpora.target, "budget": 5, "workers": 1, **given}
    with pytest.raises(SettingsError, match=message):
        gotd.select(output=tmp_path / "out", **asked)


@pytest.mark.parametrize("given", [{"budget": "5000dcs"}, {"mix": 2.0}, {"format": "xml"}])
def test_what_decides_the_choice_is_checked_before_the_pool_is_read(given, corpora, tmp_path: Path) -> None:
    asked = {"candidates": corpora.pool, "target": corpora.target, "budget": 5, **given}
    with pytest.raises(SettingsError):
        gotd.select(output=tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


def test_settings_of_the_paper() -> None:
    assert FitSettings(seed=3).as_published() == FitSettings(reg=0.01, debias=False, centre=False, trim=0, seed=3)


def test_what_is_given_goes_before_the_paper() -> None:
    given = {"reg": None, "debias": None, "centre": True, "whiten": 0.5, "remove_top": 2}
    assert fit_settings(paper=True, **given) == FitSettings(
        reg=0.01, debias=False, centre=True, whiten=0.5, remove_top=2, trim=0
    )
    for one in ("whiten", "remove_top"):
        with pytest.raises(SettingsError, match="whiten and remove_top need centred vectors"):
            fit_settings(paper=True, reg=None, debias=None, centre=None, **{one: 1})


def _table(folder: Path) -> list[dict[str, object]]:
    import pyarrow.parquet as pq

    return pq.read_table(folder / "scores.parquet").to_pylist()


def test_fields_as_a_mapping_are_as_the_fields_of_those_names(write, text, tmp_path: Path) -> None:
    pool = write("pool.jsonl", [{"id": str(i), "body": text(i, i % 5 == 0), "domain": "ab"[i % 2]} for i in range(40)])
    target = write("target.jsonl", [{"question": text(100 + i, True)} for i in range(10)])
    how = {"fields": {"text": "body", "source": "domain"}, "target_fields": {"text": "question"}}
    exact = {"fields": Fields(text="body", source="domain"), "target_fields": Fields(text="question")}

    chosen = gotd.select(pool, target, "5docs", tmp_path / "out", workers=1, **how)

    assert set(chosen.manifest["sources"]) == {"a", "b"}
    again = gotd.select(pool, target, "5docs", tmp_path / "out", workers=1, **exact)
    assert again.manifest == chosen.manifest
    assert gotd.domains(pool, target, **how) == gotd.domains(pool, target, **exact)
    for call in (gotd.select, gotd.domains):
        more = {"budget": "5docs"} if call is gotd.select else {}
        with pytest.raises(SettingsError, match='no field "body"; known: text'):
            call(pool, target, **more, fields={"body": "text"})
    gotd.fit(target, pool, tmp_path / "fit", **how)
    with pytest.raises(SettingsError, match='no field "body"; known: text'):
        gotd.score(tmp_path / "fit", pool, tmp_path / "scores", fields={"body": "text"})


def test_numbers_of_numpy_and_paths_are_as_those_of_python(selector: Path, corpora, tmp_path: Path) -> None:
    """A loop over np.linspace or np.arange gives them; the same call in plain numbers finds the folder finished."""
    given = {"reg": np.float64(0.2), "seed": np.int64(1), "fit_sample": np.int64(100), "trim": np.float64(0)}
    given |= {"rounds": 2.0, "mix": np.float64(0.2), "shortlist": np.float64(3), "max_per_source": np.int64(5)}
    given |= {"encoder": selector, "target": gotd.Target(corpora.target, weight=np.int64(2)), "keep": np.int64(2)}
    plain = {"reg": 0.2, "seed": 1, "fit_sample": 100, "trim": 0, "rounds": 2, "mix": 0.2, "shortlist": 3}
    plain |= {"max_per_source": 5, "encoder": str(selector), "target": corpora.target, "keep": 2}
    found = gotd.select(corpora.pool, budget=np.int64(8), output=tmp_path / "out", workers=1, **given)
    assert found.manifest == gotd.select(corpora.pool, budget=8, output=tmp_path / "out", workers=1, **plain).manifest
    assert len(gotd.size(found.folder, limit=np.int64(20), folds=2.0, budgets=np.int64(2)).sizes) == 1


def test_a_device_of_torch_is_as_its_name(selector: Path, corpora, tmp_path: Path) -> None:
    found = gotd.score(selector, corpora.pool, tmp_path / "out", device=torch.device("cpu"), sources="first", workers=1)
    assert found.manifest["counts"]["scored"] == 200
