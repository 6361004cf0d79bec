"""The sizes of the experiment, and its conditions, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field

COMMON = {"wikipedia": 9_000, "novels": 3_000, "movie_reviews": 3_000, "product_reviews": 3_000}
TASKS = ("chemprot", "scierc", "acl_arc", "rct_like", "agnews", "mag_titles")
MIXTURES = {
    "wikipedia+pubmed": ("wikipedia", "pubmed"),
    "novels+arxiv_cs": ("novels", "arxiv_cs"),
    "movie_reviews+medquad": ("movie_reviews", "medquad"),
    "product_reviews+techdocs": ("product_reviews", "techdocs"),
}
TUNING = "rte"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything.

    Attributes:
        common: documents of each common source in the pretraining mixture.
        rare: documents of every other source in it.
        pool_common, pool_rare: documents of a source in one seed's pool; it is drawn from twice as many.
        targets: documents that a selector is shown, half of each source for a mixture.
        held_out: documents of one source that a mixture is judged on.
        held_out_tokens: a task is judged on so many, about.
        reference: documents of the pretraining mixture that the selectors see.
        remembered: held-out documents of the pretraining mixture, to see what is forgotten.
        chars: documents are cut here, at a space, as in the paper.
        budgets: tokens of a warm-up, ascending.
        finetune: tokens of the target's examples in stage II; examples are read again where they hold fewer.
        tasks, mixtures: the targets.
        vocabulary, width, layers, heads, context: of the model.
        batch, micro: sequences in a step, and at a time.
        pretraining_rate, warmup_rate, finetune_rate: peak learning rates.
        blocks: held-out items are summed in so many blocks, the units of the bootstrap.
        device: of the model.
    """

    common: dict[str, int] = field(default_factory=lambda: dict(COMMON))
    rare: int = 182
    pool_common: int = 1_500
    pool_rare: int = 500
    targets: int = 500
    held_out: int = 60
    held_out_tokens: int = 24_000
    reference: int = 6_000
    remembered: int = 70
    chars: int = 1_000
    budgets: tuple[int, ...] = (24_576, 49_152, 98_304)
    finetune: int = 16_384
    tasks: tuple[str, ...] = TASKS
    mixtures: dict[str, tuple[str, str]] = field(default_factory=lambda: dict(MIXTURES))
    vocabulary: int = 3_072
    width: int = 128
    layers: int = 3
    heads: int = 4
    context: int = 256
    batch: int = 8
    micro: int = 4
    pretraining_rate: float = 3e-3
    warmup_rate: float = 3e-4
    finetune_rate: float = 3e-4
    blocks: int = 40
    device: str = "cpu"

    @property
    def names(self) -> tuple[str, ...]:
        """The targets, mixtures last."""
        return (*self.tasks, *self.mixtures)


MEDIUM = Plan(budgets=(49_152,), width=256, layers=6, pretraining_rate=2e-3, warmup_rate=1e-4)
"""5.6 million parameters, for a CPU: half an hour of one core to pretrain, half a minute a cell."""

LARGE = Plan(
    budgets=(49_152, 147_456, 294_912),
    finetune=49_152,
    vocabulary=8_192,
    width=384,
    layers=6,
    heads=6,
    batch=16,
    micro=16,
    pretraining_rate=1e-3,
    device="cuda",
)
"""14 million parameters, for a GPU."""

TINY = Plan(
    common={"meadow": 60, "harbour": 40},
    rare=6,
    pool_common=24,
    pool_rare=12,
    targets=16,
    held_out=6,
    held_out_tokens=800,
    reference=60,
    remembered=8,
    chars=200,
    budgets=(1_024, 2_048),
    finetune=512,
    tasks=("signals",),
    mixtures={"meadow+forge": ("meadow", "forge")},
    vocabulary=300,
    width=16,
    layers=1,
    heads=2,
    context=64,
    blocks=4,
)
