"""The parts of the page, from what a reader asks first to what nearly nobody asks: one function a part.

A page is a list of sections; another command may put its own between these, or leave some out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gotd.reporting.account import Account
from gotd.reporting.dots import CHARS, ROLES
from gotd.reporting.page import Section, fill
from gotd.reporting.scored import SHOWN
from gotd.reporting.verdict import AGREE, checks, headline, measure_of
from gotd.stages.selected import leading_sources

_TITLES = {
    "selected": "Selection",
    "target": "Target",
    "avoid": "To avoid",
    "reference": "Reference",
    "candidate": "Candidates",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A document in a table: the number of its dot, and what to show of it."""

    dot: int
    id: str
    source: str | None
    value: float | None
    rank: int | None
    text: str | None


def verdict(account: Account) -> Section:
    """One sentence, four figures, and what to look at."""
    found = account.manifest
    counts = found["counts"]
    looked = checks(found, account.potential, len(account.missing))
    source, row = max(found["sources"].items(), key=lambda item: item[1]["selected"])
    body = fill(
        "verdict.html",
        headline=headline(found),
        chosen=account.chosen,
        from_target=bool(found["from_target"]),
        pool=account.pool,
        sources=len(found["sources"]),
        drawn_from=sum(row["selected"] > 0 for row in found["sources"].values()),
        first=source,
        first_share=row["selected"] / max(1, counts["selected"]),
        first_pool=row["pool"] / account.pool,
        moved=found["transport"],
        measure=measure_of(found),
        checks=looked,
        doubts=sum(not check.good for check in looked),
    )
    return Section("verdict", "Verdict", body, lead=True)


def distance(account: Account) -> Section:
    """Transport before, predicted, solved again and at random."""
    moved, chosen = account.manifest["transport"], account.chosen
    random = moved["solved_on"]["random"]
    rows = [
        ("before", moved["before"], "plain"),
        (f"with these {chosen:,}, predicted by one step", moved["predicted"], "guess"),
        (f"with these {chosen:,}, solved again", moved["after"], "chosen"),
        (f"with {random:,} at random, solved again", moved["random"], "plain"),
    ]
    low, high = min(0.0, *(value for _, value, _ in rows)), max(0.0, *(value for _, value, _ in rows))
    width = (high - low) or 1.0
    bars = [
        {
            "name": name,
            "value": value,
            "change": value - moved["before"],
            "start": 100 * (min(value, 0.0) - low) / width,
            "length": 100 * abs(value) / width,
            "kind": kind,
        }
        for name, value, kind in rows
    ]
    found = account.manifest
    body = fill(
        "distance.html",
        bars=bars,
        moved=moved,
        measure=measure_of(found),
        rounds=found["rounds"],
        shares=found.get("target_shares"),
    )
    return Section("distance", "Distance to the target", body)


def scores(account: Account) -> Section:
    """The histogram of all scores and the cut."""
    scored = account.scored
    body = fill(
        "scores.html",
        pool=account.pool,
        chosen=int(scored.chosen.sum()) if scored.cut is not None else account.chosen,
        low=scored.low,
        high=scored.high,
        cut=scored.cut,
        method=None if account.potential.method is None else account.potential.method.name,
    )
    return Section("scores", "Scores and the cut", body)


def sources(account: Account) -> Section:
    """Share by source in pool and selection."""
    chosen = max(1, account.manifest["counts"]["selected"])
    table = [
        {
            "source": source,
            **row,
            "pool_share": row["pool"] / account.pool,
            "share": row["selected"] / chosen,
            "times": row["selected"] / chosen / (row["pool"] / account.pool),
        }
        for source, row in leading_sources(account.manifest["sources"])
    ]
    widest = max(max(row["share"], row["pool_share"]) for row in table)
    body = fill("sources.html", rows=table, widest=widest, kept=account.manifest.get("kept_sources"))
    return Section("sources", "Where it comes from", body)


def the_map(account: Account) -> Section:
    """Candidates, reference, target and selection on a plane, with the list of documents beside it."""
    drawn = {role: len(account.dots.rows(role)) for role in ROLES}
    body = fill(
        "map.html",
        drawn=drawn,
        pool=account.pool,
        chosen=account.manifest["counts"]["selected"],
        roles=[(role, title) for role, title in _TITLES.items() if drawn[role] or role != "avoid"],
        plane=account.dots.plane,
        reference=len(account.potential.reference),
        target=sum(len(term.attract.g) for term in account.potential.terms if term.weight > 0),
        chars=CHARS,
    )
    return Section("map", "Map", body)


def lacking(account: Account) -> Section:
    """The target documents of highest price, and the chosen documents that answer them."""
    table = account.dots.table
    rows = [
        {
            **asdict(lack),
            "answered": lack.answered,
            "text": table["text"][lack.dot].as_py(),
            "id": table["id"][lack.dot].as_py(),
            "answers": [_line(account, dot, cost) for dot, cost in lack.answers],
        }
        for lack in account.lacks
    ]
    return Section("lacks", "What the model lacks", fill("lacks.html", rows=rows))


def at_the_cut(account: Account) -> Section:
    """Best, just inside, just outside, worst."""
    selected, candidates = account.dots.numbers("selected"), account.dots.numbers("candidate")
    ranked = list(selected.values())
    worst = [row["id"] for row in account.manifest["worst"]]
    everyone = candidates | selected
    straight = account.scored.cut is not None
    groups = [
        ("Best", "The lowest scores.", ranked[:SHOWN]),
        (
            "Just inside",
            "The last that were taken." if straight else "The last that were taken, in the order of the choice.",
            ranked[SHOWN:][-SHOWN:],
        ),
        (
            "Just outside",
            "The best that were left, near duplicates aside."
            if straight
            else "The best scores that were left: rounds and caps do not go straight down the list.",
            [candidates[id] for id in account.scored.outside if id in candidates],
        ),
        ("Worst", "The highest scores of the pool.", [everyone[id] for id in worst if id in everyone]),
    ]
    shown = [
        {"title": title, "said": said, "lines": [_line(account, dot) for dot in numbers]}
        for title, said, numbers in groups
    ]
    return Section("documents", "At the cut", fill("documents.html", groups=shown))


def dropped(account: Account) -> Section:
    """Duplicates passed over, and rejected rows by reason."""
    found = account.manifest
    numbers = account.dots.numbers("candidate") | account.dots.numbers("selected")
    pairs = [
        {
            "similarity": row["similarity"],
            "dropped": _line(account, numbers[row["id"]]) if row["id"] in numbers else None,
            "survivor": _line(account, numbers[row["survivor"]]) if row["survivor"] in numbers else None,
        }
        for row in account.duplicates.to_pylist()
    ]
    reasons = sorted(found["rejects"].items(), key=lambda item: -item[1])
    others = {reason: rows for reason, rows in account.rejects.items() if reason not in found["rejects"]}
    body = fill(
        "dropped.html",
        counts=found["counts"],
        duplicates=found["duplicates"],
        pairs=pairs,
        reasons=reasons,
        examples=account.rejects,
        others=others,
    )
    return Section("dropped", "Dropped", body)


def how_made(account: Account) -> Section:
    """Stability, settings, inputs, versions and times: enough to make it again."""
    found, potential = account.manifest, account.potential
    body = fill(
        "made.html",
        kind=found["kind"],
        stability=found["quality"]["stability"],
        agree=AGREE,
        quality=found["quality"],
        sampled=len(potential.reference),
        missing=account.missing,
        settings=[(name, value) for name, value in flat(found["settings"]) if value is not None],
        encoder={"spec": potential.encoder.spec, "dim": potential.encoder.dim},
        fingerprint=potential.encoder.fingerprint,
        inputs=_inputs(account),
        versions=found["versions"],
        seconds=list(flat(found["seconds"])),
        folder=str(account.folder),
    )
    return Section("made", "How it was made", body)


SECTIONS: tuple[Callable[[Account], Section], ...] = (
    verdict,
    distance,
    scores,
    sources,
    the_map,
    lacking,
    at_the_cut,
    dropped,
    how_made,
)


def _line(account: Account, dot: int, value: float | None = None) -> Line:
    row = {name: account.dots.table[name][dot].as_py() for name in ("id", "source", "score", "rank", "text")}
    return Line(dot, row["id"], row["source"], row["score"] if value is None else value, row["rank"], row["text"])


def flat(settings: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Settings within settings as `fields: text`."""
    found: list[tuple[str, Any]] = []
    for name, value in settings.items():
        found += flat(value, f"{before}{name}: ") if isinstance(value, Mapping) else [(f"{before}{name}", value)]
    return found


def _inputs(account: Account) -> list[tuple[str, str, str]]:
    """Role, path and digest of every file that the selection depends on."""
    given, about = account.manifest["inputs"], account.potential.settings
    found = [("candidates", file["path"], file["digest"]) for file in account.manifest["files"]]
    for term, files in zip(account.potential.terms, about["targets"]["files"]):
        role = "to avoid" if term.weight < 0 else "target"
        found += [(role, file["path"], file["digest"]) for file in files]
    for role in ("reference", "held_out"):
        found += [(role, *line.rpartition(" ")[::2]) for line in given.get(role, [])]
    if "reference" not in given:
        same = sorted(file["digest"] for file in account.manifest["files"]) == about["reference_digests"]
        digests = ["the candidates"] if same else about["reference_digests"]
        found += [("reference", "", digest) for digest in digests]
    return found
