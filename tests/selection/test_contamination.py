"""Runs of words shared with held-out texts: found where a plain search finds them, and nowhere else."""

from __future__ import annotations

import pickle
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd.encoders.hashing import _SPACELESS_RANGES
from gotd.errors import SettingsError
from gotd.selection import words
from gotd.selection.contamination import Contamination
from gotd.selection.words import folded, words_of

HELD_OUT = "The quick brown fox jumps over the lazy dog, and then it sleeps until noon; nobody minds."
WORDS = [word.strip(",.;").lower() for word in HELD_OUT.split()]


def plain_words(text: str) -> list[str]:
    """The definition, sign by sign."""
    spaced = ""
    for sign in folded(text):
        rare = 0x20000 <= ord(sign) < 0x40000
        if not (rare or sign.isspace() or unicodedata.category(sign)[0] in "LMN"):
            continue
        alone = rare or any(first <= ord(sign) <= last for first, last in _SPACELESS_RANGES)
        spaced += f" {sign} " if alone else sign
    return spaced.split()


def plain_check(held_out: list[str], text: str, n: int) -> str | None:
    """The first run of the text, of those from one word the longest, by comparing words."""
    runs = set()
    for other in map(plain_words, held_out):
        size = min(n, len(other))
        if size >= 5:
            runs |= {tuple(other[i : i + size]) for i in range(len(other) - size + 1)}
    words = plain_words(text)
    for start in range(len(words)):
        for size in range(n, 4, -1):
            run = tuple(words[start : start + size])
            if len(run) == size and run in runs:
                return " ".join(run)
    return None


def spelled(text: str) -> list[str]:
    words = words_of([text])
    return [words.spelled(i, 1) for i in range(len(words.hashes))]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop-gap, 3.14 _now_!", ["dont", "stopgap", "314", "now"]),
        ("a - b\t\x1fc\n\nd\x00e", ["a", "b", "c", "de"]),
        ("你好，世界 ok", ["你", "好", "世", "界", "ok"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("ＡＢＣ ﬁne Cafe\u0301 STRASSE straße", ["abc", "fine", "café", "strasse", "strasse"]),
        ("zero\u200bwidth\u00a0space\u2003wide", ["zerowidth", "space", "wide"]),
        ("emoji 😀 goes \ud800 off", ["emoji", "goes", "off"]),
        (" ... ", []),
        ("", []),
    ],
)
def test_words_are_what_whitespace_leaves_without_punctuation(text: str, words: list[str]) -> None:
    assert spelled(text) == words == plain_words(text)


@given(st.text(), st.text(st.sampled_from("aB1 .\n'é中ไ\u0301")))
def test_words_of_any_text_are_those_of_the_plain_definition(any_text: str, mixed: str) -> None:
    for text in (any_text, mixed, any_text + mixed):
        assert spelled(text) == plain_words(text)


def test_words_hash_alike_wherever_they_stand_and_whatever_stands_around_them() -> None:
    alone, inside = words_of(["word"]), words_of(["café 中 word, and", "x WORD"])
    assert inside.bounds.tolist() == [0, 4, 6]
    assert inside.hashes[2] == inside.hashes[5] == alone.hashes[0]
    assert len(set(inside.hashes.tolist())) == 5


@pytest.mark.parametrize("text", ["word " * 40, "wörd 中文 " * 40, "w" * 95 + " " + "v" * 20])
def test_a_long_text_is_cut_between_words(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    whole = words_of([text, "next one"])
    monkeypatch.setattr(words, "_PIECE_CHARS", 97)
    cut = words_of([text, "next one"])
    assert np.array_equal(cut.hashes, whole.hashes)
    assert np.array_equal(cut.bounds, whole.bounds)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (HELD_OUT, " ".join(WORDS[:13])),
        ("He says: THE QUICK “brown” fox jumps over the lazy dog - and then it sleeps", " ".join(WORDS[:13])),
        ("so " + " ".join(WORDS[2:]) + " at all", " ".join(WORDS[2:15])),
        (" ".join(WORDS[:12]), None),
        (" ".join(WORDS[:12]) + " elsewhere", None),
        (" ".join(WORDS[:6]) + " not " + " ".join(WORDS[6:]), None),
        ("", None),
    ],
)
def test_thirteen_words_in_a_row_are_found_and_twelve_are_not(text: str, found: str | None) -> None:
    assert Contamination([HELD_OUT]).check([text]) == [found]


def test_a_run_crosses_neither_two_candidates_nor_two_held_out_texts() -> None:
    halves = [" ".join(WORDS[:8]), " ".join(WORDS[8:])]
    assert Contamination([HELD_OUT]).check(halves) == [None, None]
    padded = ["one two three four five six seven " + halves[0], halves[1] + " one two three four five six"]
    assert Contamination(padded).check([HELD_OUT]) == [None]


def test_a_short_held_out_text_counts_whole_and_a_phrase_not_at_all() -> None:
    guard = Contamination(["Is this a good question?", "Thank you very much", "", HELD_OUT])
    assert guard.unchecked == 2
    assert guard.check(["I ask: is this a good question, or not", "is this a good", "thank you very much"]) == [
        "is this a good question",
        None,
        None,
    ]


def test_of_two_runs_the_first_is_told_and_of_two_from_one_word_the_longer() -> None:
    guard = Contamination([HELD_OUT, "the quick brown fox jumps", "a b c d e"])
    assert guard.check([f"a b c d e {HELD_OUT}"]) == ["a b c d e"]
    assert guard.check([f"{HELD_OUT} a b c d e"]) == [" ".join(WORDS[:13])]


def test_scripts_without_spaces_count_signs() -> None:
    sentence = "我们在黄昏的时候走过那座桥，然后回家。"
    assert Contamination([sentence]).check(["他说：" + sentence, sentence[:12], "plain"]) == [
        " ".join("我们在黄昏的时候走过那座桥"),
        None,
        None,
    ]


def test_answers_come_in_the_order_of_the_texts_whatever_their_alphabet_and_batch() -> None:
    texts = [f"nothing {i}" + ("é" if i % 3 else "") for i in range(700)]
    for row in (0, 130, 131, 699):
        texts[row] = f"{row} é {HELD_OUT}" if row % 2 else f"{row} {HELD_OUT}"
    shared = Contamination([HELD_OUT]).check(texts)
    assert [row for row, run in enumerate(shared) if run] == [0, 130, 131, 699]


def test_it_travels_to_other_processes() -> None:
    assert pickle.loads(pickle.dumps(Contamination([HELD_OUT]))).check([HELD_OUT, "no"]) == [" ".join(WORDS[:13]), None]


def test_nothing_held_out_and_nothing_to_check() -> None:
    assert Contamination([]).check(["any text"]) == [None]
    assert Contamination([HELD_OUT]).check([]) == []


def test_fewer_than_five_words_are_refused() -> None:
    with pytest.raises(SettingsError, match="n is 4; wanted at least 5"):
        Contamination([HELD_OUT], n=4)


few_words = st.lists(st.sampled_from(["a", "b", "É", "中", "b."]), max_size=14).map(" ".join)


@given(st.lists(few_words, max_size=4), st.lists(few_words, max_size=6), st.integers(5, 7))
def test_a_plain_search_agrees(held_out: list[str], texts: list[str], n: int) -> None:
    assert Contamination(held_out, n).check(texts) == [plain_check(held_out, text, n) for text in texts]


@given(st.lists(few_words, min_size=1, max_size=4), st.lists(few_words, max_size=6))
def test_where_hashes_collide_the_words_decide(held_out: list[str], texts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words, "finalised", lambda hashes: hashes & np.uint64(1))
        assert Contamination(held_out, 5).check(texts) == [plain_check(held_out, text, 5) for text in texts]
