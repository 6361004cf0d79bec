"""What a flag or an argument says of targets: paths, weights, names."""

from __future__ import annotations

from pathlib import Path

import pytest

import gotd
from gotd import InputError, SettingsError, Target
from gotd.stages.targets import aims, check_aims, described, inputs_of, listed


@pytest.mark.parametrize(
    ("text", "path", "weight"),
    [
        ("a.jsonl", "a.jsonl", 1),
        ("a.jsonl:2", "a.jsonl", 2),
        ("a.jsonl:0.5", "a.jsonl", 0.5),
        ("a.jsonl:.5", "a.jsonl", 0.5),
        ("a.jsonl:1e-2", "a.jsonl", 0.01),
        ("tasks/*.jsonl:3", "tasks/*.jsonl", 3),
        ("a:2:3", "a:2", 3),
        ("s3://bucket/a.jsonl", "s3://bucket/a.jsonl", 1),
        ("s3://bucket/a.jsonl:2", "s3://bucket/a.jsonl", 2),
        ("s3://bucket/part:2:1", "s3://bucket/part:2", 1),
        ("http://host:8080", "http://host:8080", 1),
        ("http://host:8080/a.jsonl", "http://host:8080/a.jsonl", 1),
        ("http://host:8080/a.jsonl:2", "http://host:8080/a.jsonl", 2),
        ("C:\\data\\a.jsonl", "C:\\data\\a.jsonl", 1),
        ("C:\\data\\a.jsonl:2", "C:\\data\\a.jsonl", 2),
        ("a.jsonl:", "a.jsonl:", 1),
        ("a.jsonl:two", "a.jsonl:two", 1),
        ("a.jsonl:nan", "a.jsonl:nan", 1),
        (":2", ":2", 1),
    ],
)
def test_the_number_after_the_last_colon_is_a_weight(text: str, path: str, weight: float) -> None:
    assert Target.parse(text) == Target(path, weight)


def test_a_file_whose_name_ends_like_a_weight(write) -> None:
    """The name of what is there goes before; its own weight may follow it."""
    path = write("scene:2", [])
    assert Target.parse(path) == Target(path)
    assert Target.parse(f"{path}:3") == Target(path, 3)
    folder = Path(path).parent
    assert Target.parse(f"{folder}:3") == Target(str(folder), 3)


def test_one_letter_before_the_colon_is_a_drive_where_there_are_drives(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Target.parse("c:2") == Target("c", 2)
    monkeypatch.setattr("gotd.stages.targets.os.name", "nt")
    assert Target.parse("c:2") == Target("c:2")


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), "2", None])
def test_a_weight_is_above_nothing(weight: object) -> None:
    with pytest.raises(SettingsError, match=r"the weight of task is .*; wanted a number above 0.* --avoid"):
        Target("tasks/task.jsonl", weight)
    if isinstance(weight, int):
        with pytest.raises(SettingsError, match=f"the weight of task is {float(weight)}; wanted"):
            Target.parse(f"tasks/task.jsonl:{weight}")


@pytest.mark.parametrize(
    ("paths", "name"),
    [
        ("tasks/civil.jsonl.zst", "civil"),
        (Path("tasks/civil.csv"), "civil"),
        (["first.parquet", "second.parquet"], "first"),
        ("tasks/civil/", "civil"),
        ("tasks/civil/*.jsonl", "civil"),
        ("tasks/civil-*.jsonl", "civil"),
        ("s3://bucket/v1.2/civil.jsonl", "civil"),
        ("v1.2", "v1.2"),
        ([], "target"),
    ],
)
def test_a_target_is_called_by_its_path(paths: object, name: str) -> None:
    assert Target(paths).label == name
    assert Target(paths, name="mine").label == "mine"


def test_what_may_be_given(corpora) -> None:
    """Paths are one target, pooled; several are Targets."""
    assert listed("a") == listed(["a"][0]) == [Target("a")]
    assert listed(Path("a")) == [Target(Path("a"))]
    assert listed(["a", "b"]) == [Target(["a", "b"])]
    assert listed(Target("a", 2)) == listed([Target("a", 2)]) == [Target("a", 2)]
    assert listed((Target("a"), Target("b"))) == [Target("a"), Target("b")]
    with pytest.raises(SettingsError, match=r"paths and gotd\.Target in one list; .* Wrap each path"):
        listed([Target("a"), "b"])


def test_names_are_distinct(corpora) -> None:
    one, two = corpora.files
    found = aims([Target(one), Target(one, 2), Target(two, name="first-2")], Target(one, 3))
    assert [(aim.name, aim.weight, aim.avoid) for aim in found] == [
        ("first", 1, False),
        ("first-3", 2, False),
        ("first-2", 1, False),
        ("first-4", -3, True),
    ]
    with pytest.raises(SettingsError, match='two targets are called "x"; wanted a name for each'):
        aims([Target(one, name="x"), Target(two, name="x")])


def test_alone_a_target_says_nothing_of_weights(corpora) -> None:
    """The manifest and the file of the fit are what they are without."""
    (alone,) = aims(Target(corpora.target, 5))
    assert (alone.weight, described([alone])) == (1.0, {})
    found = aims(corpora.target, corpora.other)
    assert described(found) == {
        "targets": [
            {"name": "target", "weight": 1.0, "avoid": False, "files": [corpora.target]},
            {"name": "other", "weight": 1.0, "avoid": True, "files": [corpora.other]},
        ]
    }
    assert {kind: [file.path for file in files] for kind, files in inputs_of(found).items()} == {
        "target": [corpora.target],
        "avoid": [corpora.other],
    }


def test_what_other_methods_cannot_do_is_said(corpora) -> None:
    both = [Target(path) for path in corpora.files]
    check_aims("gotd", aims([Target(corpora.target, 2), *both], corpora.other))
    check_aims("dsir", aims([Target(corpora.target, 2), *both]))
    with pytest.raises(SettingsError, match="method random knows no --avoid"):
        check_aims("random", aims(both, corpora.other))
    for method in ("nearest", "round-robin", "all-target"):
        check_aims(method, aims(both))
        with pytest.raises(SettingsError, match=f"method {method} .* knows no weights; give all targets the same"):
            check_aims(method, aims([Target(corpora.target, 2), *both]))


def test_a_target_that_is_not_there_is_named(corpora, tmp_path: Path) -> None:
    for given in ({"target": Target("absent.jsonl", 2)}, {"target": corpora.target, "avoid": ["absent.jsonl"]}):
        with pytest.raises(InputError, match=r"absent\.jsonl: no such file or folder"):
            gotd.fit(reference=corpora.pool, output=tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()
