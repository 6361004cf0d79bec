"""`hashing` against its definition: one word after another, in Python's own integers."""

import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gotd.encoders import hashing
from gotd.encoders.hashing import BITS, PIECE_CHARS, Counts, batches, count_words

M64 = (1 << 64) - 1
BASE, MIX = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93
SPACELESS = (
    "THAI",
    "LAO",
    "MYANMAR",
    "KHMER",
    "HIRAGANA",
    "KATAKANA",
    "CJK UNIFIED",
    "CJK COMPATIBILITY IDEO",
)


def feature(word: str) -> int:
    h = sum(ord(c) * pow(BASE, i, 1 << 64) for i, c in enumerate(word)) & M64
    for _ in range(2):
        h = ((h ^ (h >> 32)) * MIX) & M64
    return (h ^ (h >> 32)) >> (64 - BITS)


def is_spaceless(c: str) -> bool:
    # Planes 2 and 3 are ideographs by decree, those that this Python's tables do not know yet among them.
    known = unicodedata.category(c)[0] in "LMN" and unicodedata.name(c, "").startswith(SPACELESS)
    return known or "\U00020000" <= c < "\U00040000"


def words_of(text: str) -> list[str]:
    """Runs of letters, marks and numbers; of a script without spaces, single signs and pairs."""
    words, run, sign = [], "", ""
    for c in (text if text.isascii() else unicodedata.normalize("NFKC", text)).lower() + "\n":
        if is_spaceless(c):
            words += [run] * bool(run) + [c] + [sign + c] * bool(sign)
            run, sign = "", c
        elif unicodedata.category(c)[0] in "LMN":
            run, sign = run + c, ""
        else:
            words += [run] * bool(run)
            run = sign = ""
    return words


def rows(counts: Counts) -> list[dict[int, int]]:
    pairs = list(zip(counts.features.tolist(), counts.counts.tolist()))
    return [dict(pairs[a:b]) for a, b in zip(counts.starts[:-1], counts.starts[1:])]


SAMPLES = {
    "plain English": (
        "The cat sat; the CAT sat_down, 42 times.",
        ["the", "cat", "sat", "the", "cat", "sat", "down", "42", "times"],
    ),
    "accents, composed and not": ("Café cafe\u0301", ["café", "café"]),
    "Hindi keeps its vowel signs": ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
    "Chinese gives signs and pairs": ("中文字", ["中", "文", "字", "中文", "文字"]),
    "Thai, with marks": ("กิน", ["ก", "ิ", "น", "กิ", "ิน"]),
    "Japanese beside Latin": ("Python入門", ["python", "入", "門", "入門"]),
    "a pair does not cross a space": ("中 文", ["中", "文"]),
    "ligature and full width": ("ﬁne ＡＢＣ", ["fine", "abc"]),
    "final sigma": ("ΟΔΟΣ", ["οδος"]),
    "lone surrogate separates": ("ab\ud800cd", ["ab", "cd"]),
    "one letter": ("x", ["x"]),
    "nothing": (" \n\t\x00...", []),
}


@pytest.mark.parametrize(("text", "words"), SAMPLES.values(), ids=SAMPLES)
def test_words_of_every_script(text: str, words: list[str]) -> None:
    assert rows(count_words([text])) == [Counter(map(feature, words))]


scripts = st.sampled_from("abzAZ019 _-'\n\0éßİΣσςñжЯ中文字ひカกินकि한ﬁ½Ａ\ud800\u0301\U00020000\U0001f600")
texts = st.lists(st.text(scripts, max_size=30) | st.text(max_size=8), max_size=8)


@given(texts)
@settings(derandomize=True, deadline=None)
def test_counts_follow_the_definition(batch: list[str]) -> None:
    """One pass over all texts end to end finds the words that a scan of each text finds."""
    assert rows(count_words(batch)) == [Counter(map(feature, words_of(text))) for text in batch]


def test_an_ascii_text_has_the_same_features_beside_other_scripts() -> None:
    ascii_only, other = "plain old words, 3 of them", "naïve 中文"
    alone = rows(count_words([ascii_only]))
    assert rows(count_words([other, ascii_only, other]))[1:2] == alone
    # A non-ASCII sign sends the very same words down the path of code points.
    assert rows(count_words([ascii_only + " \u2014"])) == alone


def test_a_long_text_is_read_in_pieces_and_no_word_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "one two, three " * 100
    whole = rows(count_words([text, "four"]))
    monkeypatch.setattr(hashing, "PIECE_CHARS", len("one two, three ") * 7)
    assert rows(count_words([text, "four"])) == whole


def test_batches_keep_order_and_bounds() -> None:
    many = [str(i) for i in range(1000)] + ["x" * PIECE_CHARS] * 2 + ["y" * (3 * PIECE_CHARS), "end"]
    cut = [list(batch) for batch in batches(many)]
    assert [text for batch in cut for text in batch] == many
    assert max(map(len, cut)) == hashing.BATCH_TEXTS
    assert all(len(b) == 1 or sum(map(len, b)) <= hashing.BATCH_CHARS for b in cut)


def test_features_fill_their_range_evenly() -> None:
    """Counts of 2^16 distinct words over 2^8 bins: chi-squared within five sigma of its mean, 255."""
    (row,) = rows(count_words([" ".join(f"w{i}" for i in range(1 << 16))]))
    bins = np.bincount(np.fromiter(row, int) >> 8, np.fromiter(row.values(), float), 256)
    chi2 = ((bins - 256) ** 2 / 256).sum()
    assert abs(chi2 - 255) < 5 * np.sqrt(2 * 255)
