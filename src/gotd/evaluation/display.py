"""What a person sees of an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from gotd.display import console

if TYPE_CHECKING:
    from gotd.evaluation.classification import Classified
    from gotd.evaluation.perplexity import Perplexity
    from gotd.evaluation.toxicity import Toxicity


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
    pseudo = "" if found.kind == "causal" else ", by pseudo-likelihood: compare masked models alone"
    out.print(f"{found.documents:,} documents, {found.tokens:,} tokens, {found.bytes:,} bytes{pseudo}.", soft_wrap=True)
    if found.strided:
        out.print(
            f"{found.strided:,} documents are longer than the window of {found.window} tokens: read in steps of "
            f"{found.stride}.",
            soft_wrap=True,
        )
    if found.unknown:
        out.print(f"{found.unknown:,} tokens are unknown to the tokeniser: bits a byte are too low.", soft_wrap=True)
    if found.rejected:
        out.print(f"{found.rejected:,} rows held no text and were left out; --on-error fail names the first.")


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
