"""Labelled rows: what is read, what is refused, and samples that keep the shares of the classes."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example as such
from hypothesis import given
from hypothesis import strategies as st

from gotd.errors import InputError, SettingsError
from gotd.training.labelled import (
    Columns,
    Example,
    check_classes,
    classes_of,
    documents_of,
    held_out,
    read_examples,
    stratified,
)


def test_labels_may_be_words_numbers_or_truths(write) -> None:
    path = write("t.jsonl", [{"text": "a", "y": "yes"}, {"text": "b", "y": 3}, {"text": "c", "y": False}])
    assert [example.label for example in read_examples(path, Columns("y"), "data")] == ["yes", "3", "False"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "x", "name": "y"}, r't\.jsonl:3: no label in "y"; found "text", "name"\. Pass another --label-field'),
        ({"text": "x", "y": None}, 'no label in "y"'),
        ({"text": "x", "y": ""}, 'no label in "y"'),
        ({"text": "x", "y": [1]}, 'found list in "y", wanted the name or number of a class'),
        ({"text": "x", "y": 0.5}, 'found float in "y"'),
        ({"text": " ", "y": 1}, "blank text"),
    ],
)
def test_a_row_without_a_label_is_named(write, row: dict[str, object], said: str) -> None:
    path = write("t.jsonl", [{"text": "a", "y": 1}, {"text": "b", "y": 0}, row])
    with pytest.raises(InputError, match=said):
        read_examples(path, Columns("y"), "data")


def test_rows_of_a_table_are_counted_after_its_head(tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,y\na,1\nb,\n")
    with pytest.raises(InputError, match=r"t\.csv:3: no label"):
        read_examples(str(path), Columns("y"), "data")


def test_a_pair_wants_both_texts(write) -> None:
    good = {"text": "a", "other": "b", "y": 1}
    assert read_examples(write("g.jsonl", [good]), Columns("y", pair="other"), "data") == [Example("a", "b", "1")]
    with pytest.raises(InputError, match=r'b\.jsonl:2: no second text in "other"; .*--pair-field'):
        read_examples(write("b.jsonl", [good, {"text": "a", "y": 1}]), Columns("y", pair="other"), "data")


def test_classes_are_in_the_order_of_numbers_or_letters() -> None:
    assert classes_of([Example("", None, name) for name in ("10", "9", "-1", "9")], "data") == ["-1", "9", "10"]
    assert classes_of([Example("", None, name) for name in ("b", "10", "a")], "data") == ["10", "a", "b"]
    with pytest.raises(InputError, match="one class only, '1', in 3 examples"):
        classes_of([Example("", None, "1")] * 3, "data")
    with pytest.raises(InputError, match="has 2 examples of class 'c'; the training data has only a, b"):
        check_classes([Example("", None, "c")] * 2, ["a", "b"], "dev data")


def test_shares_of_classes_are_kept() -> None:
    """700 : 250 : 50 of 1000, a hundred of them: 70 : 25 : 5, and another seed takes others."""
    names = ["a"] * 700 + ["b"] * 250 + ["c"] * 50
    examples = [Example(str(i), None, name) for i, name in enumerate(names)]
    chosen, rest = stratified(examples, 100, 0)
    assert Counter(example.label for example in chosen) == {"a": 70, "b": 25, "c": 5}
    assert sorted(chosen + rest, key=lambda example: int(example.text)) == examples
    rare = stratified(examples[:690] + examples[-2:], 3, 0)[0] + stratified([*examples[:50], *examples[-1:]], 2, 0)[0]
    assert Counter(example.label for example in rare) == {"a": 3, "c": 2}
    assert chosen == stratified(examples, 100, 0)[0]
    assert chosen != stratified(examples, 100, 1)[0]


@given(st.lists(st.sampled_from("abcd"), min_size=8, max_size=60), st.integers(0, 3))
def test_what_is_held_out_leaves_every_class_to_train_on(names: list[str], seed: int) -> None:
    examples = [Example(str(i), None, name) for i, name in enumerate(names)]
    judged, rest = held_out(examples, seed)
    assert len(judged) == max(1, round(len(names) / 10))
    assert sorted(judged + rest, key=lambda example: int(example.text)) == examples
    assert {example.label for example in rest} == set(names)


@such(list("aaaaabbc"), 7)  # c has its one in any case; the one that is left over is for b
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(1, 70))
def test_a_sample_has_its_size_and_no_class_is_lost(names: list[str], size: int) -> None:
    examples = [Example(str(i), None, name) for i, name in enumerate(names)]
    chosen, rest = stratified(examples, size, 0)
    assert len(chosen) == min(size, len(examples))
    assert len(chosen) + len(rest) == len(examples)
    if size >= len(set(names)):
        assert {example.label for example in chosen} == set(names)
    exact = Counter(names)
    for name, count in Counter(example.label for example in chosen).items():
        assert abs(count - exact[name] * len(chosen) / len(names)) < len(set(names))


def test_sizes_in_words() -> None:
    assert [documents_of(text) for text in ("5000docs", "1_000", 7, "2,500 examples")] == [5000, 1000, 7, 2500]
    for wrong in ("5%", "0docs", "many"):
        with pytest.raises(SettingsError, match="max-train is"):
            documents_of(wrong)
