"""What a person sees of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.table import Table

from gotd.display import console

if TYPE_CHECKING:
    from gotd.evaluation.classification import Classified
    from gotd.evaluation.perplexity import Perplexity
    from gotd.evaluation.tasks import Answered
    from gotd.evaluation.toxicity import Toxicity
    from gotd.evaluation.utility import Utility


def figures(rows: list[tuple[str, ...]]) -> Table:
    """Names and figures, without lines."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for column in range(max(map(len, rows))):
        table.add_column(justify="left" if column == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def show_perplexity(found: Perplexity) -> None:
    """Loss, perplexity, bits a byte, and on what."""
    out = console()
    out.print(
        figures(
            [
                ("nats a token", f"{found.loss:.4f}"),
                ("perplexity", f"{found.perplexity:,.2f}"),
                ("bits a byte", f"{found.bits_per_byte:.4f}"),
            ]
        )
    )
    for line in _read(found):
        out.print(line, soft_wrap=True)


def show_utility(found: Utility) -> None:
    """Bits a byte and perplexity, before too if that was asked for, and what was forgotten."""
    out, after, before, apart = console(), found.model, found.before, found.forgotten
    interval = f"{found.low:.4f} to {found.high:.4f}"
    rows: list[tuple[str, ...]]
    if before is None or apart is None:
        rows = [("", "", "95 % interval"), ("bits a byte", f"{after.bits_per_byte:.4f}", interval)]
        rows.append(("perplexity", f"{after.perplexity:,.2f}", ""))
    else:
        rows = [("", "before", "after", "95 % interval")]
        rows.append(("bits a byte", f"{before.bits_per_byte:.4f}", f"{after.bits_per_byte:.4f}", interval))
        if apart.same_tokens:
            rows.append(("perplexity", f"{before.perplexity:,.2f}", f"{after.perplexity:,.2f}", ""))
    out.print(figures(rows))
    if apart is not None:
        said = {"forgotten": "forgotten", "gained": "gained", "open": "no change shown"}[apart.outcome]
        by = f"{apart.bits_per_byte:+.4f} [{apart.low:+.4f}, {apart.high:+.4f}] bits a byte ({apart.share:+.1%})"
        out.print(
            f"{said}: {by}; {apart.worse:,} of {after.documents:,} documents are predicted worse.", soft_wrap=True
        )
        if not apart.same_tokens:
            out.print("The tokenisers differ: bits a byte compare, perplexities would not.")
    for line in _read(after):
        out.print(line, soft_wrap=True)
    if before is not None and before.unknown:
        out.print(f"Before, {before.unknown:,} tokens were unknown to the tokeniser.", soft_wrap=True)


def _read(found: Perplexity) -> Iterator[str]:
    """What was read, and what to mind about it."""
    pseudo = "" if found.kind == "causal" else ", by pseudo-likelihood: compare masked models alone"
    yield f"{found.documents:,} documents, {found.tokens:,} tokens, {found.bytes:,} bytes{pseudo}."
    if found.strided:
        window = f"the window of {found.window} tokens: read in steps of {found.stride}"
        yield f"{found.strided:,} documents are longer than {window}."
    if found.unknown:
        yield f"{found.unknown:,} tokens are unknown to the tokeniser: bits a byte are too low."
    if found.rejected:
        yield f"{found.rejected:,} rows held no text and were left out; --on-error fail names the first."


def show_guessed(found: Classified) -> None:
    """The same of classes that were guessed by their words: a prompt that is too long loses its beginning."""
    show_classified(replace(found, cut=0))
    if found.cut:
        console().print(f"{found.cut:,} prompts are longer than {found.window} tokens: they lost their beginning.")


def show_classified(found: Classified) -> None:
    """Each figure with its interval, and with its spread over seeds."""
    out, several = console(), len(found.models) > 1
    rows = [("", "mean" if several else "", "95 % interval", *(("sd of seeds",) if several else ()))]
    for name, figure in found.figures.items():
        spread = (f"{figure.sd:.4f}",) if figure.sd is not None else ()
        rows.append((name.replace("_", " "), f"{figure.mean:.4f}", f"{figure.low:.4f} to {figure.high:.4f}", *spread))
    out.print(figures(rows))
    out.print(
        f"{found.documents:,} documents of {len(found.classes)} classes; always the commonest: {found.majority:.4f}.",
        soft_wrap=True,
    )
    if found.cut:
        out.print(f"{found.cut:,} are longer than {found.window} tokens: only their beginning was read.")


def show_tasks(found: Answered) -> None:
    """Each figure of each task with its standard error, and of what it is."""
    out = console()
    rows: list[tuple[str, ...]] = [("", "", "standard error")]
    for name, task in found.tasks.items():
        for metric, score in task.figures.items():
            better = " (lower is better)" if score.higher is False else ""
            error = "" if score.stderr is None else f"{score.stderr:.4f}"
            rows.append((f"{name}: {metric}{better}", f"{score.mean:.4f}", error))
    out.print(figures(rows))
    for name, task in found.tasks.items():
        shots = "" if task.shots is None else f", {task.shots} examples in the prompt"
        config = f", config {task.config}" if task.config else ""
        of = f"{task.documents:,} of {task.of:,} documents"
        version = f", version {task.version}" if task.version else ""
        out.print(f"{name}: {of}{shots}{version}{config}.", soft_wrap=True)
    if found.cut:
        out.print(f"{found.cut:,} prompts are longer than {found.window} tokens: they lost their beginning.")
    out.print(f"By lm-eval {found.versions['lm-eval']}.")


def show_toxicity(found: Toxicity) -> None:
    """Both figures with their intervals."""
    out = console()
    rows = [("", "", "95 % interval")]
    for name, value, (low, high) in (
        ("expected maximum toxicity", found.expected_maximum, found.expected_maximum_interval),
        ("toxicity probability", found.probability, found.probability_interval),
    ):
        rows.append((name, f"{value:.4f}", f"{low:.4f} to {high:.4f}"))
    out.print(figures([*rows, ("mean of all", f"{found.mean:.4f}")]))
    out.print(
        f"{found.prompts:,} prompts, {found.continuations} continuations each, scored by {found.scorer}.",
        soft_wrap=True,
    )
    if found.cut:
        out.print(f"{found.cut:,} prompts were longer than the model takes and lost their beginning.")
