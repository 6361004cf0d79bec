"""The domain test: sources in the order of their distance to the target."""

from __future__ import annotations

from pathlib import Path

import pytest

import gotd
from gotd import Fields, FitSettings, InputError, SettingsError
from gotd.encoder_folders import encoder_for
from gotd.encoders import Encoder

SHARES = {"far": 0.0, "somewhat": 0.3, "near": 0.7, "nearest": 1.0}


@pytest.fixture
def pool(write, text) -> list[str]:
    """Four sources with more and more of the target's words."""
    return [
        write(f"{name}.jsonl", [{"text": text(100 * n + i, i < 40 * share), "site": name} for i in range(40)])
        for n, (name, share) in enumerate(SHARES.items())
    ]


@pytest.fixture
def target(write, text) -> str:
    return write("task.jsonl", [{"text": text(900 + i, True)} for i in range(40)])


@pytest.mark.parametrize("settings", [FitSettings(), FitSettings().as_published(), FitSettings(cost="sqeuclidean")])
def test_nearest_first(settings: FitSettings, pool: list[str], target: str) -> None:
    found = gotd.domains(pool, target, settings=settings)
    assert [domain.source for domain in found] == ["nearest", "near", "somewhat", "far"]
    assert [domain.distance for domain in found] == sorted(domain.distance for domain in found)
    assert found[1].distance > found[0].distance
    assert all(domain.kept and domain.documents == 40 for domain in found)


def test_the_nearest_are_kept(pool: list[str], target: str) -> None:
    found = gotd.domains(pool, target, keep=2)
    assert {domain.source for domain in found if domain.kept} == {"near", "nearest"}
    assert all(domain.kept for domain in gotd.domains(pool, target, keep=4))
    with pytest.raises(SettingsError, match="keep is 0; wanted 1 or more sources"):
        gotd.domains(pool, target, keep=0)


def test_more_sources_than_there_are_cannot_be_kept(pool: list[str], target: str, tmp_path: Path) -> None:
    message = "keep is 9; wanted 4 at most, which is how many sources the candidates have"
    with pytest.raises(SettingsError, match=message):
        gotd.domains(pool, target, keep=9)
    with pytest.raises(SettingsError, match=message):
        gotd.select(pool, target, "3docs", tmp_path / "out", keep=9, workers=1)
    with pytest.raises(SettingsError, match=message):
        gotd.select(pool, target, "3docs", tmp_path / "out", method="in-domain", keep=9, workers=1)
    few = gotd.select(pool[2:], target, "3docs", tmp_path / "few", method="in-domain", workers=1)
    assert set(few.manifest["kept_sources"]) == {"near", "nearest"}


@pytest.mark.parametrize(("name", "value"), [("keep", "3"), ("per_source", 0), ("per_source", None)])
def test_numbers_that_measure_nothing_are_refused(name: str, value: object, pool: list[str], target: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is {value!r}; wanted "):
        gotd.domains(pool, target, **{name: value})


def test_sources_may_be_named_in_the_records(pool: list[str], target: str, tmp_path: Path) -> None:
    whole = tmp_path / "all.jsonl"
    whole.write_bytes(b"".join(Path(path).read_bytes() for path in pool))
    found = gotd.domains(str(whole), target, fields=Fields(source="site"))
    assert [domain.source for domain in found] == ["nearest", "near", "somewhat", "far"]


def test_a_source_is_measured_on_so_many_documents(pool: list[str], target: str) -> None:
    found = gotd.domains(pool, target, per_source=10)
    assert [domain.documents for domain in found] == [10, 10, 10, 10]
    assert (found[0].source, found[-1].source) == ("nearest", "far")
    assert gotd.domains(pool, target, per_source=10) == found


def test_given_vectors_serve(write, text) -> None:
    def records(count: int, angle: float) -> list[dict[str, object]]:
        return [{"text": "x", "v": [1.0, angle + i / 100, 0.1]} for i in range(count)]

    pool = [write(f"{name}.jsonl", records(30, at)) for name, at in (("a", 9.0), ("b", 1.0), ("c", 3.0))]
    target = write("t.jsonl", records(20, 0.0))
    found = gotd.domains(pool, target, fields=Fields(embedding="v"), settings=FitSettings(centre=False))
    assert [domain.source for domain in found] == ["b", "c", "a"]


def test_nothing_to_measure_is_named(write, pool: list[str], target: str) -> None:
    empty = write("empty.jsonl", [])
    with pytest.raises(InputError, match="the candidates hold no document"):
        gotd.domains(empty, target)
    with pytest.raises(InputError, match=rf"the target holds no document: {empty}"):
        gotd.domains(pool, empty)


def test_bad_rows_stop_it_where_asked(write, pool: list[str], target: str) -> None:
    bad = write("bad.jsonl", [{"text": "rare1"}, b"{"])
    assert len(gotd.domains([*pool, bad], target)) == 5
    with pytest.raises(InputError, match=rf"{bad}:2: found malformed JSON"):
        gotd.domains([*pool, bad], target, on_error="fail")


def test_progress_is_told(pool: list[str], target: str) -> None:
    told = []
    gotd.domains(pool, target, progress=lambda stage, done, total: told.append((stage, done, total)))
    assert told[-1] == ("measured", 4, 4)


@pytest.mark.parametrize("budget", ["50docs", "2000tokens"])
@pytest.mark.parametrize("how", [{}, {"coarse": "lsa", "fine": "lsa+static"}])
def test_a_budget_above_what_was_kept_wants_more_kept(
    budget: str, how: dict[str, str], pool: list[str], target: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=r"lower --budget or raise --keep: 120 documents are from sources that"):
        gotd.select(pool, target, budget, tmp_path / "out", keep=1, workers=1, **how)
    with pytest.raises(SettingsError, match="lower --budget or add candidates"):
        gotd.select(pool[:1], target, budget, tmp_path / "one", workers=1, **how)


def test_a_document_weighs_its_tokens_where_asked(write, text, target: str) -> None:
    """By documents `few` is nearest; by tokens its one long document is most of it, and far."""
    few = [{"text": text(i, True)} for i in range(20)] + [{"text": text(99, False, 3000)}]
    even = [{"text": text(100 + i, i < 16)} for i in range(20)]
    pool = [write("few.jsonl", few), write("even.jsonl", even)]
    assert [domain.source for domain in gotd.domains(pool, target)] == ["few", "even"]
    by_tokens = gotd.domains(pool, target, settings=FitSettings(text_mass="tokens"))
    assert [domain.source for domain in by_tokens] == ["even", "few"]


def test_the_encoder_is_fitted_on_so_many_from_all_of_a_file(
    write, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def fitted(spec: str, texts: list[str], **how: object) -> Encoder:
        seen.extend(texts)
        return encoder_for(spec, texts, **how)

    monkeypatch.setattr("gotd.stages.domains.encoder_for", fitted)
    pool = write("sorted.jsonl", [{"text": f"word{i} {'early' if i < 50 else 'late'} again"} for i in range(100)])
    gotd.domains(pool, target, settings=FitSettings(fit_sample=20))
    found = [text for text in seen if "again" in text]
    assert len(found) == 20
    assert sum("late" in text for text in found) == 10
