"""gotd select --dry-run: says what the run would do, and does none of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import commands
import orjson
import pytest
from click.testing import Result

from gotd import InputError, SettingsError, select
from gotd.dry_run import dry_run


@pytest.fixture(autouse=True)
def _quick_and_apart(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary files in a folder of their own, and little time for measurements that nobody looks at."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("tmp")))
    monkeypatch.setattr("gotd.dry_run.rates._LEAST", 0.005)
    monkeypatch.setattr("gotd.dry_run.rates._LARGE", (1200, 300))


def run(*arguments: object) -> Result:
    return commands.run("select", *arguments, "--dry-run")


def everything(*folders: Path) -> list[tuple[Path, int]]:
    return [(path, path.stat().st_mtime_ns) for folder in folders for path in sorted(folder.rglob("*"))]


def test_it_says_what_a_run_does_and_writes_nothing(corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows, documents chosen and files written are those of the run."""
    import tempfile

    monkeypatch.chdir(tmp_path)
    asked = ("--candidates", corpora.pool, "-t", corpora.target, "-k", "5%", "-o", tmp_path / "out", "--workers", 1)
    folders = (Path(corpora.pool), tmp_path, Path(tempfile.gettempdir()))
    before = everything(*folders)
    shown = run(*asked)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert everything(*folders) == before
    assert "candidates  2 files" in shown.stdout
    assert "300 rows" in shown.stdout
    assert "reference   a sample of the candidates" in shown.stdout
    assert "chooses  15 documents" in shown.stdout
    assert f"to {tmp_path}/out (new)" in shown.stdout
    told = orjson.loads(run(*asked, "--json").stdout)
    made = select(corpora.pool, corpora.target, "5%", tmp_path / "out", workers=1)
    assert told["reads"]["candidates"]["rows"] == made.manifest["counts"]["read"]
    assert told["reads"]["candidates"]["files"] == corpora.files
    assert told["chosen"] == len(made)
    # An encoder that is fitted on a sample has a length of its own.
    assert told["encoder"]["spec"] == made.manifest["fit"]["encoder"]["spec"]
    assert all((made.folder / name).is_file() for name in told["writes"])
    took = told["estimated_seconds"]
    assert took["total"] == pytest.approx(sum(value for name, value in took.items() if name != "total"))
    assert {"fit the encoder", "solve", "score", "choose"} <= took.keys()
    assert all(value >= 0 for value in took.values())


def test_sizes_that_are_told_are_near_those_written(corpora, write, text, tmp_path: Path) -> None:
    pool = write("pool.jsonl", [{"text": text(i, i % 9 == 0, 60)} for i in range(2500)])
    found = dry_run(pool, corpora.target, 1000, workers=1)
    made = select(pool, corpora.target, 1000, tmp_path / "out", workers=1)
    for name in ("selected.jsonl", "selected.arrow"):
        assert found.writes[name] == pytest.approx((made.folder / name).stat().st_size, rel=0.3)


def test_a_reference_and_a_token_budget(corpora) -> None:
    found = dry_run(corpora.pool, corpora.target, "100tokens", reference=corpora.other, workers=1)
    assert [side.role for side in found.sides] == ["candidates", "target", "reference"]
    mean = sum(len(document.text) for document in found.sides[0].documents) / 300
    assert found.job.chosen == round(400 / mean)
    assert found.further_pass == 0
    assert "reference   1 file," in "\n".join(found.lines())


def test_rows_that_would_be_rejected_are_told(write, text, corpora) -> None:
    pool = write("pool.jsonl", [*({"text": text(i, i % 2 == 0)} for i in range(30)), b'{"text": "cut'])
    lines = "\n".join(dry_run(pool, corpora.target, 5, workers=1).lines())
    assert f"1 of the 31 rows looked at would be rejected; the first: {pool}:31: found malformed JSON" in lines


def test_a_folder_that_is_there_is_told(corpora, selected: Path) -> None:
    asked = (corpora.pool, corpora.target, 5, selected)
    assert dry_run(*asked, workers=1).state.startswith("there already, finished")
    assert "would be replaced" in dry_run(*asked, workers=1, overwrite=True).state


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"budget": "plenty"}, 'budget is "plenty"'),
        ({"budget": "301docs"}, "the pool holds 300 rows; lower --budget"),
        ({"candidates": "absent.jsonl"}, "absent.jsonl: no such file"),
        ({"reg": 0.0}, "reg is 0.0"),
        ({"mix": 0.0}, "mix is 0.0"),
        ({"method": "dsir", "rounds": 2}, "rounds go down the gradient"),
        ({"encoder": "word2vec"}, "word2vec"),
        ({"held_out": "absent.jsonl"}, "absent.jsonl: no such file"),
        ({"format": "csv"}, 'format is "csv"'),
    ],
)
def test_what_a_run_would_refuse_is_refused(corpora, flags: dict[str, Any], named: str) -> None:
    given = {"candidates": corpora.pool, "target": corpora.target, "budget": "5docs", "workers": 1, **flags}
    with pytest.raises((InputError, SettingsError)) as found:
        dry_run(**given)
    assert named in str(found.value)


def test_vectors_that_records_carry_need_no_encoder(write) -> None:
    def record(i: int) -> dict[str, Any]:
        return {"text": "x", "v": [float(i % 5), float(i % 3), 1.0 + i % 2, float(i)]}

    pool, target = write("pool.jsonl", map(record, range(40))), write("target.jsonl", map(record, range(90, 110)))
    from gotd import Fields

    found = dry_run(pool, target, 5, fields=Fields(embedding="v"), workers=1)
    assert (found.encoder, found.rates.dim) == ("vectors of the records", 4)
    assert {step.name: step.seconds for step in found.steps}["fit the encoder"] == 0


def test_every_setting_of_a_run_is_taken() -> None:
    """What `gotd select` hands on, the dry run must be able to take too."""
    import inspect

    parameters = inspect.signature(dry_run).parameters
    assert any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    assert set(inspect.signature(select).parameters) >= set(parameters) - {"others"}
