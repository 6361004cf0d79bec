"""The selection in plain words: one sentence on what it does, and a list of what to check before it is trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gotd.potential import Potential
from gotd.selection.methods import GOTD
from gotd.stages.passes import ASK_AT
from gotd.stages.selected import count_of

AGREE = 0.75  # two halves of the target: below it, which documents are best depends on which examples were given
REJECTED = 0.01
KEPT = 0.9  # of the best by the better of two encoders: below it, the cheaper one decides too
_LEVEL = 0.02  # of the distance: a change that counts as none


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at.

    Attributes:
        good: whether it is as it should be.
        title: what is checked.
        said: what was found, and the remedy where it is not good.
    """

    good: bool
    title: str
    said: str


def headline(manifest: Mapping[str, Any]) -> str:
    """What the selection does to the distance between reference and target, beside a random one."""
    chosen, moved = count_of(manifest), manifest["transport"]
    before, after, random = moved["before"], moved["after"], moved["random"]
    they, s = ("1 document", "s") if chosen == 1 else (f"{chosen:,} documents", "")
    goal = "the targets" if "targets" in moved else "the target"
    if not before - after > _LEVEL * abs(before):
        return f"The choice of {they} brings the reference no nearer to {goal}."
    if not after < random:
        return f"The choice of {they} is no better than as many at random."
    if not before > 0 or any(row["avoid"] for row in moved.get("targets", ())):
        # No scale that per cent could be of: it starts below zero, or part of it is to grow.
        lower = f"{they} lower{s} the distance by {before - after:.4f}"
        return f"{lower}; as many at random, by {before - random:.4f}."
    if not after > 0:
        what = f"{they} bring{s} the reference as near to {goal} as samples of this size can tell"
    else:
        what = f"{they} bring{s} the reference {1 - after / before:.0%} nearer to {goal}"
    return f"{what}; as many at random, {_at_random(1 - random / before)}."


def _at_random(nearer: float) -> str:
    if nearer > _LEVEL:
        return f"{nearer:.0%}"
    return "no nearer" if nearer > -_LEVEL else f"{-nearer:.0%} further away"


def measure_of(manifest: Mapping[str, Any]) -> str:
    """The measure's name, with the capital of a person's name."""
    return str(manifest["transport"]["measure"]).replace("sinkhorn", "Sinkhorn")


def checks(manifest: Mapping[str, Any], potential: Potential, missing: int) -> list[Check]:
    """What to look at, each with its figures.

    Args:
        manifest: of the selection.
        potential: that it was chosen by.
        missing: inputs that are gone or changed.
    """
    found = [_against_random(manifest), _steps(manifest), _stability(manifest, potential), _solved(manifest, potential)]
    if not manifest["transport"]["before"] > 0:
        found.append(_scale(manifest["transport"]["before"]))
    turns = manifest["turns"]
    if turns is not None and turns["used"] > turns["exact"]:
        found.append(Check(False, "Not all in turn", f"{turns['advice'] or 'The lists hold no more documents'}."))
    if "tiers" in manifest:
        found.insert(0, _tiers(manifest["tiers"]))
    if potential.method is not None:
        found.insert(0, Check(False, f"Chosen by {potential.method.name}", _OTHER))
    return [*found, _budget(manifest), _rows(manifest), _inputs(missing)]


_OTHER = f"A method to compare with. Its scores rank the pool; the distances are those of {GOTD}."


def _against_random(manifest: Mapping[str, Any]) -> Check:
    moved = manifest["transport"]
    after, random = moved["after"], moved["random"]
    said = f"With the choice as {moved['mix']:.0%} of the reference the distance is {after:.4f}"
    if after < random:
        return Check(True, "Better than random", f"{said}; with a random choice, {random:.4f}.")
    return Check(False, "Not better than random", f"{said}; a random choice comes to {random:.4f}.")


def _tiers(told: Mapping[str, Any]) -> Check:
    said = (
        f"The better one saw a shortlist of {told['shortlist']:,} alone, and so does this page. It holds about "
        f"{told['share']:.0%} of the best {told['best']:,} ({told['low']:.0%} to {told['high']:.0%})"
    )
    good = told["share"] >= KEPT
    return Check(good, "Two encoders", f"{said}." if good else f"{said}. Pass a longer --shortlist.")


def _scale(before: float) -> Check:
    said = f"The distance before is {before:.4f}: below zero, so only changes can be compared."
    return Check(False, "Samples too small to give a scale", f"{said} More examples would give it one.")


def _steps(manifest: Mapping[str, Any]) -> Check:
    moved, rounds = manifest["transport"], manifest["rounds"]
    said = f"One step predicts {moved['predicted']:.4f}, solved again it is {moved['after']:.4f}"
    if max(1, len(rounds)) >= moved["rounds_needed"] or manifest.get("target_shares"):
        done = f"; {len(rounds)} rounds were taken." if rounds else "."
        return Check(True, "The prediction holds" if not rounds else "Rounds enough", f"{said}{done}")
    return Check(False, "One step goes too far", f"{said}. Try `--rounds {moved['rounds_needed']}`.")


def _stability(manifest: Mapping[str, Any], potential: Potential) -> Check:
    stability = manifest["quality"]["stability"]
    if not stability:
        return Check(
            False, "Stability unknown", "The target has fewer than 4 documents: too few to halve. Add examples."
        )
    share = _nearest_share(stability, manifest)
    whose = "every target" if "targets" in manifest["transport"] else "the target"
    agreed, best = stability[share], max(1, round(float(share.rstrip("%")) / 100 * len(potential.reference)))
    said = (
        f"Two halves of {whose} agree on {agreed:.0%} of the best {share} of the reference "
        f"({best:,} of {len(potential.reference):,} documents)."
    )
    if agreed >= AGREE:
        return Check(True, "Stable", said)
    return Check(False, "Depends on the examples", f"{said} More target examples will help more than any setting.")


def _nearest_share(stability: Mapping[str, float], manifest: Mapping[str, Any]) -> str:
    """The measured share that is nearest to the selection's own share of the pool."""
    pool = sum(row["pool"] for row in manifest["sources"].values())
    wanted = max(count_of(manifest), 1) / pool
    return min(stability, key=lambda share: abs(math.log(float(share.rstrip("%")) / 100 / wanted)))


def _solved(manifest: Mapping[str, Any], potential: Potential) -> Check:
    quality, pool = manifest["quality"], manifest["quality"]["marginal_error_pool"]
    if not quality["converged"]:
        return Check(False, "Not converged", f"{quality['advice']}.")
    said = f"The solver's marginal error is {_small(quality['marginal_error'])} (0 is exact, 2 the most)"
    digests = sorted(file["digest"] for file in manifest["files"])
    if pool is None or potential.settings.get("reference_digests") != digests:
        return Check(True, "Solved", f"{said}.")
    said = f"{said}, over the whole pool {_small(pool)}."
    if pool <= ASK_AT:
        return Check(True, "Solved, on the whole pool", said)
    return Check(False, "Solved on the sample alone", f"{said} Raise `--polish` or `--fit-sample`.")


def _small(error: float) -> str:
    return f"{error:.4f}" if error >= 0.0001 else "below 0.0001"


def _budget(manifest: Mapping[str, Any]) -> Check:
    counts, chosen = manifest["counts"], count_of(manifest)
    tokens = f"{counts['tokens']:,}" if "tokens" in counts else f"about {counts['tokens_estimated']:,}"
    said = f"{chosen:,} documents, {tokens} tokens"
    if manifest["filled"]:
        return Check(True, "The budget is full", f"{said}: {manifest['settings']['budget']} was asked for.")
    add = "to the target" if manifest["from_target"] else "candidates"
    nothing = f"duplicates and caps left nothing more to choose. Add {add}."
    return Check(False, "The budget is not full", f"{said} of {manifest['settings']['budget']}: {nothing}")


def _rows(manifest: Mapping[str, Any]) -> Check:
    counts = manifest["counts"]
    parts = counts["selected"] + counts["not_selected"] + counts["rejected"]
    said = (
        f"{counts['read']:,} read = {counts['selected']:,} selected + {counts['not_selected']:,} not selected "
        f"+ {counts['rejected']:,} rejected"
    )
    if parts != counts["read"]:
        return Check(False, "Rows are missing", f"{said} does not add up. Run the command again.")
    if counts["rejected"] > REJECTED * counts["read"]:
        return Check(False, "Many rows could not be read", f"{said}: see the reasons below.")
    return Check(True, "Every row accounted for", f"{said}.")


def _inputs(missing: int) -> Check:
    if not missing:
        return Check(True, "Inputs unchanged", "Every text shown was read again where it came from.")
    return Check(False, "Inputs are gone or changed", "Some texts cannot be shown: see how it was made.")
