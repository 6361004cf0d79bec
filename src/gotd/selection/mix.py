"""How far a warm-up moves a model: the share lambda of the selection in what the model has seen.

After light training on U, a model of P behaves as one of (1 - lambda) P + lambda U (Kang et al. 2024, Lemma 1). The
lemma says that there is such a lambda, not which. Here are a rule, for before the training, and a bound, for after it.

  rule    Steps of size eta_t down a loss of curvature h leave the part exp(-h sum_t eta_t) of the way to its optimum.
          Curvatures differ by orders of magnitude between directions, which stretches that exponential:

              lambda = 1 - exp(-(travel / scale) ** power)       travel = learning rate x steps
                                                                 steps = epochs x tokens / batch tokens

          scale and power are those of one small GPT, measured against models that were pretrained on such mixtures
          (experiments/lemma_one): for its loss on U the rule is right to a factor of about 1.4. Another model, or
          another optimiser, has another scale. Up to four epochs counted as much as fresh documents. It is meant for
          full fine-tuning; adapters of low rank move by other scales.

  bound   Let theta_P and theta_U be the best parameters for P and for U, and both losses

              L(theta) = floor + (theta - best)^T H (theta - best) / 2        with one H for both

          At the optimum for the mixture P loses lambda^2 d^2 / 2 and U gains (2 lambda - lambda^2) d^2 / 2, so that

              lambda = 2 lost / (lost + gained)

          A real warm-up forgets more of P than the mixture with the same loss on U would: in that experiment this gave
          3 to 31 times the share. So it is no estimate of lambda; it says what the forgetting would amount to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from gotd.errors import InputError, SettingsError, number

AUTO: Final = "auto"
SCALE, POWER = 0.36, 0.92
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
            object.__setattr__(self, name, number(name.replace("_", " "), getattr(self, name)))
            if not 0 < getattr(self, name) < float("inf"):
                raise SettingsError(f"{name.replace('_', ' ')} is {getattr(self, name)}; wanted a positive number")

    def travel(self, tokens: float) -> float:
        """Learning rate x steps of a warm-up on so many tokens; a part of a batch is a part of a step."""
        return self.learning_rate * self.epochs * tokens / self.batch_tokens

    def mix(self, tokens: float) -> float:
        """The share lambda after a warm-up on so many tokens, above 0 and at most 1."""
        if not tokens > 0:
            raise SettingsError(f"a warm-up on {tokens} tokens moves nothing; wanted a selection with text")
        return -math.expm1(-((self.travel(tokens) / self.scale) ** POWER))

    def calibrated(self, mix: float, tokens: float) -> WarmUp:
        """The same warm-up, with the scale at which `tokens` tokens make the share `mix`, as it was measured."""
        if not 0 < mix < 1:
            raise SettingsError(f"the measured mix is {mix}; wanted a share between 0 and 1")
        return replace(self, scale=self.travel(tokens) / (-math.log1p(-mix)) ** (1 / POWER))


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
    """The share lambda from the losses before and after a warm-up; exact at optima of one quadratic loss.

    Of a real warm-up it is far above the share by which the loss on the selection fell: see the head of this module.

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
