"""A folder says what made it: the same again resumes, anything else is refused."""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest

from gotd import artifacts
from gotd.artifacts import (
    MANIFEST,
    STARTED,
    Artifact,
    digest,
    load_manifest,
    open_artifact,
    read_json,
    recorded,
    released_by_errors,
    versions,
    write_json,
)
from gotd.errors import ArtifactError
from gotd.locks import LOCK, Lock

SETTINGS = {"reg": 0.1, "seed": 0}
INPUTS = {"target": ["/t.jsonl sha256:1"]}


def opened(folder: Path, overwrite: bool = False, **settings: object) -> Artifact:
    return open_artifact(folder, "fit", {**SETTINGS, **settings}, INPUTS, overwrite=overwrite)


def test_started_first_and_manifest_last(tmp_path: Path) -> None:
    artifact = opened(tmp_path / "a" / "b")
    assert {path.name for path in artifact.folder.iterdir()} == {LOCK, STARTED}
    assert artifact.finished is None
    manifest = artifact.finish({"counts": {"read": 3}})
    assert [path.name for path in artifact.folder.iterdir()] == [MANIFEST]
    assert artifact.finished == manifest == load_manifest(artifact.folder, "fit")
    assert {"kind": "fit", "settings": SETTINGS, "inputs": INPUTS, "counts": {"read": 3}}.items() <= manifest.items()
    assert manifest["versions"].keys() >= {"python", "gotd", "torch"}


def test_the_same_again_finds_it_finished(tmp_path: Path) -> None:
    opened(tmp_path).finish({"n": 1})
    again = opened(tmp_path)
    assert again.finished is not None
    assert again.finished["n"] == 1


def test_a_folder_whose_name_cannot_be_written_down(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"caf\\udce9': the name is not UTF-8. Choose another"):
        open_artifact(tmp_path / "caf\udce9", "fit", SETTINGS, INPUTS)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="nix: no such folder; wanted one made by `gotd fit`"):
        load_manifest(tmp_path / "nix", "fit")


def test_the_key_changes_with_any_setting_or_input(tmp_path: Path) -> None:
    asked = [
        open_artifact(tmp_path / "1", "fit", SETTINGS, INPUTS),
        open_artifact(tmp_path / "2", "fit", {**SETTINGS, "reg": 0.2}, INPUTS),
        open_artifact(tmp_path / "3", "fit", SETTINGS, {"target": ["/t.jsonl sha256:2"]}),
        open_artifact(tmp_path / "4", "score", SETTINGS, INPUTS),
    ]
    assert len({artifact.key for artifact in asked}) == 4
    assert open_artifact(tmp_path / "5", "fit", dict(reversed(SETTINGS.items())), INPUTS).key == asked[0].key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reg": 0.2}, r"reg was 0\.1 and is now 0\.2\. Pass --overwrite, or another --output"),
        ({"added": 1}, "added was None and is now 1"),
    ],
)
def test_other_settings_are_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    opened(tmp_path).finish({})
    with pytest.raises(ArtifactError, match=message):
        opened(tmp_path, **change)


def test_a_setting_that_is_gone_is_named(tmp_path: Path) -> None:
    opened(tmp_path, old=7).finish({})
    with pytest.raises(ArtifactError, match="old was 7 and is now None"):
        opened(tmp_path)


def test_other_inputs_and_kinds_are_refused(tmp_path: Path) -> None:
    opened(tmp_path).finish({})
    with pytest.raises(ArtifactError, match="the files of target differ"):
        open_artifact(tmp_path, "fit", SETTINGS, {"target": ["/t.jsonl sha256:2"]})
    with pytest.raises(ArtifactError, match="by `gotd fit`, not `gotd score`"):
        open_artifact(tmp_path, "score", SETTINGS, INPUTS)


def test_finished_parts_are_not_given_up_for_other_settings(tmp_path: Path) -> None:
    """Nor is a folder of another kind; what holds nothing finished is started anew."""
    opened(tmp_path)
    again = opened(tmp_path, reg=0.3)
    assert read_json(tmp_path / STARTED) == again.asked
    with pytest.raises(ArtifactError, match="by `gotd fit`, not `gotd score`"):
        open_artifact(tmp_path, "score", SETTINGS, INPUTS)
    (tmp_path / "parts").mkdir()
    write_json(tmp_path / "parts" / "00000.done.json", {})
    with pytest.raises(ArtifactError, match=r"reg was 0\.3 and is now 0\.1"):
        opened(tmp_path)


def test_overwrite_starts_from_nothing(tmp_path: Path) -> None:
    opened(tmp_path).finish({})
    (tmp_path / "left").write_text("over")
    artifact = opened(tmp_path, overwrite=True, reg=0.2)
    assert artifact.finished is None
    assert {path.name for path in tmp_path.iterdir()} == {LOCK, STARTED}


def test_a_finished_folder_that_is_held_is_let_go_by_an_error(tmp_path: Path) -> None:
    opened(tmp_path).finish({})
    kept = []

    @released_by_errors()
    def adding(other: Executor) -> None:
        kept.append(opened(tmp_path).held())
        with pytest.raises(ArtifactError, match="is being written by another run"):
            other.submit(Lock, tmp_path).result()
        raise KeyError(1)

    with ThreadPoolExecutor(1) as other:
        with pytest.raises(KeyError, match="1"):
            adding(other)
        other.submit(Lock, tmp_path).result().release()


def test_overwrite_deletes_nothing_that_is_to_be_read(tmp_path: Path) -> None:
    out = tmp_path / "out"
    opened(out).finish({})
    before = {path.name for path in out.iterdir()}
    (tmp_path / "link").symlink_to(out)
    for read in (out, out / MANIFEST, tmp_path / "link" / MANIFEST):
        with pytest.raises(ArtifactError, match=f"--overwrite would delete {read}, which is to be read; pass another"):
            open_artifact(out, "choose", SETTINGS, INPUTS, overwrite=True, reads=[read])
        assert {path.name for path in out.iterdir()} == before
        with pytest.raises(ArtifactError, match="which is to be read"):
            open_artifact(out, "choose", SETTINGS, {"pool": [f"{read} sha256:{'0' * 64}"]}, overwrite=True)
    open_artifact(out, "choose", SETTINGS, INPUTS, overwrite=True, reads=["s3://bucket/pool.jsonl", "lsa", tmp_path])


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["thesis.tex", MANIFEST, STARTED])
def test_files_of_others_are_left_alone(name: str, overwrite: bool, tmp_path: Path) -> None:
    """Other tools write a manifest.json too, and --overwrite is no leave to delete those."""
    (tmp_path / name).write_text('{"name": "my web page", "version": 2}')
    with pytest.raises(ArtifactError, match="holds files that gotd did not make; choose an empty or new folder"):
        opened(tmp_path, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == '{"name": "my web page", "version": 2}'


def test_what_a_kill_left_half_written_goes_unless_others_are_at_work(tmp_path: Path) -> None:
    opened(tmp_path).release()
    half = [
        tmp_path / ".scores.parquet.1f.tmp",
        tmp_path / "parts" / ".00001.2e.tmp" / "00001.parquet",
        tmp_path / "data" / ".train.jsonl.3d.tmp",
    ]
    for path in half:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    open_artifact(tmp_path, "fit", SETTINGS, INPUTS, rank=3).release()
    assert all(path.exists() for path in half)
    opened(tmp_path)
    assert not any(path.exists() for path in half)
    assert list((tmp_path / "parts").iterdir()) == []


def test_a_run_killed_at_its_very_beginning_leaves_a_folder_that_will_do(tmp_path: Path) -> None:
    """Before started.json has its name."""
    (tmp_path / LOCK).touch()
    (tmp_path / f".{STARTED}.0123abcd.tmp").write_text('{"ki')
    opened(tmp_path).release()
    assert [path.name for path in tmp_path.iterdir()] == [STARTED]


def test_ranks_may_begin_a_folder_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One begins it between two looks of another."""
    look, others = artifacts._earlier, []

    def slowly(folder: Path) -> dict[str, Any] | None:
        found = look(folder)
        if not others:
            others.append(None)
            others.append(open_artifact(folder, "score", SETTINGS, INPUTS, rank=1))
            (folder / "parts").mkdir()
        return found

    monkeypatch.setattr(artifacts, "_earlier", slowly)
    mine = open_artifact(tmp_path / "a", "score", SETTINGS, INPUTS, rank=0)
    assert mine == others[1]


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    assert opened(tmp_path).finished is None


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(ArtifactError, match="out is a file; wanted a folder"):
            opened(path, overwrite=overwrite)
    with pytest.raises(ArtifactError, match=r"cannot write to .*below: Not a directory; choose another folder"):
        opened(path / "below")
    assert path.read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, value: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("gotd.artifacts.write_json", refuse)
    with pytest.raises(ArtifactError, match=r"out: Permission denied\. Mend its rights, or choose another folder"):
        opened(tmp_path / "out")


def test_load_manifest_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"wanted the manifest\.json of `gotd fit`; the folder has none"):
        load_manifest(tmp_path, "fit")
    opened(tmp_path)
    with pytest.raises(ArtifactError, match="the folder is unfinished; run its command again"):
        load_manifest(tmp_path, "fit")
    opened(tmp_path).finish({})
    with pytest.raises(ArtifactError, match="was made by `gotd fit`; wanted one made by `gotd score`"):
        load_manifest(tmp_path, "score")


@pytest.mark.parametrize(("content", "message"), [(b'{"a": ', "cannot be read"), (b"[1]", "holds no JSON object")])
def test_a_damaged_manifest_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(ArtifactError, match=message):
        load_manifest(tmp_path, "fit")
    with pytest.raises(ArtifactError, match=message):
        opened(tmp_path)


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert orjson.loads(path.read_bytes()) == {"a": 1}


def test_digest_looks_at_values_not_at_order() -> None:
    assert digest({"a": 1, "b": [2, 3]}) == digest({"b": [2, 3], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert len(digest(None)) == 16


def test_versions_name_what_is_absent() -> None:
    assert versions(["no-such-package"])["no-such-package"] == "absent"


def test_a_manifest_holds_the_flags_of_the_command_that_makes_it_and_of_no_other(tmp_path: Path) -> None:
    """As `gotd demo` runs `select` within it: its flags are not those of the selection."""
    with recorded("select", {"seed": 1}):
        made = open_artifact(tmp_path / "a", "select", {}, {}).finish({})
        within = open_artifact(tmp_path / "b", "fit", {}, {}).finish({})
    after = open_artifact(tmp_path / "c", "select", {}, {}).finish({})
    assert made["config"] == {"seed": 1}
    assert "config" not in within
    assert "config" not in after
