"""A folder on disk that says what made it, and whether it is finished.

.lock           held while the stage runs
started.json    what was asked: written first. The same again resumes; anything else is refused
...             the files of the stage
manifest.json   what came of it, with versions and digests: written last. No manifest, not finished
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from gotd.durable import is_text, refusal, settle, sync, temporary
from gotd.errors import ArtifactError
from gotd.locks import LOCK, Lock

MANIFEST = "manifest.json"
STARTED = "started.json"
PARTS_DONE = "parts/*.done.json"
CHECKPOINTS = "checkpoints/**/checkpoint-*"
WORKPLACES = ("parts", ".work", "checkpoints")
_ASKED = {"kind", "settings", "inputs"}
_READ_BY_PEOPLE = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
_COMMAND: ContextVar[tuple[str, Mapping[str, Any]] | None] = ContextVar("command", default=None)
_OPENED: ContextVar[list[Artifact] | None] = ContextVar("opened", default=None)


@dataclass(frozen=True, slots=True)
class Artifact:
    """An output folder of one stage.

    Attributes:
        folder: where it is.
        asked: kind, settings and inputs, as in started.json.
        lock: what keeps other runs out until `finish`; None where all is finished.
    """

    folder: Path
    asked: dict[str, Any]
    lock: Lock | None = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        """16 hex digits that change with any setting or input."""
        return digest(self.asked)

    @property
    def finished(self) -> dict[str, Any] | None:
        """The manifest, once there is one."""
        path = self.folder / MANIFEST
        return read_json(path) if path.exists() else None

    def finish(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Write the manifest, last of all; then what the work needed goes, unless something is to be tried again."""
        kind, config = _COMMAND.get() or (None, None)
        typed = {"config": config} if kind == self.asked["kind"] else {}
        manifest = {**self.asked, "versions": versions(), **found, **typed}
        for path in self.folder.iterdir():
            if path.is_file():
                sync(path)
        write_json(self.folder / MANIFEST, manifest)
        _tidy(self.folder, manifest)
        self.release()
        return manifest

    def held(self) -> Artifact:
        """The same, held by this run: a finished folder, to which more may be added, is not held by itself."""
        return _noted(replace(self, lock=Lock(self.folder)))

    def release(self) -> None:
        """Let other runs in."""
        if self.lock is not None:
            self.lock.release()


@contextmanager
def released_by_errors() -> Iterator[None]:
    """Around a stage: an error that ends it lets go of the folders it opened, though its traceback may live on."""
    opened: list[Artifact] = []
    token = _OPENED.set(opened)
    try:
        yield
    except BaseException:
        for artifact in opened:
            artifact.release()
        raise
    finally:
        _OPENED.reset(token)


def open_artifact(
    folder: Path | str,
    kind: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, Any],
    *,
    overwrite: bool = False,
    rank: int | None = None,
    reads: Iterable[Path | str] = (),
) -> Artifact:
    """Start, resume, or find finished, the folder of a stage; no other run may write there meanwhile.

    A folder made with other settings or inputs is refused, unless nothing in it is finished, as after an error at
    the first step: then it is started anew. One in which shards are in quarantine is unfinished again.

    Args:
        rank: which of several processes that work in the folder together this is.
        inputs: by role, a line for each file: its path and a digest.
        reads: files and folders that the stage is going to read beside its inputs.

    Raises:
        ArtifactError: the folder was made with other settings or inputs, is not gotd's, or another run writes there;
            or `overwrite` would delete what the stage reads.
    """
    path = Path(folder)
    if not is_text(str(path)):
        raise ArtifactError(
            f"{str(path)!a}: the name is not UTF-8. Choose another, or set a UTF-8 locale (PYTHONUTF8=1)"
        )
    if ":" in str(path) and not path.is_absolute():  # Arrow takes it for a URI
        raise ArtifactError(f"{path}: a relative name with a colon. Choose another, or give the whole path")
    told = {"kind": kind, "settings": dict(settings), "inputs": dict(inputs)}
    asked = orjson.loads(orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY))
    if path.exists() and not path.is_dir():
        raise ArtifactError(f"{path} is a file; wanted a folder. Choose an empty or new one")
    # Listed first: another rank may begin the folder between the two looks.
    found = list(path.iterdir()) if path.exists() else []
    if not all(_is_early(file.name) for file in found) and _earlier(path) is None:
        raise ArtifactError(f"{path} holds files that gotd did not make; choose an empty or new folder")
    if overwrite:
        _check_apart(path, [*reads, *paths_in(inputs)])
    elif _is_whole(path, asked):
        return Artifact(path, asked)
    try:
        path.mkdir(parents=True, exist_ok=True)
        artifact = Artifact(path, asked, Lock(path, rank))
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        _begin(artifact, overwrite=overwrite, alone=rank is None)
    except OSError as error:
        artifact.release()
        raise _unwritable(path, error) from error
    except BaseException:
        artifact.release()
        raise
    return _noted(artifact)


def _noted(artifact: Artifact) -> Artifact:
    """For `released_by_errors` around the stage, if it is."""
    if (opened := _OPENED.get()) is not None:
        opened.append(artifact)
    return artifact


def _begin(artifact: Artifact, *, overwrite: bool, alone: bool) -> None:
    """What was there before is looked at under the lock: a run that ended just now counts."""
    path, asked = artifact.folder, artifact.asked
    earlier = _earlier(path)
    if overwrite and earlier is not None:
        # What says whose the folder is goes last: stopped within, the same command finds it.
        for found in sorted(path.iterdir(), key=lambda found: found.name in (MANIFEST, STARTED)):
            if not found.name.startswith(LOCK):
                shutil.rmtree(found) if found.is_dir() and not found.is_symlink() else found.unlink()
        earlier = None
    if earlier is None or not _is_of(earlier, asked):
        if earlier is not None and _is_begun(path, earlier, asked["kind"]):
            change = _difference(earlier, asked)
            raise ArtifactError(f"{path} was made otherwise: {change}. Pass --overwrite, or another --output")
        write_json(path / STARTED, asked)
    if alone:
        _sweep(path)
    if artifact.finished is None:
        return
    if artifact.finished.get("quarantined"):
        write_json(path / STARTED, asked)
        (path / MANIFEST).unlink()
    else:
        _tidy(path, artifact.finished)
        artifact.release()


def paths_in(inputs: Mapping[str, Sequence[str]]) -> list[str]:
    """The files and folders that the lines of inputs name; a line without a path names none that is there."""
    return [re.sub("( (sha256:)?[0-9a-f]{8,})+$", "", line) for lines in inputs.values() for line in lines]


def _check_apart(folder: Path, reads: Iterable[Path | str]) -> None:
    """ArtifactError where what is read lies in the folder that would be emptied first."""
    for one in reads:
        if os.path.exists(one) and Path(one).resolve().is_relative_to(folder.resolve()):
            raise ArtifactError(f"--overwrite would delete {one}, which is to be read; pass another --output")


def _is_early(name: str) -> bool:
    """What a run that was killed at its very beginning leaves."""
    return name.startswith(LOCK) or (name.startswith(f".{STARTED}.") and name.endswith(".tmp"))


def _is_whole(folder: Path, asked: Mapping[str, Any]) -> bool:
    """Whether all is done, so that there is nothing to hold a lock for, nor to write."""
    earlier = _earlier(folder)
    if earlier is None or not (folder / MANIFEST).exists() or not _is_of(earlier, asked):
        return False
    return not earlier.get("quarantined") and not any((folder / left).exists() for left in (STARTED, *WORKPLACES))


def _tidy(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Once there is a manifest: what the work needed and the result does not."""
    (folder / STARTED).unlink(missing_ok=True)
    if not manifest.get("quarantined"):
        for name in WORKPLACES:
            shutil.rmtree(folder / name, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Half-written files of a run that was killed."""
    for left in (*folder.glob(".*.tmp"), *folder.glob("*/.*.tmp")):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _unwritable(path: Path, error: OSError) -> ArtifactError:
    return refusal(error, path) or ArtifactError(f"cannot write to {path}: {error.strerror}; choose another folder")


@contextmanager
def recorded(kind: str, config: Mapping[str, Any]) -> Iterator[None]:
    """Within the block, a manifest of this kind holds `config` too: each flag of the command that makes it."""
    token = _COMMAND.set((kind, config))
    try:
        yield
    finally:
        _COMMAND.reset(token)


def load_manifest(folder: Path | str, kind: str) -> dict[str, Any]:
    """The manifest of a finished artifact of this kind.

    Raises:
        ArtifactError: there is none, or it is of another kind.
    """
    path = Path(folder) / MANIFEST
    if not path.exists():
        if not path.parent.is_dir():
            raise ArtifactError(f"{folder}: no such folder; wanted one made by {_made_by(kind)}")
        state = "is unfinished; run its command again" if (Path(folder) / STARTED).exists() else "has none"
        raise ArtifactError(f"{folder}: wanted the {MANIFEST} of `gotd {kind}`; the folder {state}")
    manifest = read_json(path)
    if manifest.get("kind") != kind:
        raise ArtifactError(f"{folder} was made by `gotd {manifest.get('kind')}`; wanted one made by `gotd {kind}`")
    return manifest


def kind_of(folder: Path | str) -> str | None:
    """The command that made a finished folder; None where there is no manifest."""
    path = Path(folder) / MANIFEST
    return read_json(path).get("kind") if path.is_file() else None


def _made_by(kind: str) -> str:
    """The commands that leave such a folder."""
    return "`gotd select` or `gotd choose`" if kind in ("select", "choose") else f"`gotd {kind}`"


def _earlier(folder: Path) -> dict[str, Any] | None:
    """What the folder was made with; None if it says nothing, or says it in another tool's words."""
    for name in (MANIFEST, STARTED):
        if (folder / name).exists():
            found = read_json(folder / name)
            return found if found.keys() >= _ASKED else None
    return None


def _is_of(earlier: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    return all(earlier[name] == asked[name] for name in _ASKED)


def _is_begun(folder: Path, earlier: Mapping[str, Any], kind: str) -> bool:
    """Whether anything in the folder is worth keeping: a manifest, a finished part, another stage's files."""
    worth = any(any(folder.glob(kept)) for kept in (MANIFEST, PARTS_DONE, CHECKPOINTS))
    return worth or earlier["kind"] != kind


def _difference(earlier: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    if earlier.get("kind") != asked["kind"]:
        return f"by `gotd {earlier.get('kind')}`, not `gotd {asked['kind']}`"
    for part in ("settings", "inputs"):
        then, now = earlier.get(part, {}), asked[part]
        for name in [*now, *then]:
            if then.get(name) != now.get(name):
                if part == "inputs":
                    return f"the files of {name} differ"
                return _change(name, then.get(name), now.get(name))
    return "its record differs"


def _change(name: str, then: Any, now: Any) -> str:
    """What changed, of a table of settings the first that did."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in [*now, *then]:
            if then.get(key) != now.get(key):
                return _change(f"{key} of {name}", then.get(key), now.get(key))
    return f"{name} was {then!r} and is now {now!r}"


def digest(value: Any) -> str:
    """16 hex digits of anything JSON can hold, whatever the order of its keys."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def read_json(path: Path) -> dict[str, Any]:
    try:
        found = orjson.loads(path.read_bytes())
    except (orjson.JSONDecodeError, OSError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); make the folder again") from error
    if not isinstance(found, dict):
        raise ArtifactError(f"{path} holds no JSON object; make the folder again")
    return found


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all: a temporary file, flushed to disk, then renamed."""
    written = temporary(path)
    try:
        written.write_bytes(orjson.dumps(value, option=_READ_BY_PEOPLE) + b"\n")
        settle(written, path)
    finally:
        written.unlink(missing_ok=True)


def versions(
    packages: Iterable[str] = ("gotd", "torch", "numpy", "scikit-learn", "pyarrow"),
) -> dict[str, str]:
    """Versions of Python and of what the figures depend on."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
