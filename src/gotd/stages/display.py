"""What a person sees of a selection, of distances by source, and of budgets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gotd.display import console, plain, prose
from gotd.selection.contamination import SHORTEST
from gotd.stages.selected import Selection, leading_sources

if TYPE_CHECKING:
    from gotd.stages.domains import Domain
    from gotd.stages.size import Sizes

PULL_WARNS_AT = 0.15  # clean targets were seen to stay below 0.1, strays to reach 0.15 to 0.25 (docs/trim.md)
_OF_GOAL = {"target": "of the target", "avoid": "of what is to be left"}
_TEXT_WIDTH = 100
_SOURCE_WIDTH = 40
_NUMBERS_WIDTH = 60  # of all columns beside a source


def show_selection(selection: Selection) -> None:
    """The table by source, the best and worst documents, transport before and after, and what to do next."""
    out, found = console(), selection.manifest
    counts, moved = found["counts"], found["transport"]
    of_target = "" if found["from_target"] is None else f", and {len(selection):,} documents of the target itself"
    pool = sum(row["pool"] for row in found["sources"].values())
    out.print(f"{counts['selected']:,} of {pool:,} documents{of_target}")
    out.print(_by_source(found["sources"], _room(out)))
    for title, rows in (("Best", found["best"]), ("Worst", found["worst"])):
        if not rows:
            continue
        out.print(f"\n{title} {len(rows)} (the lower the score, the better)")
        out.print(_documents(rows, out.width))
    measure = moved["measure"][0].upper() + moved["measure"][1:]
    whither = "each target" if "targets" in moved else "the target"
    out.print(f"\n{measure} from the reference to {whither}, once the choice is {moved['mix']:.0%} of the reference")
    if "targets" in moved:
        out.print(_by_target(moved["targets"], _room(out)))
        out.print(f"\nAll of them by weight, in {moved['unit']}")
    out.print(_transport(moved, len(selection)))
    out.print()
    for line in _remarks(found):
        out.print(line, soft_wrap=not out.is_terminal)  # a terminal would break them within words
    for text in _next(selection):
        out.print(text, soft_wrap=True)


def show_domains(found: Sequence[Domain]) -> None:
    """Sources by distance to the target, nearest first."""
    out = console()
    out.print("Distance to the target, nearest first")
    table = _table(("source", "distance", "documents", ""), _room(out))
    table.columns[-1].justify = "left"
    some_left_out = not all(domain.kept for domain in found)
    for domain in found:
        mark = ("kept" if domain.kept else "left out") if some_left_out else ""
        table.add_row(plain(domain.source), f"{domain.distance:.4f}", f"{domain.documents:,}", mark)
    out.print(table)


def show_sizes(found: Sizes) -> None:
    """The objective by budget, the knee, and how to read both."""
    out = console()
    out.print(f"{found.measure[0].upper()}{found.measure[1:]} from the reference to the target: {found.before:.4f}")
    out.print("Change once the best documents of the pool are mixed in")
    table = Table(box=None, pad_edge=False)
    for name in ("documents", "tokens", "mix", "predicted", "solved again", *(("held out",) if found.folds else ())):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column()
    advised = found.held_out_knee if found.folds else found.knee
    decimals = _decimals(max(abs(row.solved) for row in found.sizes))
    for row in found.sizes:
        changes = (row.predicted, row.solved) if row.held_out is None else (row.predicted, row.solved, row.held_out)
        mark = "<- knee" if row.documents == advised else ""
        told = (f"{change:+.{decimals}f}" for change in changes)
        numbers = f"{row.documents:,}", f"{row.tokens:,}", f"{row.mix:.{max(1, decimals - 3)}%}", *told
        table.add_row(*numbers, mark)
    out.print(table)
    for line in _size_remarks(found, advised):
        prose(out, f"\n{line}")


def _decimals(largest: float) -> int:
    """Four, or as many as show two digits of the largest change: a small pool moves little."""
    return 4 if not 0 < largest < 0.001 else min(9, 1 - math.floor(math.log10(largest)))


def _size_remarks(found: Sizes, advised: int | None) -> Iterator[str]:
    last = found.sizes[-1].documents
    if found.folds:
        yield (
            f"Held out: against {found.folds} folds of the target, for documents chosen without the fold. Where it "
            "stays behind, the selection learns these examples by heart; more examples will help."
        )
    if advised is not None:
        yield f"Knee: above {advised:,} documents one more gains less than a quarter of what one of the first gains."
    elif found.mix != "auto":
        yield "No knee: with one mix for all budgets the first documents are always the best. Pass --mix auto."
    elif min(row.solved for row in found.sizes) >= 0:
        yield "No knee: no budget brings the reference closer to the target."
    else:
        yield f"No knee up to {last:,} documents: one more still pays. Raise --limit."
    if last < found.wanted:
        yield f"The shortlist holds {last:,} documents that repeat none, of the {found.wanted:,} that were asked for."
    if found.mix == "auto":
        yield (
            "The mix follows from tokens, epochs, learning rate and batch by a rule of thumb, and the knee from it: "
            "see docs/size.md."
        )


def _room(out: Console) -> int:
    """Width of a column of sources."""
    return max(12, min(_SOURCE_WIDTH, out.width - _NUMBERS_WIDTH))


def _table(names: Sequence[str], room: int) -> Table:
    """A table of sources and numbers."""
    table = Table(box=None, pad_edge=False)
    table.add_column(names[0], no_wrap=True, overflow="ellipsis", max_width=room)
    for name in names[1:]:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _by_source(sources: Mapping[str, Mapping[str, int]], room: int) -> Table:
    pool, chosen = (sum(row[name] for row in sources.values()) for name in ("pool", "selected"))
    table = _table(("source", "pool", "share", "selected", "share", "times its share"), room)

    for source, row in leading_sources(sources):
        shares = row["pool"] / pool, row["selected"] / max(1, chosen)
        table.add_row(
            plain(source),
            f"{row['pool']:,}",
            f"{shares[0]:.1%}",
            f"{row['selected']:,}",
            f"{shares[1]:.1%}",
            f"{shares[1] / shares[0]:.1f}",
        )
    return table


def _documents(rows: Sequence[Mapping[str, Any]], width: int) -> Table:
    scores = [f"{row['score']:.3f}" for row in rows]
    sources = [plain(row["source"]) for row in rows]
    # Both widths are counted here: rich would take them from the short columns, and leave no score to see.
    beside = max(map(len, scores), default=0), min(_SOURCE_WIDTH // 2, max(map(cell_len, sources), default=0))
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=beside[1])
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=max(1, min(_TEXT_WIDTH, width - sum(beside) - 4)))
    for score, source, row in zip(scores, sources, rows):
        table.add_row(score, source, plain(row["text"]))
    return table


def _transport(found: Mapping[str, Any], selected: int) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right")
    before = found["before"]

    def row(name: str, value: float) -> None:
        table.add_row(name, f"{value:.4f}", f"{value - before:+.4f}")

    table.add_row("before", f"{before:.4f}", "")
    row(f"with these {selected:,}, predicted", found["predicted"])
    row(f"with these {selected:,}, solved again", found["after"])
    row(f"with {found['solved_on']['random']:,} at random", found["random"])
    return table


def _by_target(targets: Sequence[Mapping[str, Any]], room: int) -> Table:
    """Where each of several targets was, and by how much the choice moves the reference to it, or away."""
    table = _table(("", "weight", "before", "predicted", "solved again", "at random"), room)
    for row in targets:
        name = f"away from {row['name']}" if row["avoid"] else row["name"]
        moves = (f"{row[figure] - row['before']:+.4f}" for figure in ("predicted", "after", "random"))
        table.add_row(plain(name), f"{row['weight']:g}", f"{row['before']:.4f}", *moves)
    return table


def _agreement(stability: Mapping[str, float]) -> str:
    return ", ".join(f"{value:.0%} of the best {share}" for share, value in stability.items())


def _remarks(found: Mapping[str, Any]) -> Iterator[Text]:
    quality, counts = found["quality"], found["counts"]
    targets = quality.get("targets", [])
    if taken := found.get("target_shares"):
        yield Text(", ".join(f"{plain(row['name'])} took {row['selected']:,}" for row in taken) + " documents.")
    if quality["stability"]:
        whose = "every target" if targets else "the target"
        yield Text(f"Two halves of {whose} agree on {_agreement(quality['stability'])}.")
    for row in targets:
        if row["stability"]:
            yield Text(f"Those of {plain(row['name'])} alone on {_agreement(row['stability'])}.")
    if tiers := found.get("tiers"):
        yield Text(f"{_kept_by_tiers(tiers)}.")
    if trimmed := found.get("fit", {}).get("trimmed"):
        were = "document was" if len(trimmed) == 1 else "documents were"
        yield Text(f"{len(trimmed):,} target {were} trimmed: see manifest.json.")
    elif (quality.get("pull") or 0) >= PULL_WARNS_AT:
        strays = f": they pull {quality['pull']:.0%} of the selection; if they are strays, pass a larger --trim."
        yield Text.assemble(("A few target documents decide much", "bold"), strays)
    if quality["advice"]:
        yield Text.assemble(("Not converged", "bold"), f": {quality['advice']}.")
    if counts["rejected"]:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(found["rejects"].items()))
        yield Text(f"{counts['rejected']:,} of {counts['read']:,} rows rejected ({reasons}): see rejects.jsonl.")
    for name, of in found.get("fit", {}).get("counts", {}).items():
        if name != "reference" and of["rejected"]:
            yield Text.assemble(
                (f"{of['rejected']:,} of {of['rows']:,} rows {_OF_GOAL[name]} rejected", "bold"), ": see rejects.jsonl."
            )
    if unchecked := found.get("contamination", {}).get("unchecked"):
        of_all = f"{unchecked:,} of {found['contamination']['texts']:,} held-out texts"
        has = "has" if unchecked == 1 else "have"
        yield Text(f"{of_all} {has} fewer than {SHORTEST} words: no candidate was compared with them.")
    if within := _targets_in_pool(found.get("inputs", {})):
        yield Text.assemble(
            ("The pool holds the target", "bold"),
            f": {', '.join(map(plain, within))}; its own documents are near it. Leave it out of the candidates.",
        )
    if found["duplicates"]:
        passed_over = f"{found['duplicates']:,} documents repeat a better one and were passed over"
        yield Text(f"{passed_over}: see duplicates.parquet.")
    if not found["filled"]:
        add = "candidates" if found["from_target"] is None else "to the target"
        add = "candidates, or pass a longer --shortlist" if found.get("tiers") else add
        if found.get("settings", {}).get("max_per_source"):
            add = f"{add}, or raise --max-per-source"
        nothing_more = f"duplicates and caps left nothing more to choose; add {add}"
        yield Text.assemble(("The budget is not full", "bold"), f": {nothing_more}.")
    turns = found.get("turns")
    if turns is not None and turns["used"] > turns["exact"]:
        yield Text.assemble(("Not all in turn", "bold"), f": {turns['advice'] or 'the lists hold no more documents'}.")
    needed = found["transport"]["rounds_needed"]
    if max(1, len(found["rounds"])) < needed and not found.get("target_shares"):  # which take one round
        overshoots = "what one step predicts is off by more than a quarter"
        yield Text.assemble(("One round is too few", "bold"), f": {overshoots}; try --rounds {needed}.")
    if found["transport"]["after"] >= found["transport"]["random"]:
        as_close = "a random choice brings the reference as close to the target"
        yield Text.assemble(("Not better than random here", "bold"), f": {as_close}.")


def _targets_in_pool(inputs: Mapping[str, Sequence[str]]) -> list[str]:
    """Files of the target that are candidates too, by their content."""
    pool = {line.rpartition(" ")[2] for line in inputs.get("candidates", ())}
    return [path for path, _, digest in (line.rpartition(" ") for line in inputs.get("target", ())) if digest in pool]


def _kept_by_tiers(told: Mapping[str, Any]) -> str:
    """What share of the best by the dear encoder its shortlist holds, as far as the probe can tell."""
    held = f"The shortlist of {told['shortlist']:,} holds about {told['share']:.0%} of --fine's best {told['best']:,}"
    return f"{held} ({told['low']:.0%} to {told['high']:.0%} at 95% confidence, by {told['probed']:,} others)"


def _next(selection: Selection) -> Iterator[str]:
    folder = selection.folder
    yield f"Wrote {selection.path} ({len(selection):,} documents), scores.parquet and potential.safetensors."
    yield f"Next: train on {selection.path.name}, or score another pool: gotd score {folder} POOL -o {_beside(folder)}"


def _beside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-scores")
