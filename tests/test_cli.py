"""The command line, as a person types it: every command, its flags, its errors, its output.

docs/cli.md is made from the same help texts; to make it again: python tests/test_cli.py > docs/cli.md
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
import zstandard
from click.testing import CliRunner
from commands import ONE_LINE, done, refused, run, told

import gotd
from gotd.cli import main

DOCS = Path(__file__).parent.parent / "docs" / "cli.md"
COMMANDS = (
    "select",
    "fit",
    "score",
    "choose",
    "size",
    "domains",
    "warmup",
    "finetune",
    "evaluate",
    "tune-encoder",
    "report",
    "demo",
    "export",
    "compare",
    "doctor",
)
WIDTH = 100
BAR = "\u2501"

pytestmark = pytest.mark.usefixtures("plain_screen")

Fit = Callable[..., dict[str, Any]]


def documentation() -> str:
    """docs/cli.md: what `--help` prints, at 100 columns."""
    pages = ["# The command line", "Made from `--help`; `tests/test_cli.py` says how to make it again."]
    for command in ((), *(path for name in COMMANDS for path in paths(name))):
        told = CliRunner().invoke(main, [*command, "--help"], prog_name="gotd", terminal_width=WIDTH)
        name = " ".join(("gotd", *command))
        pages += [f"## {name}", f"```text\n{told.stdout.rstrip()}\n```"]
    return "\n\n".join(pages) + "\n"


def paths(name: str) -> list[tuple[str, ...]]:
    """A command, and those below it where it is a group."""
    below = getattr(main.commands[name], "commands", {})
    return [(name,), *((name, inner) for inner in below)]


def found(path: tuple[str, ...]) -> click.Command:
    """The command at the end of a path."""
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    return command


if __name__ == "__main__":
    sys.stdout.write(documentation())
    sys.exit()


@pytest.fixture
def fitted(corpora, tmp_path: Path) -> Fit:
    """fitted(*flags) -> the manifest of `gotd fit` with these flags, each time in another folder."""
    made = iter(range(99))
    return lambda *flags: told(
        "fit", "-r", corpora.other, "-t", corpora.target, "-o", tmp_path / f"fit{next(made)}", *flags
    )


# What is documented


def test_docs_are_what_help_prints() -> None:
    assert DOCS.read_text(encoding="utf-8") == documentation(), "run: python tests/test_cli.py > docs/cli.md"


def test_documented_commands_are_all_there_are() -> None:
    assert set(COMMANDS) == set(main.commands)


@pytest.mark.parametrize("path", [path for name in COMMANDS for path in paths(name)], ids=" ".join)
def test_every_flag_says_what_it_does(path: tuple[str, ...]) -> None:
    flags = [option for option in found(path).params if isinstance(option, click.Option)]
    assert [option.name for option in flags if not option.help] == []


def test_version() -> None:
    assert done("--version") == f"gotd, version {gotd.__version__}\n"


def test_it_is_a_module_too() -> None:
    found = subprocess.run([sys.executable, "-m", "gotd", "--version"], capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == (f"gotd, version {gotd.__version__}\n", "")


# Each command, end to end


def test_select_writes_a_selection_and_shows_it(corpora, rows, tmp_path: Path) -> None:
    """Fifteen of the pool's 300 documents are of the half of the task that the pool lacks: the best fifteen."""
    out = tmp_path / "out"
    shown = done(
        *("select", "--candidates", corpora.pool, "--target", corpora.target, "--budget", "15docs", "--output", out),
        *("--workers", 1, "--seed", 3, "--mix", 0.2, "--text-mass", "tokens", "--cost", "sqeuclidean"),
        *("--fit-sample", 250, "--target-sample", 50, "--min-chars", 2),
    )
    chosen = rows(out / "selected.jsonl")
    assert [record["rare"] for record in chosen] == [True] * 15
    assert [record["gotd"]["rank"] for record in chosen] == list(range(1, 16))
    assert "15 of 300 documents" in shown
    assert f"Wrote {out}/selected.jsonl (15 documents)" in shown
    settings = gotd.Selection.load(out).manifest["settings"]
    asked = {"seed": 3, "mix": 0.2, "text_mass": "tokens", "cost": "sqeuclidean", "fit_sample": 250}
    assert settings.items() >= {**asked, "target_sample": 50, "budget": "15docs"}.items()
    assert settings["fields"]["min_chars"] == 2


def test_select_is_fit_score_and_choose(corpora, contents, tmp_path: Path) -> None:
    """The same files to the byte; the manifests differ in what was asked and timed."""
    flags = ("-t", corpora.target, "--reg", 0.2, "--seed", 1)
    done("select", "--candidates", corpora.pool, *flags, "-k", "5%", "-o", tmp_path / "select", "--workers", 1)
    done("fit", "-r", corpora.pool, *flags, "-o", tmp_path / "selector")
    done("score", tmp_path / "selector", corpora.pool, "-o", tmp_path / "scores", "--workers", 1)
    done("choose", tmp_path / "scores", "-k", "5%", "-o", tmp_path / "choose", "--seed", 1)
    whole, halves = contents(tmp_path / "select"), contents(tmp_path / "choose")
    one, other = whole.pop("manifest.json"), halves.pop("manifest.json")
    assert halves.keys() >= {"selected.jsonl", "scores.parquet", "potential.safetensors", "rejects.jsonl"}
    assert whole == halves
    for part in ("counts", "sources", "transport", "quality", "best", "worst"):
        assert one[part] == other[part]


def test_halves_say_what_comes_next(corpora, selector: Path, scored: Path, tmp_path: Path) -> None:
    """Each `Next:` is a command that runs once the capitals are filled in."""
    first = done("fit", "-r", corpora.other, "-t", corpora.target, "-o", tmp_path / "selector")
    assert first.endswith(f"Next: gotd score {tmp_path}/selector POOL -o scores\n")
    second = done("score", selector, corpora.files[0], "-o", tmp_path / "scores", "--workers", 1, "--polish", 0)
    assert second.startswith("Scored 200 of 200 rows, 0 rejected.\n")
    assert second.endswith(f"Next: gotd choose {tmp_path}/scores -k 5000docs -o runs/task\n")
    last = done("choose", scored, "-k", "3docs", "-o", tmp_path / "chosen", "--mix", 0.5)
    assert last.rstrip().endswith(f"gotd score {tmp_path}/chosen POOL -o {tmp_path}/chosen-scores")
    done("score", tmp_path / "chosen", corpora.files[1], "-o", tmp_path / "chosen-scores", "--workers", 1)


def test_domains_puts_the_nearest_first(write, text, tmp_path: Path) -> None:
    write("pool/near.jsonl", [{"text": text(i, True)} for i in range(30)])
    write("pool/far.jsonl", [{"text": text(i, False)} for i in range(40)])
    target = write("target.jsonl", [{"text": text(100 + i, True)} for i in range(20)])
    asked = ("domains", "--candidates", tmp_path / "pool", "-t", target, "--per-source", 25)
    shown = done(*asked, "--keep", 1).splitlines()
    assert [line.split()[0] for line in shown[-2:]] == ["near", "far"]
    assert [line.rstrip().endswith(end) for line, end in zip(shown[-2:], ("  kept", "  left out"))] == [True, True]
    found = told(*asked)
    assert [(domain["source"], domain["documents"], domain["kept"]) for domain in found] == [
        ("near", 25, True),
        ("far", 25, True),
    ]
    assert found[0]["distance"] < found[1]["distance"]


def test_report_writes_a_page_about_a_selection(selected: Path, tmp_path: Path) -> None:
    shown = done("report", selected, "-o", tmp_path / "page.html", "--points", 50, "--seed", 2)
    assert shown == f"Wrote {tmp_path}/page.html. It needs nothing else: open it in a browser.\n"
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "50 of the 300 candidates are drawn" in page
    assert not (tmp_path / "map.parquet").exists()
    shown = done("report", selected, "-o", tmp_path, "--map")
    assert shown.endswith(f"Next: embedding-atlas {tmp_path}/map.parquet --x x --y y --text text\n")
    assert pq.read_table(tmp_path / "map.parquet").column_names[-4:] == ["x", "y", "role", "text"]


def test_select_writes_the_page_too_if_it_is_asked_to(corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that it lacks is named before the work, not after it."""
    asked = ("select", "--candidates", corpora.pool, "-t", corpora.target, "-k", "5docs", "--workers", 1)
    shown = done(*asked, "-o", tmp_path / "with", "--report")
    assert shown.endswith(f"Or look at it: open {tmp_path}/with/report.html in a browser.\n")
    assert (tmp_path / "with" / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    done(*asked, "-o", tmp_path / "without")
    assert not (tmp_path / "without" / "report.html").exists()
    monkeypatch.setattr("gotd.reporting.making.find_spec", lambda name: None)
    assert "pip install 'gotd[report]'" in refused(*asked, "-o", tmp_path / "never", "--report")
    assert not (tmp_path / "never").exists()


# What goes where


def test_json_is_all_that_standard_output_holds(corpora, selector: Path, scored: Path, tmp_path: Path) -> None:
    """Each is the manifest that the folder holds."""
    made = {
        "select": ("--candidates", corpora.files[1], "-t", corpora.target, "-k", "5docs", "--workers", 1),
        "fit": ("-r", corpora.other, "-t", corpora.target),
        "score": (selector, corpora.files[1], "--workers", 1),
        "choose": (scored, "-k", "5docs"),
    }
    for name, flags in made.items():
        found = told(name, *flags, "-o", tmp_path / name)
        assert found["kind"] == name
        assert found == orjson.loads((tmp_path / name / "manifest.json").read_bytes())


def test_progress_is_on_standard_error_and_only_on_a_terminal(
    corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes both streams for terminals
    found = run(
        "select", "--candidates", corpora.pool, "-t", corpora.target, "-k", 9, "-o", tmp_path / "a", "--workers", 1
    )
    assert found.exit_code == 0
    assert BAR in found.stderr
    for stage in ("reading target and reference", "scoring", "solving again"):
        assert stage in found.stderr
    assert BAR not in found.stdout
    assert "9 of 300 documents" in found.stdout
    found = run("fit", "-r", corpora.other, "-t", corpora.target, "-o", tmp_path / "b", "--json")
    assert BAR in found.stderr
    assert orjson.loads(found.stdout)["kind"] == "fit"


# Errors


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        pytest.param(("--candidates", "absent.jsonl"), "absent.jsonl: no such file or folder", id="missing file"),
        pytest.param(("--candidates", "absent/*.jsonl"), "absent/*.jsonl: holds no file to read", id="empty glob"),
        pytest.param(("-t", "absent.jsonl"), "absent.jsonl: no such file or folder", id="missing target"),
        pytest.param(("-k", "plenty"), 'budget is "plenty"; wanted 5000docs, 5% or 2000000tokens', id="bad budget"),
        pytest.param(("-k", "301docs"), "the pool holds 300 that can be scored; lower --budget", id="budget too large"),
        pytest.param(("-k", "0docs"), "wanted more than nothing", id="no budget"),
        pytest.param(("--text-field", "body"), 'no field "body"; found "text"', id="wrong text field"),
        pytest.param(("--target-text-field", "body"), 'target.jsonl:1: no field "body"', id="wrong target field"),
        pytest.param(
            ("--text-field", "{a}\n{b"), r'text field "{a}\n{b" is no template', id="broken template over two lines"
        ),
        pytest.param(("--encoder", "word2vec"), "word2vec", id="unknown encoder"),
        pytest.param(("--reg", 0), "reg is 0.0; wanted a positive fraction", id="bad reg"),
        pytest.param(("--mix", 0), "mix is 0.0; wanted a share above 0", id="bad mix"),
        pytest.param(("--chunk-chars", 0), "chunk_chars is 0; wanted 1 or more", id="bad chunks"),
        pytest.param(("-o", "taken"), "taken holds files that gotd did not make", id="a folder of another"),
    ],
)
def test_errors_are_one_line(
    corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[object, ...], named: str
) -> None:
    """Found, wanted, remedy, on standard error; exit code 1."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("years of work")
    usual: dict[object, object] = {
        "--candidates": corpora.pool,
        "-t": corpora.target,
        "-k": "5docs",
        "-o": "out",
        "--workers": 1,
    }
    given = {**usual, flags[0]: flags[1]}
    assert named in refused("select", *(part for pair in given.items() for part in pair))
    assert (tmp_path / "taken" / "thesis.tex").read_text() == "years of work"


def test_a_folder_of_another_stage_is_named(selector: Path, tmp_path: Path) -> None:
    assert "was made by `gotd fit`; wanted one made by `gotd score`" in refused(
        "choose", selector, "-k", "5docs", "-o", tmp_path / "a"
    )
    assert str(tmp_path / "nothing") in refused("score", tmp_path / "nothing", tmp_path, "-o", tmp_path / "b")


def test_a_folder_made_with_other_settings_names_the_setting(corpora, tmp_path: Path) -> None:
    """And is replaced where that is asked for; the same command again changes no byte of it."""
    asked = ("fit", "-r", corpora.other, "-t", corpora.target, "-o", tmp_path / "out")
    done(*asked)
    manifest = (tmp_path / "out" / "manifest.json").read_bytes()
    done(*asked)
    assert "reg was 0.1 and is now 0.3. Pass --overwrite, or another --output" in refused(*asked, "--reg", 0.3)
    assert "the files of target differ" in refused(*asked[:3], "-t", corpora.other, *asked[5:])
    assert (tmp_path / "out" / "manifest.json").read_bytes() == manifest
    assert told(*asked, "--reg", 0.3, "--overwrite")["settings"]["reg"] == 0.3


def test_overwrite_of_choose_leaves_no_file_of_before(scored: Path, tmp_path: Path) -> None:
    done("choose", scored, "-k", "5docs", "-o", tmp_path / "out", "--format", "parquet")
    assert "format was 'parquet' and is now 'jsonl'" in refused("choose", scored, "-k", "5docs", "-o", tmp_path / "out")
    done("choose", scored, "-k", "5docs", "-o", tmp_path / "out", "--overwrite")
    assert {path.name for path in (tmp_path / "out").glob("selected.*")} == {"selected.jsonl", "selected.arrow"}


def test_score_takes_the_fields_of_the_fit_but_for_those_given(corpora, tmp_path: Path) -> None:
    """One that is given back its usual value is given, too."""
    short = tmp_path / "short.jsonl"
    short.write_text('{"text": "short"}\n{"text": "and as short"}\n')
    selector = tmp_path / "selector"
    done("fit", "-r", corpora.other, "-t", corpora.target, "--min-chars", 10, "--text-per", "file", "-o", selector)
    for flags, kept, per in (((), 1, "file"), (("--min-chars", 0), 2, "file"), (("--text-per", "line"), 1, "line")):
        found = told("score", selector, short, "--workers", 1, *flags, "-o", tmp_path / str(flags))
        assert (found["counts"]["scored"], found["settings"]["fields"]["text_per"]) == (kept, per)


def test_an_output_that_is_called_as_an_encoder_is_not_read(corpora, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        done("fit", "-r", corpora.other, "-t", corpora.target, "-o", "lsa", "--overwrite")


def test_an_output_with_a_colon_wants_its_whole_path(corpora, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("select", "--candidates", corpora.other, "-t", corpora.target, "-k", "5docs", "--workers", 1, "-o")
    assert "run:1: a relative name with a colon. Choose another" in refused(*words, "run:1")
    done(*words, tmp_path / "run:1")
    assert (tmp_path / "run:1" / "selected.jsonl").exists()


def test_overwrite_keeps_what_the_command_reads(corpora, tmp_path: Path) -> None:
    """A folder given twice by mistake would cost hours of scoring."""
    pool, target, out = (shutil.copy(corpora.other, tmp_path / "pool.jsonl"), corpora.target, tmp_path / "out")
    done("fit", "-r", pool, "-t", target, "-o", out / "fit")
    done("score", out / "fit", pool, "-o", out / "score", "--workers", 1)
    done("choose", out / "score", "-k", "5docs", "-o", out / "choose")
    said = "--overwrite would delete {}, which is to be read; pass another --output"
    for folder, words in (
        ("fit", ("score", out / "fit", pool)),
        ("score", ("choose", out / "score", "-k", "5docs")),
        ("choose", ("export", out / "choose", "--to", "trl")),
    ):
        before = sorted(path.name for path in (out / folder).iterdir())
        assert said.format(out / folder) in refused(*words, "-o", out / folder, "--overwrite")
        assert sorted(path.name for path in (out / folder).iterdir()) == before
    words = ("select", "--candidates", pool, "-t", target, "-k", "5docs", "--coarse", out / "fit", "--fine", "lsa")
    assert said.format(out / "fit") in refused(*words, "-o", out / "fit", "--overwrite")
    inside = shutil.copy(pool, out / "fit" / "pool.jsonl")
    for words in (("fit", "-r", inside, "-t", target), ("select", "--candidates", inside, "-t", target, "-k", "5docs")):
        assert said.format(inside) in refused(*words, "-o", out / "fit", "--overwrite")


@pytest.mark.parametrize("flags", [(), ("-k", "5docs", "--workers", 0), ("-k", "5docs", "--format", "csv")])
def test_a_flag_that_is_missing_or_unknown_is_a_usage_error(corpora, tmp_path: Path, flags: tuple[object, ...]) -> None:
    found = run("select", "--candidates", corpora.pool, "-t", corpora.target, "-o", tmp_path / "out", *flags)
    assert (found.exit_code, found.stdout) == (2, "")
    assert found.stderr.startswith("Usage: gotd select")
    assert not (tmp_path / "out").exists()


def test_on_error(write, text, corpora, rows, tmp_path: Path) -> None:
    """`fail` stops at the first bad row; `skip`, the default, counts it, names it and goes on."""
    good = [{"text": text(i, i % 2 == 0)} for i in range(30)]
    pool = write("pool.jsonl", [*good[:6], b'{"text": "cut', *good[6:]])
    asked = ("select", "--candidates", pool, "-t", corpora.target, "-k", "5docs", "--workers", 1)
    assert f"{pool}:7: found malformed JSON" in refused(*asked, "-o", tmp_path / "fail", "--on-error", "fail")
    assert not (tmp_path / "fail" / "manifest.json").exists()
    shown = done(*asked, "-o", tmp_path / "skip")
    assert "1 of 31 rows rejected (1 malformed-json): see rejects.jsonl." in shown
    assert [(reject["row"], reject["reason"]) for reject in rows(tmp_path / "skip" / "rejects.jsonl")] == [
        (7, "malformed-json")
    ]


def test_an_interrupt_is_no_traceback(corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gotd.stages.fit.fitted_to", interrupted)
    asked = ("fit", "-r", corpora.other, "-t", corpora.target, "-o", tmp_path / "out")
    found = run(*asked)
    assert (found.exit_code, found.stdout) == (130, "")
    assert ONE_LINE.fullmatch(found.stderr)
    monkeypatch.undo()
    done(*asked)


# Flags


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ((), (0.1, True, True)),
        (("--paper",), (0.01, False, False)),
        (("--paper", "--reg", 0.05), (0.05, False, False)),
        (("--debias", "--paper"), (0.01, True, False)),
        (("--paper", "--centre", "--reg", 0.1), (0.1, False, True)),
        (("--no-debias", "--no-centre"), (0.1, False, False)),
    ],
)
def test_what_is_given_goes_before_paper_and_paper_before_the_defaults(
    fitted: Fit, flags: tuple[object, ...], wanted: tuple[float, bool, bool]
) -> None:
    settings = fitted(*flags)["settings"]
    assert (settings["reg"], settings["debias"], settings["centre"]) == wanted


def test_keep_scores_the_nearest_sources_alone(write, text, rows, tmp_path: Path) -> None:
    """Budget for all of the nearest source: no other gets a place, and no row is lost in the counts."""
    write("pool/near.jsonl", [{"text": text(i, True)} for i in range(30)])
    write("pool/far.jsonl", [{"text": text(i, False)} for i in range(40)])
    target = write("target.jsonl", [{"text": text(100 + i, True)} for i in range(20)])
    asked = ("select", "--candidates", tmp_path / "pool", "-t", target, "--workers", 1)
    found = told(*asked, "--keep", 1, "-k", "30docs", "-o", tmp_path / "out")
    assert found["kept_sources"] == ["near"]
    assert found["sources"] == {"near": {"pool": 30, "selected": 30}}
    assert (found["counts"]["read"], found["counts"]["not_selected"], found["counts"]["rejected"]) == (70, 40, 0)
    assert {record["gotd"]["source"] for record in rows(tmp_path / "out" / "selected.jsonl")} == {"near"}
    assert "lower --budget" in refused(*asked, "--keep", 1, "-k", "31docs", "-o", tmp_path / "more")


def test_a_template_takes_a_newline_as_typed(write, text, corpora, rows, tmp_path: Path) -> None:
    """A shell passes backslash and n; the target's own template may differ; the records stay as they are."""
    records = [{"title": f"Title {i}", "body": text(i, i % 3 == 0)} for i in range(30)]
    pool = write("pool.jsonl", records)
    target = write("target.jsonl", [{"question": text(100 + i, True)} for i in range(20)])
    done(
        *("select", "--candidates", pool, "-t", target, "-k", "5docs", "-o", tmp_path / "out", "--workers", 1),
        *("--text-field", r"{title}\n{body}", "--target-text-field", "question"),
    )
    chosen = rows(tmp_path / "out" / "selected.jsonl")
    texts = gotd.Selection.load(tmp_path / "out").to_arrow()["text"].to_pylist()
    assert texts == [f"{record['title']}\n{record['body']}" for record in chosen]
    assert all({k: v for k, v in record.items() if k != "gotd"} in records for record in chosen)


def test_target_is_read_with_the_pools_text_field_unless_it_has_its_own(write, text, corpora, tmp_path: Path) -> None:
    pool = write("pool.jsonl", [{"body": text(i, i % 3 == 0)} for i in range(30)])
    same = write("same.jsonl", [{"body": text(100 + i, True)} for i in range(20)])
    usual = ("fit", "-r", pool, "--text-field", "body")
    assert told(*usual, "-t", same, "-o", tmp_path / "a")["counts"]["target"]["fitted"] == 20
    assert 'no field "body"' in refused(*usual, "-t", corpora.target, "-o", tmp_path / "b")
    other = told(*usual, "-t", corpora.target, "--target-text-field", "text", "-o", tmp_path / "b")
    assert other["counts"]["target"]["fitted"] == 60


def test_fields_of_a_record(write, text, corpora, rows, tmp_path: Path) -> None:
    pool = write(
        "pool.jsonl",
        [{"key": f"k{i}", "host": "ab"[i % 2], "body": text(i, i % 2 == 0), "text": "decoy"} for i in range(30)],
    )
    found = told(
        *("select", "--candidates", pool, "-t", corpora.target, "-k", "7docs", "-o", tmp_path / "out", "--workers", 1),
        *("--text-field", "body", "--id-field", "key", "--source-field", "host", "--target-text-field", "text"),
    )
    assert {source: row["pool"] for source, row in found["sources"].items()} == {"a": 15, "b": 15}
    for record in rows(tmp_path / "out" / "selected.jsonl"):
        assert (record["gotd"]["id"], record["gotd"]["source"]) == (record["key"], record["host"])


def test_a_selector_remembers_the_fields_that_it_was_fitted_with(write, text, corpora, tmp_path: Path) -> None:
    pool = write("pool.jsonl", [{"body": text(i, i % 2 == 0)} for i in range(30)])
    fields = ("--text-field", "body", "--target-text-field", "text")
    done("fit", "-r", pool, "-t", corpora.target, "-o", tmp_path / "selector", *fields)
    asked = ("score", tmp_path / "selector", "--workers", 1)
    assert told(*asked, pool, "-o", tmp_path / "a")["counts"]["scored"] == 30
    assert 'no field "body"' in refused(*asked, corpora.pool, "-o", tmp_path / "b")
    other = told(*asked, corpora.pool, "-o", tmp_path / "c", "--text-field", "text")
    assert other["counts"]["scored"] == 300


def test_vectors_that_records_carry(write, tmp_path: Path) -> None:
    """Eight directions; the target lies along one that 3 of 24 records of the pool have."""
    rng = np.random.default_rng(0)

    def record(i: int, direction: int) -> dict[str, Any]:
        return {"id": f"{i}", "text": "x", "v": (10 * np.eye(8)[direction] + rng.normal(size=8)).tolist()}

    pool = write("pool.jsonl", [record(i, i % 8) for i in range(24)])
    target = write("target.jsonl", [record(i, 5) for i in range(20)])
    found = told(
        *("select", "--candidates", pool, "-t", target, "-k", "3docs", "-o", tmp_path / "out", "--workers", 1),
        *("--embedding-field", "v"),
    )
    assert {int(document["id"]) % 8 for document in found["best"]} == {5}


def test_texts_in_pieces_and_files_as_documents(corpora, text, write, tmp_path: Path) -> None:
    for i in range(6):
        write(f"pool/{i}.txt", [text(j, i % 2 == 0, 10).encode() for j in range(4)])
    target = write("target.txt", [text(100 + i, True).encode() for i in range(20)])
    asked = ("fit", "-r", tmp_path / "pool", "-t", target)

    def counted(name: str, *flags: object) -> int:
        return int(told(*asked, "-o", tmp_path / name, *flags)["counts"]["reference"]["fitted"])

    assert counted("lines") == 24
    assert counted("files", "--text-per", "file") == 6
    joined = {path.name: len(path.read_text().rstrip("\n")) for path in (tmp_path / "pool").iterdir()}
    assert counted("pieces", "--chunk-chars", 100) == sum(-(-length // 100) for length in joined.values())
    assert counted("long pieces", "--chunk-chars", 100, "--min-chars", 100) == sum(n // 100 for n in joined.values())


@pytest.mark.parametrize("format", ["jsonl.zst", "parquet"])
def test_formats_hold_the_records_and_the_mark(corpora, scored: Path, rows, tmp_path: Path, format: str) -> None:
    done("choose", scored, "-k", "5docs", "-o", tmp_path / "out", "--format", format)
    done("choose", scored, "-k", "5docs", "-o", tmp_path / "plain")
    path = tmp_path / "out" / f"selected.{format}"
    if format == "parquet":
        found = pq.read_table(path).to_pylist()
    else:
        with zstandard.open(path, "rt", encoding="utf-8") as lines:
            found = [orjson.loads(line) for line in lines]
    assert found == rows(tmp_path / "plain" / "selected.jsonl")
    assert found[0].keys() == {"id", "text", "rare", "year", "gotd"}


def test_several_candidates_and_a_glob(corpora, write, text, tmp_path: Path) -> None:
    """A file that two of them name is read once."""
    more = write("more.jsonl", [{"text": text(500 + i, False)} for i in range(20)])
    found = told(
        *(
            "select",
            "--candidates",
            f"{corpora.pool}/*.jsonl",
            "--candidates",
            more,
            "--candidates",
            corpora.files[0],
            "-t",
            corpora.target,
        ),
        *("-k", "320docs", "-o", tmp_path / "out", "--workers", 1),
    )
    assert {source: row["pool"] for source, row in found["sources"].items()} == {
        "first": 200,
        "more": 20,
        "second": 100,
    }
    assert found["counts"]["read"] == found["counts"]["selected"] == 320


def test_rounds_and_a_cap(scored: Path, tmp_path: Path) -> None:
    asked = ("choose", scored, "-k", "12docs", "--rounds", 3, "--max-per-source", "50%", "--shortlist", 4, "--mix", 0.3)
    found = told(*asked, "-o", tmp_path / "out")
    assert found["settings"].items() >= {"rounds": 3, "max_per_source": "50%", "shortlist": 4, "mix": 0.3}.items()
    assert len(found["rounds"]) == 3
    assert {source: row["selected"] for source, row in found["sources"].items()} == {"first": 6, "second": 6}


def test_trim_is_a_percentage(fitted: Fit, corpora, tmp_path: Path) -> None:
    assert fitted("--trim", "5%")["settings"]["trim"] == fitted("--trim", "0.05")["settings"]["trim"] == 0.05
    assert fitted()["settings"]["trim"] == 0.02
    assert fitted("--paper")["settings"]["trim"] == 0
    asked = ("fit", "-r", corpora.other, "-t", corpora.target, "-o", tmp_path / "out")
    refusal = run(*asked, "--trim", "some%")
    assert refusal.exit_code == 2
    assert "'some' is not a valid float" in refusal.stderr
    assert "trim is 2; wanted a share of the target" in refused(*asked, "--trim", "2")


def test_the_mix_by_rule(scored: Path, tmp_path: Path) -> None:
    """The flags are the warm-up of the rule, and of nothing else."""
    flags = ("--epochs", 2, "--learning-rate", 0.001, "--batch-tokens", 500, "--mix-scale", 0.5)
    found = told("choose", scored, "-k", "12docs", "-o", tmp_path / "out", "--mix", "auto", *flags)
    warm = gotd.WarmUp(epochs=2, learning_rate=0.001, batch_tokens=500, scale=0.5)
    assert found["transport"]["mix"] == warm.mix(found["counts"]["tokens_estimated"])
    assert "found mix 0.1. Leave out either" in refused("choose", scored, "-k", 12, "-o", tmp_path / "a", *flags)
    assert run("choose", scored, "-k", "12docs", "-o", tmp_path / "b", "--mix", "often").exit_code == 2


def test_size_shows_the_curve_and_its_knee(scored: Path) -> None:
    asked = ("size", scored, "--limit", 200, "--budgets", 4, "--folds", 2, "--mix-scale", 0.001, "--epochs", 100)
    found, shown = told(*asked), done(*asked)
    assert [row["documents"] for row in found["sizes"]] == [50, 79, 126, 200]
    knee = next(line for line in shown.splitlines() if "<- knee" in line)
    assert knee.split()[0] == str(found["held_out_knee"])
    assert f"Knee: above {found['held_out_knee']} documents" in shown
    last = found["sizes"][-1]
    assert f"{last['mix']:.1%}  {last['predicted']:+.4f}" in " ".join(shown.split()).replace(" ", "  ")


def test_size_shows_small_changes_with_two_digits(scored: Path) -> None:
    asked = ("size", scored, "--limit", 60, "--budgets", 2, "--folds", 0)
    found, shown = told(*asked), done(*asked)
    last = found["sizes"][-1]
    assert abs(last["solved"]) < 0.001
    row = next(line.split() for line in shown.splitlines() if line.split()[:1] == ["60"])
    assert row[2] != "0.0%"
    assert [float(figure) for figure in row[3:5]] == pytest.approx([last["predicted"], last["solved"]], rel=0.06)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--mix", 0.1), "No knee: with one mix for all budgets the first documents are always the best"),
        (("--batch-tokens", 10), "No knee up to 12 documents: one more still pays. Raise --limit."),
    ],
)
def test_size_says_why_there_is_no_knee(flags: tuple[object, ...], message: str, scored: Path) -> None:
    shown = done("size", scored, "--limit", 12, "--budgets", 2, "--folds", 0, *flags)
    assert message in " ".join(shown.split())
    assert "held out" not in shown
    assert "<- knee" not in shown


def test_what_says_the_same_is_chosen_once_unless_it_is_asked_for(write, text, corpora, tmp_path: Path) -> None:
    """Each text stands twice in the pool, under two ids."""
    pool = write("pool.jsonl", [{"id": f"{i}", "text": text(i // 2, i < 20, 12)} for i in range(80)])
    asked = ("select", "--candidates", pool, "-t", corpora.target, "-k", "10docs", "--workers", 1)

    def distinct(name: str, *flags: str) -> int:
        done(*asked, "-o", tmp_path / name, *flags)
        return len(set(gotd.Selection.load(tmp_path / name).to_arrow()["text"].to_pylist()))

    assert [distinct("near"), distinct("exact", "--dedup", "exact"), distinct("off", "--dedup", "off")] == [10, 10, 5]


def test_each_target_flag_is_a_target_with_its_weight(corpora, rows, tmp_path: Path) -> None:
    """One flag with a folder is one target; `fit` and `select` read them alike."""
    first, second = corpora.files
    flags = ("-t", f"{corpora.target}:3", "-t", corpora.other, "--avoid", f"{corpora.pool}:.25")
    found = told("fit", "-r", corpora.pool, *flags, "-o", tmp_path / "fit")
    wanted = [("target", 3.0, False), ("other", 1.0, False), ("pool", 0.25, True)]
    assert [(row["name"], row["weight"], row["avoid"]) for row in found["settings"]["targets"]] == wanted
    assert found["settings"]["targets"][2]["files"] == [first, second]
    usual = ("select", "--candidates", corpora.pool, "-k", "10docs", "--workers", 1)
    found = told(*usual, *flags, "--target-shares", "70%,30%", "-o", tmp_path / "out")
    assert [(row["name"], row["weight"], row["avoid"]) for row in found["transport"]["targets"]] == wanted
    assert [row["selected"] for row in found["target_shares"]] == [7, 3]
    chosen = Counter(record["gotd"]["target"] for record in rows(tmp_path / "out" / "selected.jsonl"))
    assert chosen == {"target": 7, "other": 3}
    assert "away from pool" in done(*usual, *flags, "-o", tmp_path / "shown")


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--method", "mmd", "--avoid", "{other}"), "method mmd knows no --avoid"),
        (("--avoid", "{other}:-1"), "the weight of other is -1.0; wanted a number above 0"),
        (("--avoid", "absent.jsonl:2"), "absent.jsonl: no such file or folder"),
        (("--target-shares", "60,40"), "wanted several targets to share among, found target alone"),
    ],
)
def test_what_targets_cannot_be_is_one_line(corpora, tmp_path: Path, flags: tuple[str, ...], named: str) -> None:
    given = [flag.format(other=corpora.other) for flag in flags]
    asked = ("select", "--candidates", corpora.pool, "-t", corpora.target, "-k", "5docs", "-o", tmp_path / "out")
    assert named in refused(*asked, *given)


def test_a_reference_of_its_own(corpora, tmp_path: Path) -> None:
    """The model has seen common words only: what it lacks is in the manifest as fitted on that file."""
    found = told(
        *("select", "--candidates", corpora.pool, "-t", corpora.target, "-r", corpora.other),
        *("-k", "10docs", "-o", tmp_path / "out", "--workers", 1),
    )
    assert found["fit"]["counts"]["reference"]["rows"] == 80
    assert [line.split()[0] for line in found["inputs"]["reference"]] == [corpora.other]
