"""`gotd.report`: the page says what the manifest says, and what cannot be read is said too."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import gotd
from gotd.errors import ArtifactError, MissingExtra, SettingsError
from gotd.reporting import making

Page = Any
Read = Callable[[Path], Page]
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def page(hostile_page: Path, read_page: Read) -> Page:
    return read_page(hostile_page)


@pytest.fixture(scope="module")
def manifest(hostile: Path) -> dict[str, Any]:
    return gotd.Selection.load(hostile).manifest


def test_distances_are_the_manifests(page: Page, manifest: dict[str, Any]) -> None:
    moved, said = manifest["transport"], page.said("distance")
    rows = [("before", "before"), ("predicted by one step", "predicted"), ("solved again", "after")]
    for words, name in rows:
        assert f"{words} {moved[name]:.4f}" in said
    assert f"with 40 at random, solved again {moved['random']:.4f}" in said
    assert f"{moved['after'] - moved['before']:+.4f}" in said


def test_counts_are_the_manifests(page: Page, manifest: dict[str, Any]) -> None:
    counts = manifest["counts"]
    assert counts == {**counts, "read": 247, "selected": 40, "rejected": 4}
    assert "247 read = 40 selected + 203 not selected + 4 rejected" in page.said("verdict")
    for source, row in manifest["sources"].items():
        shares = f"{row['pool'] / 243:.1%} {row['selected'] / 40:.1%}"
        assert f"{source} {row['pool']:,} {row['selected']:,} {shares}" in page.said("sources")
    assert sum(page.data["histogram"]["pool"]) == 243
    assert sum(page.data["histogram"]["chosen"]) == 40


def test_what_was_dropped_is_counted_and_shown(page: Page, manifest: dict[str, Any]) -> None:
    said = page.said("dropped")
    assert manifest["duplicates"] == 3
    assert "3 documents repeat a better one" in said
    assert said.count("100.0%") == 3
    assert "4 of 247 rows" in said
    assert re.search(r"malformed-json 4 \S+pool\.jsonl:244: found malformed JSON", said)


def test_how_it_was_made(page: Page, manifest: dict[str, Any], hostile: Path) -> None:
    said = page.said("made")
    for line in [*manifest["inputs"]["target"], *manifest["inputs"]["candidates"]]:
        path, _, digest = line.rpartition(" ")
        assert path in said
        assert digest in said
    assert "reference the candidates" in said
    for name, value in manifest["versions"].items():
        assert f"{name} {value}" in said
    assert f"best 1% best 5% best 10% {' '.join(f'{v:.1%}' for v in manifest['quality']['stability'].values())}" in said
    assert "fields: source source" in said
    assert f"folder {hostile}" in said


def test_the_map_holds_every_role(page: Page, hostile: Path) -> None:
    dots = page.data["dots"]
    assert len({len(column) for column in dots.values()}) == 1
    by_role = [page.data["roles"][role] for role in dots["role"]]
    counts = {role: by_role.count(role) for role in page.data["roles"]}
    assert counts == {"selected": 40, "candidate": 203, "target": 40, "avoid": 0, "reference": 243}
    assert all(x is not None for x in dots["x"])
    chosen = gotd.Selection.load(hostile).to_arrow()
    assert dots["id"][:40] == chosen["id"].to_pylist()
    assert dots["rank"][:40] == list(range(1, 41))
    assert dots["score"][:40] == pytest.approx(chosen["score"].to_pylist(), abs=1e-4)
    assert dots["text"][-243:] == [None] * 243


def test_the_map_file(hostile: Path, hostile_page: Path) -> None:
    table = pq.read_table(hostile_page.parent / "map.parquet")
    assert table.column_names == ["id", "source", "score", "x", "y", "role", "text"]
    assert len(table) == 40 + 203 + 40 + 243
    assert table["x"].null_count == table["y"].null_count == table["role"].null_count == 0


def test_borderline_documents(page: Page, hostile: Path) -> None:
    said = page.said("documents")
    parts = re.split(r"Best |Just inside |Just outside |Worst ", said)
    ranks = [re.findall(r" (\d+|–) 0\.\d{3} ", f" {part} ") for part in parts[1:]]
    assert ranks == [["1", "2", "3", "4", "5"], ["36", "37", "38", "39", "40"], ["–"] * 5, ["–"] * 5]


def test_the_same_selection_makes_the_same_page(hostile: Path, hostile_page: Path, tmp_path: Path) -> None:
    assert gotd.report(hostile, tmp_path / "again.html").read_bytes() == hostile_page.read_bytes()


def test_a_sample_of_the_pool_is_said_to_be_one(selected: Path, read_page: Read, tmp_path: Path) -> None:
    page = read_page(gotd.report(selected, tmp_path / "page.html", points=100))
    assert "100 of the 300 candidates are drawn, all 15 chosen ones among them" in page.said("map")
    assert page.data["dots"]["role"].count(page.data["roles"].index("candidate")) == 85
    assert sum(page.data["histogram"]["pool"]) == 300


def test_long_texts_are_cut(write, text, read_page: Read, tmp_path: Path) -> None:
    pool = write("pool.jsonl", [{"id": f"{i}", "text": text(i, i < 5, 500)} for i in range(40)])
    target = write("target.jsonl", [{"text": text(90 + i, True, 12)} for i in range(9)])
    gotd.select(pool, target, 3, tmp_path / "out", workers=1)
    dots = read_page(gotd.report(tmp_path / "out")).data["dots"]
    lengths = [len(text) for text in dots["text"][:40]]
    assert max(lengths[:3]) <= 2002
    assert min(lengths[:3]) > 1500
    assert sorted(lengths[3:])[: 40 - 3 - 10] == pytest.approx([201] * 27, abs=2)


def test_a_choice_is_told_as_a_selection_is(scored: Path, selected: Path, read_page: Read, tmp_path: Path) -> None:
    """`choose` alone does not know the target's files: the potential does."""
    folder = gotd.choose(scored, 15, tmp_path / "out", rounds=3).folder
    page = read_page(gotd.report(folder))
    assert "Round by round" in page.said("distance")
    assert "there is no one cut" in page.said("scores")
    assert page.data["histogram"]["cut"] is None
    whole = read_page(gotd.report(selected, tmp_path / "whole.html"))
    targets = [
        [text for role, text in zip(found.data["dots"]["role"], found.data["dots"]["text"]) if role == 2]
        for found in (page, whole)
    ]
    assert targets[0] == targets[1]
    assert None not in targets[0]


def test_files_that_are_gone_are_named_and_the_rest_is_told(write, text, read_page: Read, tmp_path: Path) -> None:
    pool = write("pool.jsonl", [{"id": f"{i}", "text": text(i, i % 5 == 0, 9)} for i in range(30)])
    target = write("target.jsonl", [{"text": text(90 + i, i % 2 == 0)} for i in range(30)])
    gotd.select(pool, target, 6, tmp_path / "out", workers=1)
    Path(pool).unlink()
    Path(target).unlink()
    page = read_page(gotd.report(tmp_path / "out"))
    assert "Inputs are gone or changed" in page.said("verdict")
    assert pool in page.said("made")
    assert target in page.said("made")
    dots = page.data["dots"]
    assert all(dots["text"][:6])
    assert all(x is not None for x in dots["x"][:6])
    assert dots["x"][6:30] == dots["text"][6:30] == [None] * 24
    assert "text not to be had" in page.said("documents")


def test_no_place_where_vectors_are_gone_with_their_records(write, read_page: Read, tmp_path: Path) -> None:
    rows = [{"id": f"{i}", "text": f"t{i}", "v": [float(i == j) + 0.1 * i for j in range(4)]} for i in range(12)]
    pool, target = write("pool.jsonl", rows), write("target.jsonl", rows[:6])
    gotd.select(pool, target, 3, tmp_path / "out", fields=gotd.Fields(embedding="v"), workers=1)
    Path(pool).unlink()
    page = read_page(gotd.report(tmp_path / "out"))
    assert page.data["dots"]["x"][:3] == [None] * 3
    assert all(page.data["dots"]["text"][:3])
    assert "No chosen document has a place on the map" in page.said("lacks")


def test_another_method_has_scores_of_its_own(corpora, read_page: Read, tmp_path: Path) -> None:
    gotd.select(corpora.pool, corpora.target, 10, tmp_path, method="nearest", workers=1)
    page = read_page(gotd.report(tmp_path))
    assert "the order of nearest, lowest first" in page.said("scores")
    assert "Chosen by nearest" in page.said("verdict")


def test_several_targets_and_one_to_avoid(corpora, write, text, read_page: Read, tmp_path: Path) -> None:
    """Each has its own dots, under its own name, and its own line of figures."""
    rare = write("rare.jsonl", [{"text": text(3000 + i, True)} for i in range(20)])
    common = write("common.jsonl", [{"text": text(4000 + i, False)} for i in range(15)])
    wanted = [gotd.Target(rare, weight=2, name="needles"), gotd.Target(corpora.target, name="task")]
    avoided = gotd.Target(common, name="chaff")
    found = gotd.select(corpora.pool, wanted, 12, tmp_path / "out", avoid=avoided, target_shares="75,25", workers=1)
    page = read_page(gotd.report(found.folder))
    data = page.data
    by_role = [data["roles"][role] for role in data["dots"]["role"]]
    assert (by_role.count("target"), by_role.count("avoid")) == (80, 15)
    names = [None if source is None else data["sources"][source] for source in data["dots"]["source"]]
    assert [names.count(name) for name in ("needles", "task", "chaff")] == [20, 60, 15]
    assert None not in [text for role, text in zip(by_role, data["dots"]["text"]) if role in ("target", "avoid")]
    said = page.said("distance")
    for row in found.manifest["transport"]["targets"]:
        moved = " ".join(f"{row[figure] - row['before']:+.4f}" for figure in ("predicted", "after", "random"))
        assert f"{'away from ' * row['avoid']}{row['name']} {row['weight']:g} {row['before']:.4f} {moved}" in said
    assert "needles took 9, task took 3 documents" in said
    assert "To avoid 15" in page.said("map")
    assert "to avoid" in page.said("made")
    assert data["histogram"]["cut"] is None


def test_the_target_itself_as_the_choice(corpora, write, text, read_page: Read, tmp_path: Path) -> None:
    """`all-target` takes nothing of the pool, even where the pool has a document of that id."""
    target = write("task.jsonl", [{"id": f"first-{i}", "text": text(5000 + i, i % 2 == 0)} for i in range(40)])
    found = gotd.select(corpora.pool, target, 10, tmp_path / "out", method="all-target", workers=1)
    page = read_page(gotd.report(tmp_path / "out"))
    assert "10 documents of the target itself were chosen" in page.said("verdict")
    assert len(found) == 10
    assert page.data["dots"]["rank"].count(None) == len(page.data["dots"]["rank"])
    assert sum(page.data["histogram"]["chosen"]) == 0


def test_where_the_page_goes(selected: Path, tmp_path: Path) -> None:
    assert gotd.report(selected, tmp_path) == tmp_path / "report.html"
    assert gotd.report(selected, tmp_path / "deep" / "p.html") == tmp_path / "deep" / "p.html"
    assert (tmp_path / "deep" / "p.html").exists()
    assert not (tmp_path / "map.parquet").exists()
    with pytest.raises(ArtifactError, match=r"cannot write .*page\.html: .*choose another --output"):
        gotd.report(selected, tmp_path / "report.html" / "page.html")


def test_what_is_no_selection_is_refused(scored: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="was made by `gotd score`"):
        gotd.report(scored)
    with pytest.raises(ArtifactError, match="the folder has none"):
        gotd.report(tmp_path)


def test_settings_are_checked(selected: Path) -> None:
    with pytest.raises(SettingsError, match="points is 0; wanted 1 or more"):
        gotd.report(selected, points=0)
    with pytest.raises(SettingsError, match='projection is "tsne"'):
        gotd.report(selected, projection="tsne")


def test_a_missing_package_is_named(selected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "find_spec", lambda name: None if name == "plotly" else object())
    with pytest.raises(MissingExtra, match=r"the report needs plotly, .* pip install 'gotd\[report\]'"):
        gotd.report(selected)


def test_nobody_imports_the_report_but_the_command_line() -> None:
    allowed = {"__init__.py", "cli", "reporting"}
    for path in (ROOT / "src" / "gotd").rglob("*.py"):
        if path.relative_to(ROOT / "src" / "gotd").parts[0] not in allowed:
            assert not re.search(r"gotd\.reporting|from gotd import .*reporting", path.read_text(encoding="utf-8")), (
                path
            )
