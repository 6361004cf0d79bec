"""What the screen shows: other people's words as they are, numbers that add up, and no line broken in two."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from gotd import Domain, Selection
from gotd.stages.display import show_domains, show_selection

pytestmark = pytest.mark.usefixtures("plain_screen")

Show = Callable[..., list[str]]
RULE_BREAKERS = ["[bold]x[/]", "[/foo]", "[red", "a\\", "[link=a]c[/link]", ":dog:", "100 %s {x}"]


def document(text: str, score: float = 0.5, source: str = "books") -> dict[str, Any]:
    return {"id": text, "source": source, "score": score, "text": text}


def manifest(**changed: Any) -> dict[str, Any]:
    """A selection of 30 of 300 documents, ten times as dense in `rare`, that halves the way to the target."""
    found: dict[str, Any] = {
        "selected": "selected.jsonl",
        "counts": {"read": 300, "selected": 30, "not_selected": 270, "rejected": 0},
        "from_target": None,
        "rejects": {},
        "duplicates": 0,
        "filled": True,
        "rounds": [],
        "sources": {"common": {"pool": 285, "selected": 15}, "rare": {"pool": 15, "selected": 15}},
        "transport": {
            "measure": "sinkhorn divergence",
            "mix": 0.1,
            "before": 0.4,
            "predicted": 0.21,
            "after": 0.2,
            "random": 0.4012,
            "rounds_needed": 1,
            "solved_on": {"selected": 30, "random": 30},
        },
        "quality": {"stability": {"1%": 0.9, "5%": 0.95}, "advice": "", "converged": True},
        "best": [document(f"best {i}", i / 10) for i in range(5)],
        "worst": [document(f"worst {i}", 2 - i / 10) for i in range(5)],
    }
    return {**found, **changed}


def moved(**changed: Any) -> dict[str, Any]:
    return {**manifest()["transport"], **changed}


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Show:
    """shown(**changed) -> the lines on the screen for a manifest with these changes."""

    def show(folder: str = "runs/task", **changed: Any) -> list[str]:
        show_selection(Selection(Path(folder), manifest(**changed)))
        told = capsys.readouterr()
        assert told.err == ""
        return re.sub("\x1b\\[[0-9;]*m", "", told.out).splitlines()

    return show


def after(lines: list[str], title: str, count: int) -> list[str]:
    """The lines below one that starts so."""
    at = next(i for i, line in enumerate(lines) if line.startswith(title))
    return lines[at + 1 : at + 1 + count]


# The table by source


def test_sources_are_sorted_by_what_was_chosen_and_set_beside_their_share(shown: Show) -> None:
    lines = shown(sources={"a": {"pool": 270, "selected": 3}, "b": {"pool": 30, "selected": 27}})
    assert lines[0] == "30 of 300 documents"
    assert lines[1].split() == ["source", "pool", "share", "selected", "share", "times", "its", "share"]
    assert lines[2].split() == ["b", "30", "10.0%", "27", "90.0%", "9.0"]
    assert lines[3].split() == ["a", "270", "90.0%", "3", "10.0%", "0.1"]
    assert lines[4] == ""


@pytest.mark.parametrize("count", [1, 7, 40, 41, 300])
def test_shares_add_to_a_hundred_per_cent(shown: Show, count: int) -> None:
    """Each is rounded by at most half a tenth; of very many sources one line stands for the rest."""
    sources = {f"s{i}": {"pool": i + 3, "selected": (i * 7) % 4} for i in range(1, count + 1)}
    chosen = sum(row["selected"] for row in sources.values())
    lines = shown(sources=sources, counts={**manifest()["counts"], "selected": chosen})
    rows = [line.rsplit(maxsplit=5) for line in lines[2 : lines.index("")]]
    assert len(rows) == min(count, 40)
    for column, total in ((1, sum(row["pool"] for row in sources.values())), (3, chosen)):
        assert sum(int(row[column].replace(",", "")) for row in rows) == total
        shares = [float(row[column + 1].rstrip("%")) for row in rows]
        assert abs(sum(shares) - 100) <= 0.05 * len(rows) + 1e-9
    assert (rows[-1][0].strip() == "261 other sources") == (count == 300)


# Documents


def test_best_and_worst_are_a_line_each_in_order(shown: Show) -> None:
    lines = shown()
    best, worst = after(lines, "Best 5", 5), after(lines, "Worst 5", 5)
    assert [line.split() for line in best] == [[f"{i / 10:.3f}", "books", "best", str(i)] for i in range(5)]
    assert [line.split() for line in worst] == [[f"{2 - i / 10:.3f}", "books", "worst", str(i)] for i in range(5)]


def test_a_selection_of_two_shows_two(shown: Show) -> None:
    lines = shown(best=[document("one"), document("two")], worst=[document("three")])
    assert [line.split()[-1] for line in after(lines, "Best 2", 2)] == ["one", "two"]
    assert after(lines, "Worst 1", 2)[1] == ""


@pytest.mark.parametrize("width", [80, 100, 140])
def test_long_texts_and_names_keep_to_one_line(shown: Show, terminal: Callable[[int], None], width: int) -> None:
    """Score and source stay in sight, the text ends in an ellipsis, no number is cut."""
    terminal(width)
    name, text = "https://example.org/" + "path/" * 40, "word " * 40
    wide = "\N{CJK UNIFIED IDEOGRAPH-6587}" * 200
    row = {"pool": 284_484_000, "selected": 5_000_000}
    lines = shown(
        best=[document(text, -0.123), document(wide, -0.1), document("short", 0.0, name)],
        sources={name: row, "brief": row},
        counts={**manifest()["counts"], "selected": 10_000_000},
    )
    best = after(lines, "Best 3", 4)
    assert best[-1] == ""
    assert [line.split()[0] for line in best[:3]] == ["-0.123", "-0.100", "0.000"]
    assert [line.split()[1][:5] for line in best[:3]] == ["books", "books", "https"]
    assert [line.rstrip()[-1] for line in best[:2]] == ["\N{HORIZONTAL ELLIPSIS}"] * 2
    assert best[2].split()[1][-1] == "\N{HORIZONTAL ELLIPSIS}"
    for line in lines[2:4]:
        assert line.split()[1:] == ["284,484,000", "50.0%", "5,000,000", "50.0%", "1.0"]
    unbroken = [line for line in lines if not line.startswith(("Wrote", "Next", "Sinkhorn", "Two halves"))]
    assert max(map(cell_len, unbroken)) <= width


def test_a_narrow_terminal_breaks_remarks_between_words(shown: Show, terminal: Callable[[int], None]) -> None:
    terminal(40)
    lines = [line.rstrip() for line in shown()]
    at = next(i for i, line in enumerate(lines) if line.startswith("Two halves"))
    assert lines[at : at + 2] == ["Two halves of the target agree on 90% of", "the best 1%, 95% of the best 5%."]


@pytest.mark.parametrize("words", RULE_BREAKERS)
def test_markup_in_texts_sources_paths_and_advice_is_shown_as_it_is(shown: Show, words: str) -> None:
    lines = shown(
        folder=f"runs/{words}",
        best=[document(words, 0.125)],
        worst=[document("text", 0.25, words)],
        sources={words: {"pool": 300, "selected": 30}},
        quality={"stability": {}, "advice": words},
        rejects={words: 1},
        counts={**manifest()["counts"], "rejected": 1},
    )
    assert lines[2].rstrip().startswith(words)
    assert after(lines, "Best 1", 1)[0].rstrip() == f"0.125  books  {words}"
    assert after(lines, "Worst 1", 1)[0].rstrip() == f"0.250  {words}  text"
    assert f"Not converged: {words}." in lines
    assert any(f"(1 {words})" in line for line in lines)
    assert any(f"runs/{words}/selected.jsonl" in line for line in lines)


@pytest.mark.parametrize("sign", ["\x1b", "\x07", "\x9b", "\x00", "\u202e", "\u2066"])
def test_a_text_cannot_steer_the_terminal(shown: Show, sign: str) -> None:
    """Escape sequences retitle windows and move cursors; marks of direction turn lines around."""
    lines = shown(best=[document(f"a{sign}]0;b")], sources={f"s{sign}": {"pool": 300, "selected": 30}})
    assert sign not in "".join(lines)
    assert after(lines, "Best 1", 1)[0].rstrip().endswith("a\N{REPLACEMENT CHARACTER}]0;b")


def test_a_text_of_several_lines_is_shown_on_one(shown: Show) -> None:
    assert after(shown(best=[document("one\n\n two\tthree")]), "Best 1", 1)[0].endswith("one two three")


# Transport


def test_transport_is_set_beside_before(shown: Show) -> None:
    lines = shown()
    title = "Sinkhorn divergence from the reference to the target, once the choice is 10% of the reference"
    assert [re.split(" {2,}", line.rstrip()) for line in after(lines, title, 4)] == [
        ["before", "0.4000"],
        ["with these 30, predicted", "0.2100", "-0.1900"],
        ["with these 30, solved again", "0.2000", "-0.2000"],
        ["with 30 at random", "0.4012", "+0.0012"],
    ]


def test_several_targets_have_a_line_each_and_one_together(shown: Show) -> None:
    """What is to be left is called so; below stands what they come to by weight."""
    row = {"weight": 2, "before": 0.5, "predicted": 0.4, "after": 0.42, "random": 0.501}
    targets = [{"name": "civil", "avoid": False, **row}, {"name": "[/toxic]", "avoid": True, **row, "weight": 0.25}]
    stability = {"1%": 0.75}
    lines = shown(
        transport=moved(targets=targets, unit="standard deviations"),
        quality={
            "stability": {"1%": 0.5},
            "advice": "",
            "targets": [{"name": "civil", "stability": stability}, {"name": "[/toxic]", "stability": {}}],
        },
        target_shares=[{"name": "civil", "selected": 1000}, {"name": "other", "selected": 30}],
    )
    title = "Sinkhorn divergence from the reference to each target, once the choice is 10% of the reference"
    assert [re.split(" {2,}", line.strip()) for line in after(lines, title, 3)] == [
        ["weight", "before", "predicted", "solved again", "at random"],
        ["civil", "2", "0.5000", "-0.1000", "-0.0800", "+0.0010"],
        ["away from [/toxic]", "0.25", "0.5000", "-0.1000", "-0.0800", "+0.0010"],
    ]
    assert after(lines, "All of them by weight, in standard deviations", 1)[0].split() == ["before", "0.4000"]
    assert "civil took 1,000, other took 30 documents." in lines
    assert "Two halves of every target agree on 50% of the best 1%." in lines
    assert "Those of civil alone on 75% of the best 1%." in lines
    assert not any("[/toxic] alone" in line for line in lines)


def test_the_published_measure_keeps_its_capitals(shown: Show) -> None:
    assert any(line.startswith("Entropic OT from") for line in shown(transport=moved(measure="entropic OT")))


def test_random_is_called_by_the_size_it_had(shown: Show) -> None:
    solved_on = {"selected": 5_000, "random": 5_000}
    lines = shown(transport=moved(solved_on=solved_on), counts={**manifest()["counts"], "selected": 2_000_000})
    assert any(line.startswith("with these 2,000,000, predicted") for line in lines)
    assert any(line.startswith("with 5,000 at random") for line in lines)


@pytest.mark.parametrize(("reached", "said"), [(0.19, False), (0.2, True), (0.21, True)])
def test_no_better_than_random_is_said(shown: Show, reached: float, said: bool) -> None:
    lines = shown(transport=moved(after=reached, random=0.2))
    assert any("Not better than random here" in line for line in lines) == said


# Remarks


def test_remarks_only_where_there_is_something_to_say(shown: Show) -> None:
    lines = "\n".join(shown(quality={"stability": {}, "advice": ""}))
    for words in ("halves", "converged", "rejected", "Not better"):
        assert words not in lines


def test_stability_and_advice(shown: Show) -> None:
    lines = shown(quality={"stability": {"1%": 0.9, "5%": 0.954}, "advice": "raise reg"})
    assert "Two halves of the target agree on 90% of the best 1%, 95% of the best 5%." in lines
    assert "Not converged: raise reg." in lines


@pytest.mark.parametrize(("pull", "said"), [(0.1, False), (0.15, True), (0.24, True)])
def test_a_few_targets_that_decide_much_are_said(shown: Show, pull: float, said: bool) -> None:
    lines = shown(quality={"stability": {}, "advice": "", "pull": pull})
    words = f"A few target documents decide much: they pull {pull:.0%} of the selection; if they are strays, "
    assert any(line == f"{words}pass a larger --trim." for line in lines) == said


def test_trimmed_targets_are_counted(shown: Show) -> None:
    trimmed = [{"id": "a", "weight": 0.01, "text": "stray"}] * 3
    lines = shown(quality={"stability": {}, "advice": "", "pull": 0.3}, fit={"trimmed": trimmed})
    assert "3 target documents were trimmed: see manifest.json." in lines
    lines = shown(quality={"stability": {}, "advice": "", "pull": 0.3}, fit={"trimmed": trimmed[:1]})
    assert "1 target document was trimmed: see manifest.json." in lines
    assert not any("decide much" in line for line in lines)


def test_rejects_are_counted_by_reason(shown: Show) -> None:
    lines = shown(
        counts={"read": 12_300, "selected": 30, "not_selected": 10_970, "rejected": 1_300},
        rejects={"text-missing": 1_250, "bad-utf8": 50},
    )
    assert "1,300 of 12,300 rows rejected (50 bad-utf8, 1,250 text-missing): see rejects.jsonl." in lines


def test_rejected_rows_of_a_target_are_said(shown: Show) -> None:
    of = {"target": {"rows": 200, "fitted": 60, "rejected": 140}, "reference": {"rows": 9, "fitted": 8, "rejected": 1}}
    lines = shown(fit={"counts": of})
    assert "140 of 200 rows of the target rejected: see rejects.jsonl." in lines
    assert not any("1 of 9" in line for line in lines)
    of["avoid"] = {"rows": 30, "fitted": 28, "rejected": 2}
    assert "2 of 30 rows of what is to be left rejected: see rejects.jsonl." in shown(fit={"counts": of})


def test_held_out_texts_too_short_to_look_for_are_counted(shown: Show) -> None:
    said = "3 of 40 held-out texts have fewer than 5 words: no candidate was compared with them."
    assert said in shown(contamination={"texts": 40, "unchecked": 3})
    assert not any("held-out" in line for line in shown(contamination={"texts": 40, "unchecked": 0}))


def test_a_target_that_is_part_of_the_pool_is_said(shown: Show) -> None:
    inputs = {"candidates": ["a.jsonl 11", "b.jsonl 22"], "target": ["copy of b.jsonl 22"]}
    said = "The pool holds the target: copy of b.jsonl; its own documents are near it. Leave it out of the candidates."
    assert said in shown(inputs=inputs)
    assert not any("pool holds" in line for line in shown(inputs={**inputs, "target": ["b.jsonl 33"]}))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"duplicates": 1_200}, "1,200 documents repeat a better one and were passed over: see duplicates.parquet."),
        ({"filled": False}, "The budget is not full: "),
        ({"filled": False, "settings": {"max_per_source": "9%"}}, "add candidates, or raise --max-per-source."),
        ({"transport": moved(rounds_needed=4)}, "try --rounds 4."),
        ({"transport": moved(rounds_needed=4), "rounds": [{}] * 3}, "try --rounds 4."),
    ],
)
def test_duplicates_caps_and_rounds(shown: Show, changed: dict[str, Any], said: str) -> None:
    assert any(said in line for line in shown(**changed))
    assert not any(said in line for line in shown(rounds=[{}] * 4, transport=moved(rounds_needed=4)))
    taken = [{"name": "a", "selected": 1}]
    assert not any("--rounds" in line for line in shown(target_shares=taken, transport=moved(rounds_needed=4)))


def test_it_ends_with_what_was_written_and_what_comes_next(shown: Show) -> None:
    """On a line each, however long the path: they are there to be copied."""
    folder = "runs/" + "deep/" * 60 + "task"
    lines = shown(folder)
    assert lines[-2] == f"Wrote {folder}/selected.jsonl (30 documents), scores.parquet and potential.safetensors."
    assert lines[-1].endswith(f"gotd score {folder} POOL -o {folder}-scores")


# Domains


def test_domains_are_marked_where_some_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    found = [Domain("[/near]", 0.01, 10_000, True), Domain("far\x1b", 0.9, 25, False)]
    show_domains(found)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Distance to the target, nearest first"
    assert lines[2].rstrip() == "[/near]    0.0100     10,000  kept"
    assert lines[3].rstrip() == "far\N{REPLACEMENT CHARACTER}       0.9000         25  left out"
    show_domains(found[:1])
    assert "kept" not in capsys.readouterr().out
