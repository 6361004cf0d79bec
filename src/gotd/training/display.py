"""What a person sees of a training: what was read, what it did to the loss, what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from gotd.display import console

if TYPE_CHECKING:
    from gotd.training.warmup import TrainedModel


def show_warmup(found: TrainedModel) -> None:
    """Tokens, losses and the next command."""
    out, told = console(), found.manifest
    out.print(_read(told), soft_wrap=True)
    for line in losses(told["loss"]):
        out.print(line, soft_wrap=True)
    if told["steps"]["kept"] < told["steps"]["taken"]:
        out.print(f"Kept the weights of step {told['steps']['kept']}, where the held-out loss was lowest.")
    out.print(f"Wrote {found.folder}: model and tokenizer.", soft_wrap=True)
    out.print(
        f"Next: gotd evaluate perplexity --model {found.folder} --data FILES, or gotd finetune --model {found.folder}",
        soft_wrap=True,
    )


def show_finetune(found: TrainedModel) -> None:
    """Figures on the dev data by seed, what was cut, and the next command."""
    out, told = console(), found.manifest
    labelled = told["objective"] == "classification"
    names = ("accuracy", "macro_f1", "mcc", "loss") if labelled else ("loss",)
    table = Table(box=None, pad_edge=False)
    for name in ("seed", "steps", *names):
        table.add_column(name.replace("_", " "), justify="right")
    for one in told["seeds"]:
        figures = one["dev"]["after"] if labelled else {"loss": one["loss"]["held_out"]["after"]}
        table.add_row(str(one["seed"]), f"{one['steps']['kept']:,}", *(f"{figures[name]:.4f}" for name in names))
    counts = told["counts"]
    held_out = ", held out of the training data" if counts["dev"]["from_train"] else ""
    out.print(f"{counts['train']['used']:,} examples; figures on {counts['dev']['used']:,} dev examples{held_out}")
    out.print(table)
    cut = told["seeds"][0].get("cut", {})
    if any(cut.values()):
        out.print(
            f"Cut to {told['seeds'][0]['window']} tokens: {cut['train']:,} training and {cut['dev']:,} dev examples.",
            soft_wrap=True,
        )
    out.print(f"Wrote {found.folder}. The dev data chose the checkpoint: judge on a test set.", soft_wrap=True)
    out.print(f"Next: gotd evaluate {'classify' if labelled else 'perplexity'} --model {found.folder} --data TEST")


def show_encoder(found: TrainedModel) -> None:
    """What it was tuned on, and the next command."""
    out, told = console(), found.manifest
    out.print(f"{told['counts']['train']:,} texts, {told['steps']['taken']:,} steps.")
    if told["dev"]["after"]:
        after = told["dev"]["after"]
        out.print(f"On {told['counts']['dev']:,} held-out texts: macro F1 {after['macro_f1']:.4f}.")
    else:
        out.print(f"Training loss {told['training']['first']:.4f} -> {told['training']['last']:.4f}.")
    if any(told["cut"].values()):
        out.print(f"Cut to {told['window']} tokens: {sum(told['cut'].values()):,} texts.")
    out.print(f"Wrote {found.folder}. Next: gotd select --encoder {found.folder}", soft_wrap=True)


def losses(loss: dict[str, Any]) -> list[str]:
    """Held-out and training loss, before and after."""
    lines = []
    held_out, training = loss["held_out"], loss["training"]
    if held_out:
        change = held_out["after"] - held_out["before"]
        lines.append(
            f"Held-out loss {held_out['before']:.4f} -> {held_out['after']:.4f} {loss['unit']} ({change:+.4f})."
        )
        if not change < 0:
            lines.append("Not better than before: what was read does not help the held-out texts.")
    if training:
        lines.append(f"Training loss {training['first']:.4f} at the first step, {training['last']:.4f} at the last.")
    return lines


def _read(told: dict[str, Any]) -> str:
    steps, tokens = told["steps"], told["tokens"]
    early = f" of {steps['planned']:,} planned" if steps["taken"] < steps["planned"] else ""
    return (
        f"{tokens['seen']:,} tokens in {steps['taken']:,} steps{early}, windows of {told['window']}; "
        f"{told['tokens_per_second']:,.0f} tokens a second on {told['device']['name']}, "
        f"{told['peak_memory_bytes'] / 1e9:.1f} GB at most."
    )
