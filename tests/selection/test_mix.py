"""The share of a selection, where the truth is known: Gaussians of one covariance, and unigram models of mixtures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gotd.errors import InputError, SettingsError
from gotd.selection.mix import POWER, Losses, WarmUp, measured_mix

SHARES = (0.01, 0.1, 0.3, 0.7)


def gaussian(share: float, distance: float = 1.7) -> Losses:
    """Cross-entropy, less a constant, of the best unit Gaussian for (1 - share) N(0, 1) + share N(distance, 1)."""
    mean = share * distance
    return Losses(mean**2 / 2, (mean - distance) ** 2 / 2)


def unigram(share: float, p: np.ndarray, u: np.ndarray) -> Losses:
    """Cross-entropies of the best unigram model for (1 - share) p + share u, which is that mixture."""
    model = (1 - share) * p + share * u
    return Losses(-p @ np.log(model), -u @ np.log(model))


def vocabularies(spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Word shares of two kinds of text; the log of their ratio has this standard deviation."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(2000, 0.5)) + 1e-6
    u = p * np.exp(spread * rng.normal(size=len(p)))
    return p / p.sum(), u / u.sum()


# Measured


@pytest.mark.parametrize("share", SHARES)
def test_four_losses_give_the_share_of_gaussians_exactly(share: float) -> None:
    assert measured_mix(gaussian(0), gaussian(share)) == pytest.approx(share, rel=1e-9)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize(("spread", "within"), [(0.1, 0.02), (0.3, 0.1), (0.6, 0.35)])
def test_four_losses_give_the_share_of_unigram_models_nearly(share: float, spread: float, within: float) -> None:
    """To second order in the distance of the two; the far they are, the worse."""
    p, u = vocabularies(spread)
    assert measured_mix(unigram(0, p, u), unigram(share, p, u)) == pytest.approx(share, rel=within)


def test_four_losses_tell_too_low_a_share_of_what_is_far() -> None:
    """As documented: a word in a thousand is shared."""
    p, u = np.array([0.999, 0.001]), np.array([0.001, 0.999])
    assert 0.02 < measured_mix(unigram(0, p, u), unigram(0.1, p, u)) < 0.05


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (Losses(3.2, 4.0), "the loss on the selection went from 4.0 to 4.0; wanted a fall"),
        (Losses(3.2, float("nan")), "wanted a fall"),
        (Losses(2.9, 3.5), "the loss on the reference went from 3.0 to 2.9, with 0.5 won"),
        (Losses(3.8, 3.5), "wanted a rise of that at most"),
        (Losses(float("nan"), 3.5), "wanted a rise"),
    ],
)
def test_losses_of_no_warm_up_are_refused(after: Losses, message: str) -> None:
    with pytest.raises(InputError, match=message):
        measured_mix(Losses(3.0, 4.0), after)


# The rule


def test_the_rule_at_a_known_place() -> None:
    """A thousand steps of 1e-4 on the small GPT it was read from: travel .1, a share of about a third."""
    warm = WarmUp(epochs=2, learning_rate=1e-4, batch_tokens=100)
    assert warm.travel(50_000) == pytest.approx(0.1)
    assert warm.mix(50_000) == pytest.approx(1 - math.exp(-((0.1 / 0.3) ** 0.86)))


def test_the_rule_sees_learning_rate_epochs_and_tokens_as_one() -> None:
    base = WarmUp()
    wanted = base.mix(2e6)
    assert WarmUp(epochs=2).mix(1e6) == pytest.approx(wanted)
    assert WarmUp(learning_rate=2e-4).mix(1e6) == pytest.approx(wanted)
    assert WarmUp(batch_tokens=base.batch_tokens // 2).mix(1e6) == pytest.approx(wanted)


def test_the_rule_grows_from_nothing_to_all() -> None:
    warm = WarmUp()
    unit = warm.scale * warm.batch_tokens / warm.learning_rate
    assert warm.mix(unit / 1e6) == pytest.approx(1e-6**POWER, rel=1e-4)
    assert warm.mix(unit) == pytest.approx(1 - math.exp(-1))
    assert warm.mix(unit / 2) < warm.mix(unit) < warm.mix(100 * unit) <= 1


def test_calibrated_gives_back_what_was_measured() -> None:
    warm = WarmUp(epochs=3, learning_rate=5e-5).calibrated(0.23, 4e5)
    assert warm.mix(4e5) == pytest.approx(0.23)
    assert warm.mix(8e5) == pytest.approx(1 - 0.77 ** (2**POWER))
    assert (warm.epochs, warm.learning_rate) == (3, 5e-5)


@pytest.mark.parametrize("name", ["epochs", "learning_rate", "batch_tokens", "scale"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_warm_up_that_cannot_be_is_refused(name: str, value: float) -> None:
    with pytest.raises(SettingsError, match=f"{name.replace('_', ' ')} is {value}; wanted a positive number"):
        WarmUp(**{name: value})


def test_calibration_and_rule_refuse_what_means_nothing() -> None:
    with pytest.raises(SettingsError, match="the measured mix is 1; wanted a share between 0 and 1"):
        WarmUp().calibrated(1, 100)
    with pytest.raises(SettingsError, match="a warm-up on 0 tokens moves nothing"):
        WarmUp().mix(0)
