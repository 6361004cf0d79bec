"""How far a warm-up moves a model: the share lambda of the selection in what the model has seen.

After light training on U, a model of P behaves as one of (1 - lambda) P + lambda U (Kang et al. 2024, Lemma 1). The
lemma says that there is such a lambda, not which. Here are a rule, for before the training, and two measurements, for
after it. All rest on one picture. Let theta_P and theta_U be the best parameters for P and for U, and both losses

    L(theta) = floor + (theta - best)^T H (theta - best) / 2        with one H for both

Then the best parameters for the mixture are (1 - lambda) theta_P + lambda theta_U, and

  rule       Steps of size eta_t down the gradient of L_U from theta_P leave, along a direction of curvature h, the part
             exp(-h sum_t eta_t) of the way to theta_U. Where one h stands for all,

                 lambda = 1 - exp(-travel / scale)        travel = learning rate x steps
                                                          steps = epochs x tokens / batch tokens

  measured   With d^2 = (theta_U - theta_P)^T H (theta_U - theta_P), what P loses is lambda^2 d^2 / 2, and what U gains
             (2 lambda - lambda^2) d^2 / 2. Four losses, four unknowns (two floors, d, lambda):

                 lambda = 2 lost / (lost + gained)

  along      At an optimum of the mixture (1 - lambda) dL_P + lambda dL_U = 0 in every direction, whatever the losses
             look like. So along a path of such optima, from the slope at its end,

                 lambda / (1 - lambda) = -dL_P / dL_U

The rule is a rule of thumb. It ignores that curvatures differ by orders of magnitude between directions, that Adam
rescales each, warm-up and weight decay of the optimiser, noise, and that epochs after the first see the same documents
again. It is meant for full fine-tuning and a share up to one half; adapters of low rank move by other scales.
`scale` belongs to a model and its optimiser: SCALE is that of one tiny model (docs/size.md), and may
be off several times for another. Train once, measure the share, and go on with `WarmUp.calibrated`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from gotd.errors import InputError, SettingsError

AUTO: Final = "auto"
SCALE = 0.03
_PAPER_BATCH = 64 * 295  # documents x tokens, Kang et al. 2024


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How the selection will be trained on.

    Attributes:
        epochs: passes over it.
        learning_rate: mean over the steps; of a rate that falls to 0 along a line, half its peak.
        batch_tokens: tokens of one step of the optimiser.
        scale: learning rate x steps after which the share is 1 - 1/e = 63 %.
    """

    epochs: float = 1.0
    learning_rate: float = 1e-4
    batch_tokens: int = _PAPER_BATCH
    scale: float = SCALE

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if not 0 < getattr(self, name) < float("inf"):
                raise SettingsError(f"{name.replace('_', ' ')} is {getattr(self, name)}; wanted a positive number")

    def travel(self, tokens: float) -> float:
        """Learning rate x steps of a warm-up on so many tokens; a part of a batch is a part of a step."""
        return self.learning_rate * self.epochs * tokens / self.batch_tokens

    def mix(self, tokens: float) -> float:
        """The share lambda after a warm-up on so many tokens, above 0 and at most 1."""
        if not tokens > 0:
            raise SettingsError(f"a warm-up on {tokens} tokens moves nothing; wanted a selection with text")
        return -math.expm1(-self.travel(tokens) / self.scale)

    def calibrated(self, mix: float, tokens: float) -> WarmUp:
        """The same warm-up, with the scale at which `tokens` tokens make the share `mix`, as it was measured."""
        if not 0 < mix < 1:
            raise SettingsError(f"the measured mix is {mix}; wanted a share between 0 and 1")
        return replace(self, scale=-self.travel(tokens) / math.log1p(-mix))


@dataclass(frozen=True, slots=True)
class Losses:
    """Mean losses of one model, in nats a token.

    Attributes:
        reference: on documents of what it was pretrained on, not of the selection.
        selection: on the documents of the selection.
    """

    reference: float
    selection: float


def measured_mix(before: Losses, after: Losses) -> float:
    """The share lambda from the losses before and after a warm-up; exact where both losses are quadratic.

    Too low where the selection is far from the reference: of two vocabularies with no word in common one percent
    of mixing wins most of what there is to win (docs/size.md).

    Raises:
        InputError: the losses are not those of a move from the optimum of the reference toward the selection.
    """
    lost, gained = after.reference - before.reference, before.selection - after.selection
    if not gained > 0:
        raise InputError(
            f"the loss on the selection went from {before.selection} to {after.selection}; wanted a fall. Measure on "
            "the documents that the model was warmed up on, before and after"
        )
    if not 0 <= lost <= gained:
        raise InputError(
            f"the loss on the reference went from {before.reference} to {after.reference}, with {gained:.3g} won on "
            "the selection; wanted a rise of that at most. Measure on text that the model was pretrained on"
        )
    return 2 * lost / (lost + gained)


def mix_along(path: Sequence[Losses]) -> float:
    """The share lambda at the end of a warm-up, from its checkpoints: the slope of one loss by the other there.

    Exact in the limit of close checkpoints where every model on the way is an optimum of some mixture. The slope is
    that of the parabola through the last three; noise of the losses should be well below their changes.

    Raises:
        InputError: fewer than three checkpoints, or losses that do not part.
    """
    if len(path) < 3:
        raise InputError(f"{len(path)} checkpoints; wanted three or more, the model before the warm-up among them")
    (x0, y0), (x1, y1), (x2, y2) = ((losses.selection, losses.reference) for losses in path[-3:])
    if not x0 > x1 > x2:
        raise InputError(f"the loss on the selection went {x0}, {x1}, {x2} at the end of the path; wanted a fall")
    last, earlier = (y2 - y1) / (x2 - x1), (y1 - y0) / (x1 - x0)
    slope = last + (x2 - x1) * (last - earlier) / (x2 - x0)
    if not slope <= 0:
        raise InputError(
            "the loss on the reference fell along with that on the selection; wanted a rise. Measure on text that the "
            "model was pretrained on"
        )
    return -slope / (1 - slope)
