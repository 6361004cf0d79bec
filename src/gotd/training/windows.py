"""Documents become windows of one length, so that no step is spent on padding.

causal: the tokens of all documents, each followed by EOS, cut every `length` tokens
masked: the same with SEP, cut every `length - 2`, each piece between CLS and SEP; 15 % of its tokens are to guess

The last window is as long as what is left. Nothing else is dropped or padded, but an EOS that would be a causal window
by itself: nothing stands before it, and a step of it alone would have no loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gotd.errors import InputError, SettingsError
from gotd.training.settings import Kind

IGNORED = -100  # a label that is no token to predict
_TEXTS_AT_A_TIME = 1_000


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of tokens.

    Attributes:
        ids: (n, length) int32; what is beyond a window's length is 0.
        lengths: (n,) tokens of each window; all are full but the last.
        special: (n, 2) tokens at the start and at the end of a window that belong to no text.
    """

    ids: NDArray[np.int32]
    lengths: NDArray[np.int64]
    special: tuple[int, int] = (0, 0)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def tokens(self) -> int:
        """Tokens in all windows."""
        return int(self.lengths.sum())


def pack(texts: Sequence[str], tokenizer: Any, kind: Kind, length: int) -> Windows:
    """Join documents and cut them into windows.

    Raises:
        SettingsError: the tokenizer has no token to put between documents, or none to mask with.
        InputError: the texts hold no token.
    """
    between, first, last = marks(tokenizer, kind)
    stream = np.concatenate(_tokens(texts, tokenizer, between))
    if len(stream) == len(texts):
        raise InputError(f"the {len(texts)} texts hold no token; pass texts with words")
    body = length - len(first) - len(last)
    if kind == "causal" and len(stream) % body == 1:
        stream = stream[:-1]
    count = -(-len(stream) // body)
    ids = np.zeros((count, length), np.int32)
    lengths = np.full(count, length, np.int64)
    for i in range(count):
        window = np.concatenate([first, stream[i * body : (i + 1) * body], last])
        ids[i, : len(window)], lengths[i] = window, len(window)
    return Windows(ids, lengths, (len(first), len(last)))


def _tokens(texts: Sequence[str], tokenizer: Any, between: int) -> list[NDArray[np.int32]]:
    found = []
    for start in range(0, len(texts), _TEXTS_AT_A_TIME):
        batch = list(texts[start : start + _TEXTS_AT_A_TIME])
        for ids in tokenizer(batch, add_special_tokens=False, return_attention_mask=False)["input_ids"]:
            found.append(np.array([*ids, between], np.int32))
    return found


def marks(tokenizer: Any, kind: Kind) -> tuple[int, list[int], list[int]]:
    """The token between documents, and those around a window."""
    if kind == "causal":
        if tokenizer.eos_token_id is None:
            raise SettingsError(
                "the tokenizer has no EOS token to put between documents; set tokenizer.eos_token and save it again"
            )
        return tokenizer.eos_token_id, [], []
    if tokenizer.mask_token_id is None:
        raise SettingsError("the tokenizer has no mask token, which a masked model needs; set tokenizer.mask_token")
    between = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
    if between is None:
        raise SettingsError(
            "the tokenizer has neither SEP nor EOS to put between documents; set tokenizer.sep_token and save it again"
        )
    return between, [] if tokenizer.cls_token_id is None else [tokenizer.cls_token_id], [between]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Windows in the order of training: item i is the i-th window that the model reads.

    Attributes:
        windows: of the selection, and of the reference where there is replay.
        order: (n,) pairs of which of `windows` and which window of it.
        kind: of the model.
        tokenizer: for its mask token and vocabulary.
        mask: share of tokens to guess, for masked models.
        seed: of the masks. A mask depends on seed and place alone, so a run that was stopped goes on with the same.
    """

    windows: tuple[Windows, ...]
    order: NDArray[np.int64]
    kind: Kind
    tokenizer: Any
    mask: float
    seed: int

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, i: int) -> dict[str, NDArray[Any]]:
        which, row = self.order[i]
        found = self.windows[which]
        ids = found.ids[row, : found.lengths[row]].astype(np.int64)
        if self.kind == "masked":
            return masked(ids, found.special, self.tokenizer, self.mask, np.random.default_rng([self.seed, i]))
        labels = ids.copy()
        labels[0] = IGNORED  # nothing stands before it
        return {"input_ids": ids, "labels": labels}

    def tokens(self, first: int = 0, last: int | None = None) -> int:
        """Tokens of the windows from `first` to before `last`."""
        return sum(int(self.windows[which].lengths[row]) for which, row in self.order[first:last])


def in_turn(windows: Windows, kind: Kind, tokenizer: Any, mask: float) -> Schedule:
    """Each window once, as they come: what a held-out loss is measured on."""
    order = np.stack([np.zeros(len(windows), np.int64), np.arange(len(windows))], axis=1)
    return Schedule((windows,), order, kind, tokenizer, mask, seed=0)


def masked(
    ids: NDArray[np.int64], special: tuple[int, int], tokenizer: Any, share: float, rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Hide a share of the tokens, at least one: 80 % become the mask token, 10 % a random one, 10 % stay (Devlin et
    al. 2019)."""
    inner = np.arange(special[0], len(ids) - special[1])
    chosen = rng.choice(inner, min(len(inner), max(1, round(share * len(inner)))), replace=False)
    labels = np.full_like(ids, IGNORED)
    labels[chosen] = ids[chosen]
    how = rng.random(len(chosen))
    ids = ids.copy()
    ids[chosen[how < 0.8]] = tokenizer.mask_token_id
    random = chosen[how >= 0.9]
    ids[random] = rng.integers(0, len(tokenizer), len(random))
    return {"input_ids": ids, "labels": labels}


def ordered(
    windows: Windows, reference: Windows | None, *, epochs: float, tokens: int | None, replay: float, seed: int
) -> NDArray[np.int64]:
    """The order of training: whole passes over the windows, each shuffled anew, with reference windows among them.

    Args:
        tokens: as many windows as hold so many tokens, those of the reference among them; over `epochs` if given.
        replay: share of the tokens from the reference, in whole windows; these too are gone over again where they run
            out.

    Returns:
        (n, 2): 0 for the windows and 1 for the reference, and which one.
    """
    rng = np.random.default_rng(seed)
    if tokens is None:
        own = max(1, round(epochs * len(windows)))
    else:
        own = max(1, _enough(windows, round(tokens * (1 - replay))))
    other = 0
    if reference is not None:
        # By tokens: windows of short data are not full, and those of the reference are.
        read = own * windows.tokens / len(windows)
        other = round(read * replay / (1 - replay) * len(reference) / reference.tokens)
    parts = [np.stack([np.zeros(own, np.int64), passes(len(windows), own, rng)], axis=1)]
    if reference is not None and other:
        drawn = np.stack([np.ones(other, np.int64), passes(len(reference), other, rng)], axis=1)
        places = np.sort(rng.choice(own + other, other, replace=False))
        order = np.empty((own + other, 2), np.int64)
        order[np.setdiff1d(np.arange(own + other), places)] = parts[0]
        order[places] = drawn
        return order
    return parts[0]


def _enough(windows: Windows, tokens: int) -> int:
    """The least number of windows that hold so many tokens."""
    passes, rest = divmod(tokens, windows.tokens)
    return passes * len(windows) + int(np.searchsorted(np.cumsum(windows.lengths), rest) + 1 if rest else 0)


def passes(count: int, wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Numbers below `count`, each pass a new order, `wanted` of them."""
    return np.concatenate([rng.permutation(count) for _ in range(-(-wanted // count))])[:wanted]
