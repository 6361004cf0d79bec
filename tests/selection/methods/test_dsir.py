"""DSIR: agreement with the authors' package, its formula by hand, and the table of pairs."""

from __future__ import annotations

import json
import math
import re
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gotd.errors import InputError
from gotd.selection.methods import Batch, fit_method, ngrams
from gotd.selection.methods.draws import gumbel
from gotd.selection.methods.ngrams import NgramHasher, tokens_of
from gotd.transport import Measure

RAW = [
    "The cat sat on the mat, and the dog barked.",
    "Stocks fell 3.5% on Monday; bonds rose.",
    "We prove that the operator is bounded on L^2(R).",
    "Café ÉTÉ — naïve façade, 東京 タワー!",
    "x_1 = foo(bar)  # snake_case\nreturn x_1",
    "a",
]
TARGET = ["We show that the norm of the operator is finite.", "Let f be bounded; then f is in L^2."]
# Of data-selection 1.0.3, by `by_the_package` below.
EXPECTED = [
    -261.4731373151646,
    -273.6980553401613,
    -167.94864042671412,
    -233.93657175926927,
    -262.7632679767088,
    -13.720201478159346,
]


def by_the_package(folder: Path) -> list[float]:
    from data_selection import HashedNgramDSIR

    for name, texts in (("raw", RAW), ("target", TARGET)):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (folder / f"{name}.jsonl").write_text(lines)
    dsir = HashedNgramDSIR([f"{folder}/raw.jsonl"], [f"{folder}/target.jsonl"], f"{folder}/cache", num_proc=1)
    dsir.fit_importance_estimator(num_tokens_to_fit="all")
    dsir.compute_importance_weights()
    return np.load(folder / "cache" / "log_importance_weights" / "0.npy").tolist()


def fitted(raw: list[str], target: list[str], **options):
    one = Measure.of(torch.ones(1, 1))
    return fit_method(
        "dsir", reference_texts=raw, target_texts=target, reference=one, target=one, seed=4, options=options
    )


def batch(texts: list[str]) -> Batch:
    return Batch(texts, [f"id-{n}" for n in range(len(texts))], [""] * len(texts), torch.empty(len(texts), 0))


def bucket_of(ngram: str, buckets: int = 10_000) -> int:
    """The bucket of an n-gram, as the package writes it."""
    return int(sha256(ngram.encode("utf-8", "surrogatepass")).hexdigest(), 16) % buckets


def test_log_weights_are_those_of_data_selection() -> None:
    np.testing.assert_allclose(fitted(RAW, TARGET).log_weights(RAW), EXPECTED, rtol=0, atol=1e-6)


def test_log_weights_are_those_of_data_selection_as_installed(tmp_path) -> None:
    pytest.importorskip("data_selection")
    np.testing.assert_allclose(by_the_package(tmp_path), EXPECTED, rtol=0, atol=1e-9)


def test_buckets_are_those_that_data_selection_tests_for() -> None:
    """tests/test_hashed_ngram.py of data-selection 1.0.3: two buckets, and nine n-grams in five words."""
    assert bucket_of("alice") == 6720
    assert bucket_of("alice went") == 114
    owner, bucket = NgramHasher(10_000)(["Alice went to the store"])
    assert owner.tolist() == [0] * 9
    assert {6720, 114} < set(bucket.tolist())


def test_log_weights_by_hand() -> None:
    """Target a b a: words a, b, a, pairs "a b", "b a"; reference a a: words a, a, pair "a a"."""
    method = fitted(["a a"], ["A b\na"])
    buckets = {ngram: bucket_of(ngram) for ngram in ("a", "b", "a b", "b a", "a a")}
    assert len(set(buckets.values())) == 5
    log_a = math.log(2 / 5 + 1e-8) - math.log(2 / 3 + 1e-8)
    log_new = math.log(1 / 5 + 1e-8) - math.log(1e-8)
    log_aa = math.log(1e-8) - math.log(1 / 3 + 1e-8)
    expected = [log_a, 2 * log_a + log_aa, log_a + 2 * log_new, 0, 0]
    np.testing.assert_allclose(method.log_weights(["a", "a a", "a b", "c d", ""]), expected, atol=1e-12)


def test_the_score_is_the_weight_with_noise_that_belongs_to_the_id() -> None:
    texts = [*RAW, "the operator is bounded"]
    weights = fitted(RAW, TARGET).log_weights(texts)
    np.testing.assert_array_equal(fitted(RAW, TARGET, noise=False).score(batch(texts)), (-weights).astype(np.float32))
    noise = gumbel(4, batch(texts).ids, "gotd-dsir")
    np.testing.assert_array_equal(fitted(RAW, TARGET).score(batch(texts)), (-weights - noise).astype(np.float32))


@pytest.mark.parametrize("side", ["target", "reference"])
def test_texts_without_words_are_refused(side) -> None:
    texts = {"reference": RAW, "target": TARGET, side: ["", " \n"]}
    with pytest.raises(InputError, match=f"the {side} has none, in 2 texts"):
        fitted(texts["reference"], texts["target"])


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Don't stop: 3.5%!?", ["don", "'", "t", "stop", ":", "3", ".", "5", "%!?"]),
        ("snake_case\tx\u00a0y", ["snake_case", "x", "y"]),
        ("ÉTÉ—東京 タワー", ["été", "—", "東京", "タワー"]),
        ("10 km² is 3½", ["10", "km²", "is", "3½"]),
        ("  \n", []),
    ],
)
def test_tokens_are_those_of_wordpunct(text, tokens) -> None:
    """As WordPunctTokenizer().tokenize(text.lower()) of NLTK 3.8 gives them."""
    assert tokens_of(text) == tokens


def plainly(text: str, buckets: int) -> list[int]:
    """The buckets of one text, an n-gram at a time."""
    words = tokens_of(text)
    return [bucket_of(ngram, buckets) for ngram in [*words, *map(" ".join, pairwise(words))]]


TEXTS = st.lists(st.text(st.sampled_from("ab c.é東\ud800\n"), max_size=12), max_size=6)


class TestHasher:
    @given(st.lists(TEXTS, min_size=1, max_size=4), st.sampled_from([1, 7, 10_000, 1 << 24]))
    def test_each_text_has_the_buckets_of_its_ngrams_in_their_order(self, batches, buckets) -> None:
        hasher = NgramHasher(buckets)
        for texts in batches:
            owner, bucket = hasher(texts)
            for number, text in enumerate(texts):
                assert bucket[owner == number].tolist() == plainly(text, buckets)

    @pytest.mark.parametrize("bits", [1, 3])
    def test_a_table_too_small_for_its_pairs_only_costs_time(self, monkeypatch, bits) -> None:
        monkeypatch.setattr(ngrams, "_SLOT_BITS", bits)
        hasher = NgramHasher(1000)
        rng = np.random.default_rng(0)
        for _ in range(5):
            texts = [" ".join(rng.choice(list("abcdefgh"), 30)) for _ in range(4)]
            owner, bucket = hasher(texts)
            for number, text in enumerate(texts):
                assert bucket[owner == number].tolist() == plainly(text, 1000)

    @given(st.text(st.sampled_from("ab c.é東\n "), max_size=60), st.integers(1, 8))
    def test_a_long_text_in_pieces_has_the_ngrams_of_the_whole(self, text, size) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ngrams, "_PIECE_CHARS", size)
            owner, bucket = NgramHasher(10_000)(["b", text, "a b"])
        assert sorted(bucket[owner == 1].tolist()) == sorted(plainly(text, 10_000))
        assert bucket[owner == 2].tolist() == plainly("a b", 10_000)

    def test_every_character_is_of_the_class_that_re_gives_it(self) -> None:
        signs = "".join(map(chr, range(0x110000)))
        for number, kind in enumerate((r"\s", r"\w", r"[^\w\s]")):
            expected = np.array(list(map(ord, re.findall(kind, signs))))
            np.testing.assert_array_equal(np.flatnonzero(ngrams._classes(0x110000) == number), expected)

    def test_what_was_seen_is_not_hashed_again(self, monkeypatch) -> None:
        hasher = NgramHasher(1000)
        hasher(["the cat sat on the mat"])
        monkeypatch.setattr(ngrams, "_sha", None)
        assert hasher(["the cat sat"])[1].tolist() == [
            int(sha256(ngram.encode()).hexdigest(), 16) % 1000 for ngram in ("the", "cat", "sat", "the cat", "cat sat")
        ]
