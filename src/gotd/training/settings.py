"""How a training run goes: published presets, defaults, and the values that a user gives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from gotd.errors import SettingsError

Kind = Literal["causal", "masked"]
Precision = Literal["auto", "float32", "mixed", "bf16"]

# Kang et al. 2024: domain tasks (masked) and zero-shot tasks (causal). What is not published there is ours.
PRESETS: dict[str, tuple[Kind, dict[str, Any]]] = {
    "paper-bert": ("masked", {"window": 295, "mask": 0.15, "lr": 1e-4, "batch": 64, "epochs": 1.0}),
    "paper-gpt2": ("causal", {"lr": 2e-5, "epochs": 3.0}),
}
BEST_BY = ("macro_f1", "micro_f1", "accuracy", "mcc", "loss")  # figures on dev data that may choose a checkpoint
LORA_LR = 2e-4  # of low-rank factors that start from zero: about four times that of all weights
_PRECISIONS = ("auto", "float32", "mixed", "bf16")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides the weights that come out.

    Attributes:
        lr: highest learning rate; it rises over the first `rise` of the steps, then falls in a line to zero.
        batch: windows or texts a step.
        epochs: passes over the data, unless `tokens` is given.
        tokens: tokens to train on, in whole windows; short data is gone over again.
        window: tokens a window or text, at most; None for what the model takes, up to 1024.
        mask: share of tokens to guess, for masked models.
        lora: rank of low-rank factors (Hu et al. 2022), the only weights trained; None trains all.
        patience: stop after so many measurements on held-out data without a new best.
        measurements: how often to measure and to keep a checkpoint, over the whole run.
        decay: weight decay.
        rise: share of the steps over which the learning rate rises.
        precision: of the arithmetic. `mixed` is bf16 with float32 weights where all are trained, bf16 weights under
            `lora`; `auto` is `mixed` on a GPU that has bf16; `bf16` holds bf16 weights only; `float32` is float32
            throughout.
        seed: of the order, of masks and of dropout.
    """

    lr: float = 5e-5
    batch: int = 16
    epochs: float = 1.0
    tokens: int | None = None
    window: int | None = None
    mask: float = 0.15
    lora: int | None = None
    patience: int = 3
    measurements: int = 10
    decay: float = 0.01
    rise: float = 0.06
    precision: Precision = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        whole = {"batch": self.batch, "patience": self.patience, "measurements": self.measurements}
        optional = {"tokens": self.tokens, "lora": self.lora}
        for name, value in {**whole, **{k: v for k, v in optional.items() if v is not None}}.items():
            if not value >= 1:
                raise SettingsError(f"{name} is {value}; wanted 1 or more")
        if self.window is not None and not self.window >= 8:
            raise SettingsError(f"window is {self.window}; wanted 8 tokens or more")
        if not 0 < self.lr < 100:
            raise SettingsError(f"lr is {self.lr}; wanted a learning rate above 0 and below 100, such as 5e-5")
        if not 0 < self.epochs < 10_000:
            raise SettingsError(f"epochs is {self.epochs}; wanted a number above 0, such as 1 or 0.5")
        if not 0 < self.mask < 1:
            raise SettingsError(f"mask is {self.mask}; wanted a share of the tokens above 0 and below 1, such as 0.15")
        if not 0 <= self.rise <= 1:
            raise SettingsError(f"rise is {self.rise}; wanted a share of the steps, from 0 to 1")
        if not 0 <= self.seed < 2**32:
            raise SettingsError(f"seed is {self.seed}; wanted a whole number from 0 to 2**32 - 1")
        if self.precision not in _PRECISIONS:
            raise SettingsError(f'precision is "{self.precision}"; wanted {", ".join(_PRECISIONS)}')


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and in what portions; the weights that come out differ by rounding at most.

    Attributes:
        device: `auto`, `cpu` or `cuda`.
        micro_batch: windows or texts on a device at a time; a divisor of its part of the batch. None for all of it.
        gradient_checkpointing: compute activations twice instead of holding them.
    """

    device: str = "auto"
    micro_batch: int | None = None
    gradient_checkpointing: bool = False

    def portion(self, batch: int, processes: int = 1) -> int:
        """Texts at a time on each device; the batch is shared by so many processes."""
        share, rest = divmod(batch, processes)
        if rest:
            fit = " or ".join(str(whole * processes) for whole in (share, share + 1) if whole)
            raise SettingsError(
                f"the batch of {batch} cannot be shared by {processes} processes; pass --batch-size {fit}"
            )
        size = self.micro_batch or share
        if size < 1 or share % size:
            part = f"the batch of {batch}" if processes == 1 else f"each process's part of the batch, {share},"
            raise SettingsError(f"micro-batch is {size}, and {part} is no multiple of it; pass a divisor")
        return size


def recipe(kind: Kind, preset: str | None = None, base: Recipe | None = None, **given: Any) -> Recipe:
    """The values given, over those of a preset, over `base`; None is not given."""
    named = {name: value for name, value in given.items() if value is not None}
    if kind == "causal" and "mask" in named:
        raise SettingsError(f"mask is {named['mask']}, and a causal model has no token hidden from it; leave mask out")
    start = base or Recipe()
    if preset is not None:
        if preset not in PRESETS:
            raise SettingsError(f'no preset "{preset}"; wanted {" or ".join(PRESETS)}')
        wanted, values = PRESETS[preset]
        if wanted != kind:
            other = next(name for name, (is_for, _) in PRESETS.items() if is_for == kind)
            raise SettingsError(f"preset {preset} is for {wanted} models, and this one is {kind}; pass {other}")
        start = replace(start, **values)
    if named.get("lora") and "lr" not in named and preset is None:
        start = replace(start, lr=LORA_LR)
    return replace(start, **named)
