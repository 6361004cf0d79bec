"""Duplicates: what is dropped is similar enough, what stays is not, and the first of a kind stays."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gotd.errors import SettingsError
from gotd.selection import duplicates
from gotd.selection.duplicates import MISSED, Deduplicator, Duplicate, Mode, _Near, banding, shingles
from gotd.selection.words import words_of

HUNDRED = [f"w{i}" for i in range(100)]


def changed(words: list[str], *places: int) -> str:
    return " ".join(f"new{i}" if i in places else word for i, word in enumerate(words))


def plain_shingles(text: str) -> set[object]:
    words = text.split()
    if len(words) < 5:
        return {frozenset(words)} if words else set()
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def jaccard(one: str, other: str) -> float:
    a, b = plain_shingles(one), plain_shingles(other)
    return len(a & b) / len(a | b) if a | b else float(one == other)


def offered(texts: list[str], mode: Mode = "near", threshold: float = 0.7) -> list[Duplicate | None]:
    deduplicator = Deduplicator(mode, threshold)
    return [deduplicator.offer(str(number), text) for number, text in enumerate(texts)]


def stays(texts: list[str], mode: Mode = "near", threshold: float = 0.7) -> list[int]:
    return [number for number, found in enumerate(offered(texts, mode, threshold)) if found is None]


@pytest.mark.parametrize("mode", ["exact", "near"])
@pytest.mark.parametrize(
    "text", ["one  two\nthree four FIVE six\t", " one two three four ﬁve six", "ＯＮＥ two three four five six"]
)
def test_whitespace_case_and_compatibility_forms_make_no_difference(mode: Mode, text: str) -> None:
    assert offered(["one two three four five six", text], mode)[1] == Duplicate("1", "0", 1.0)


def test_exact_keeps_what_differs_by_a_sign_and_near_does_not() -> None:
    texts = ["one two three four five six", "one two three four five, six!"]
    assert stays(texts, "exact") == [0, 1]
    assert stays(texts, "near") == [0]


def test_off_keeps_all() -> None:
    deduplicator = Deduplicator("off")
    assert [deduplicator.offer(id, "the same") for id in "abc"] == [None] * 3


def test_the_similarity_is_the_jaccard_of_the_shingles_and_the_threshold_belongs_to_the_duplicates() -> None:
    """One word of a hundred, in the middle, is in 5 of 96 shingles: 91 shared of 101."""
    texts = [" ".join(HUNDRED), changed(HUNDRED, 50)]
    assert offered(texts, threshold=91 / 101) == [None, Duplicate("1", "0", 91 / 101)]
    assert offered(texts, threshold=91 / 101 + 1e-9) == [None, None]


@pytest.mark.parametrize("order", [1, -1])
def test_a_part_is_compared_with_its_whole_without_rounding(order: int) -> None:
    """11 of 20 shingles; in floating point 20 * 0.55 is 11.000000000000002."""
    texts = [" ".join(HUNDRED[:24]), " ".join(HUNDRED[:15])][::order]
    assert offered(texts, threshold=0.55) == [None, Duplicate("1", "0", 0.55)]


def test_the_first_of_a_kind_stays_and_the_most_similar_survivor_is_named() -> None:
    far = changed(HUNDRED, 20, 30, 40, 50)
    near = changed(HUNDRED, 20)
    found = offered([far, near, " ".join(HUNDRED), far], threshold=0.75)
    assert found == [None, None, Duplicate("2", "1", 91 / 101), Duplicate("3", "0", 1.0)]


def test_of_equally_similar_survivors_the_first_is_named() -> None:
    texts = [changed(HUNDRED, 20), changed(HUNDRED, 80), " ".join(HUNDRED)]
    assert offered(texts, threshold=0.85) == [None, None, Duplicate("2", "0", 91 / 101)]


def test_a_dropped_text_stands_for_nothing() -> None:
    """A ~ B ~ C, yet A and C are not alike: C stays."""
    a, b, c = " ".join(HUNDRED), changed(HUNDRED, 20, 30), changed(HUNDRED, 20, 30, 40, 50)
    assert stays([a, b, c], threshold=0.8) == [0, 2]
    assert stays([b, a, c], threshold=0.8) == [0]


def test_texts_of_fewer_than_five_words_are_compared_as_sets_of_words() -> None:
    texts = ["Yes, it is!", "is it yes", "it is is yes", "it is", "yes it is so fine", "!!!", "???", "!!!", "", " "]
    assert stays(texts) == [0, 3, 4, 5, 6, 8]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("我们在黄昏的时候走过那座桥然后回家吃饭睡觉", "我们在黄昏的时候走过那座桥，然后回家吃饭睡觉。", True),
        ("我们在黄昏的时候走过那座桥", "他们在清晨的市场里买了许多新鲜的水果", False),
        ("यह एक बहुत अच्छा दिन था", "यह एक बहुत अच्छा दिन था।", True),
        ("الكتاب على الطاولة الكبيرة في الغرفة", "الكتاب على الطاولة الكبيرة في البيت", False),
    ],
)
def test_any_script(one: str, other: str, same: bool) -> None:
    assert stays([one, other]) == ([0] if same else [0, 1])


few_words = st.lists(st.sampled_from("abc"), max_size=9).map(" ".join)


@given(st.lists(few_words, max_size=12), st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9, 1.0]))
def test_every_drop_is_right_and_no_two_that_stay_are_alike(texts: list[str], threshold: float) -> None:
    found = offered(texts, threshold=threshold)
    kept = [number for number, duplicate in enumerate(found) if duplicate is None]
    for number, duplicate in enumerate(found):
        before = [jaccard(texts[number], texts[other]) for other in kept if other < number]
        if duplicate is None:
            assert all(similarity < threshold for similarity in before)
        else:
            assert duplicate.similarity == max(before) >= threshold
            assert duplicate.survivor == str(kept[before.index(max(before))])


@given(st.lists(few_words, max_size=12))
def test_exact_drops_equal_texts_and_no_others(texts: list[str]) -> None:
    plain = [" ".join(text.split()) for text in texts]
    assert stays(texts, "exact") == [number for number, text in enumerate(plain) if text not in plain[:number]]


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0])
def test_bands_miss_one_in_ten_thousand_at_the_threshold(threshold: float) -> None:
    bands, rows = banding(threshold)
    assert (1 - threshold**rows) ** bands <= MISSED
    assert bands * rows <= 256


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 0.95, 0.99])
def test_of_pairs_at_a_tenth_of_the_threshold_less_than_a_tenth_meet(threshold: float) -> None:
    bands, rows = banding(threshold)
    assert 1 - (1 - (threshold / 10) ** rows) ** bands < 0.1


def test_signatures_collide_as_often_as_their_sets_are_similar() -> None:
    """Broder 1997: a minimum agrees with probability J; 4000 of them lie within 4 standard deviations."""
    near = _Near(0.7)
    bands, rows = banding(0.7)
    generator = random.Random(0)
    met = total = 0
    for _ in range(200):
        words = [str(generator.random())[2:] for _ in range(104)]
        one, other = shingles(words_of([" ".join(words)])), shingles(words_of([changed(words, 20, 50, 80)]))
        met += sum(a == b for a, b in zip(near._keys(one), near._keys(other)))
        total += bands
    chance = (85 / 115) ** rows
    assert abs(met / total - chance) < 4 * (chance * (1 - chance) / total) ** 0.5


def test_pairs_just_above_the_threshold_are_found() -> None:
    generator = random.Random(1)
    originals = [[str(generator.random())[2:] for _ in range(104)] for _ in range(1000)]
    copies = [changed(words, 20, 50, 80) for words in originals]
    assert jaccard(" ".join(originals[0]), copies[0]) == 85 / 115
    found = offered([" ".join(words) for words in originals] + copies, threshold=0.73)
    assert all(duplicate is None for duplicate in found[:1000])
    assert [duplicate.survivor for duplicate in found[1000:] if duplicate] == [str(i) for i in range(1000)]


def test_boilerplate_fills_no_band_and_hides_no_duplicate() -> None:
    generator = random.Random(2)
    texts = [" ".join(HUNDRED + [str(generator.random())[2:] for _ in range(60)]) for _ in range(300)]
    deduplicator = Deduplicator()
    assert [deduplicator.offer(str(number), text) for number, text in enumerate(texts)] == [None] * 300
    assert deduplicator._near is not None
    assert max(map(len, deduplicator._near._others.values())) == duplicates._FULL
    for number in range(300):
        found = deduplicator.offer("copy", changed(texts[number].split(), 50, 150))
        assert found is not None
        assert found.survivor == str(number)


def test_a_long_text_meets_the_hash_functions_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    near, long = _Near(0.7), shingles(words_of([" ".join(map(str, range(500)))]))
    whole = near._keys(long)
    monkeypatch.setattr(duplicates, "_CHUNK", 7)
    assert near._keys(long) == whole


def test_the_same_bands_on_every_platform() -> None:
    keys = _Near(0.7)._keys(shingles(words_of(["one two three four five six seven"])))
    assert keys[:2] == [16667996132141127048, 3115191992000076366]


def test_shingles_are_distinct_and_ascending() -> None:
    found = shingles(words_of(["a b c d e " * 3]))
    assert len(found) == 5
    assert (np.diff(found.astype(object)) > 0).all()


@pytest.mark.parametrize("threshold", [0, 0.09, 1.01, float("nan")])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(SettingsError, match=r"wanted 0\.1 to 1"):
        Deduplicator("near", threshold)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(SettingsError, match='duplicates are "fuzzy"; wanted exact, near, off'):
        Deduplicator("fuzzy")  # type: ignore[arg-type]
