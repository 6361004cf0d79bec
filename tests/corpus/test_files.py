"""Which files an input names, how they are cut, and what is said when there are none."""

from __future__ import annotations

import errno
import gzip
import os
import time
from hashlib import sha256
from pathlib import Path

import fsspec
import pytest

import gotd.corpus
from gotd.corpus import Fields, find, plan, read
from gotd.errors import InputError, MissingExtra, SettingsError

LINE = b'{"text": "words"}\n'


@pytest.fixture
def folder(tmp_path):
    for name in ("b.jsonl", "a.ndjson", "deep/c.txt", "README.md", ".cache/d.jsonl", "deep/.e.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(LINE)
    return tmp_path


def test_a_name_that_is_not_utf8(tmp_path):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jsonl")
    with open(odd, "wb") as file:
        file.write(LINE)
    with pytest.raises(InputError, match=r"caf\\udce9\.jsonl': the name is not UTF-8. Rename it"):
        find(tmp_path)


def names(files):
    return [os.path.basename(file.path) for file in files]


def test_folders_globs_and_files_sorted_and_once(folder):
    assert names(find([str(folder)])) == ["a.ndjson", "b.jsonl", "c.txt"]
    assert names(find([str(folder / "*.jsonl"), str(folder / "b.jsonl"), str(folder)])) == names(find([str(folder)]))
    assert names(find([str(folder / "**" / "*.txt")])) == ["c.txt"]
    assert names(find([str(folder / "*")])) == ["a.ndjson", "b.jsonl", "c.txt"]


@pytest.mark.parametrize("name", ["x.jsonl.xz", "deep/x.CSV.bz2", "x.json.zip", "x.parquet.gz"])
def test_texts_in_another_compression_are_not_passed_over(folder, name):
    (folder / name).write_bytes(b"packed")
    for given in (folder, folder / "**" / "*"):
        with pytest.raises(
            InputError, match=rf"{name}: texts in a compression that gotd does not read; wanted .*\.zst"
        ):
            find(given)
    assert names(find(folder / "*.jsonl")) == ["b.jsonl"]


@pytest.mark.parametrize("name", ["notes.zip", "x.jsonl.part", "x.jsonl.md5", ".x.jsonl.xz", "x.xz"])
def test_what_may_stand_beside_texts_is_passed_over(folder, name):
    (folder / name).write_bytes(b"packed")
    assert names(find(folder)) == ["a.ndjson", "b.jsonl", "c.txt"]


def test_a_hidden_folder_that_is_named_is_read(folder):
    assert names(find([str(folder / ".cache")])) == ["d.jsonl"]
    assert names(find([str(folder / ".cache" / "*.jsonl")])) == ["d.jsonl"]


def test_relative_paths_become_absolute(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert find(["b.jsonl"])[0].path == str(folder / "b.jsonl")


def test_a_name_that_looks_like_a_glob(tmp_path):
    (tmp_path / "a[1].jsonl").write_bytes(LINE)
    assert names(find([str(tmp_path / "a[1].jsonl")])) == ["a[1].jsonl"]


def test_a_folder_whose_name_looks_like_a_glob(tmp_path, monkeypatch):
    """A glob in it, or one that is relative to it, means the folder itself."""
    folder = tmp_path / "run[1]" / ".hidden"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_bytes(LINE)
    assert names(find([folder / "*.jsonl"])) == ["a.jsonl"]
    monkeypatch.chdir(folder)
    assert names(find(["*.jsonl"])) == names(find(["../.hidden/*"])) == names(find(["[a-c].jsonl"])) == ["a.jsonl"]


def test_folders_behind_links_are_read_once(tmp_path):
    """As globs read them; a link that leads back is no second folder."""
    for name in ("pool", "disk2/more"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "disk2" / "more" / "b.jsonl").write_bytes(LINE)
    (tmp_path / "pool" / "more").symlink_to(tmp_path / "disk2")
    (tmp_path / "disk2" / "back").symlink_to(tmp_path / "pool")
    assert names(find(tmp_path / "pool")) == names(find(tmp_path / "pool" / "*")) == ["b.jsonl"]
    assert names(find(tmp_path)) == ["b.jsonl"]


def test_what_cannot_be_looked_at_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "gone.jsonl")
    with pytest.raises(InputError, match=r"a\.jsonl: cannot be opened \(No such file or directory\)\. Check path"):
        find(tmp_path)
    shut = tmp_path / "shut"
    shut.mkdir()
    look = os.scandir

    def refused(path):
        if path == str(shut):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return look(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(InputError, match=r"shut: cannot be opened \(Permission denied\)\. Check path and rights"):
        find(tmp_path)


def test_an_empty_path_is_not_this_folder():
    """What a shell makes of a variable that is not set."""
    with pytest.raises(InputError, match=r"an empty path names no file; .* Is a variable unset\?"):
        find(["", "a.jsonl"])


NAMES = [
    ("wiki.jsonl.zst", "wiki", "jsonl", "zst"),
    ("wiki.v1.JSONL.GZ", "wiki.v1", "jsonl", "gz"),
    ("wiki.json", "wiki", "jsonl", None),
    ("wiki.parquet", "wiki", "parquet", None),
    ("wiki.csv.gz", "wiki", "csv", "gz"),
    ("wiki.tsv", "wiki", "tsv", None),
    ("wiki.txt.zst", "wiki", "txt", "zst"),
]


@pytest.mark.parametrize(("name", "source", "form", "compression"), NAMES)
def test_formats(make, name, source, form, compression):
    file = make(name, b"")
    assert (file.source, file.format, file.compression, file.bytes) == (source, form, compression, 0)


def test_digests(make):
    file = make("a.jsonl", LINE)
    assert file.digest == f"sha256:{sha256(LINE).hexdigest()}"
    assert find([file.path], digest=False)[0].digest == ""


def test_a_settled_file_is_read_once_and_a_changed_one_again(make, monkeypatch):
    path = make("a.jsonl", LINE).path
    os.utime(path, ns=(10**18, 10**18))
    first = find([path])[0].digest
    with monkeypatch.context() as patch:
        patch.setattr("gotd.corpus.files.open_raw", None)
        assert find([path])[0].digest == first
    # As long, and at one time as far as the file system tells, which was just now.
    now = time.time_ns()
    for content in (LINE[::-1], LINE):
        Path(path).write_bytes(content)
        os.utime(path, ns=(now, now))
        assert find([path])[0].digest == f"sha256:{sha256(content).hexdigest()}"


def test_remote_files():
    system = fsspec.filesystem("memory")
    system.pipe({"/pool/a.jsonl": LINE * 3, "/pool/b.jsonl.gz": gzip.compress(LINE), "/pool/c.md": b""})
    try:
        files = find(["memory://pool"])
        assert [file.path for file in files] == ["memory:///pool/a.jsonl", "memory:///pool/b.jsonl.gz"]
        assert find(["memory://pool/*.jsonl"]) == files[:1]
        assert find(["memory://pool/a.jsonl"]) == files[:1]
        system.pipe({"/pool/a[1].jsonl": LINE, "/pool/a?.jsonl": LINE, "/pool/ab.jsonl": LINE})
        for name in ("a[1].jsonl", "a?.jsonl"):
            assert [file.path for file in find([f"memory://pool/{name}"])] == [f"memory:///pool/{name}"]
        assert files[0].digest.startswith("ukey:")
        assert (files[0].source, files[0].bytes) == ("a", 3 * len(LINE))
        items = [item for shard in plan(files, Fields(), 10) for item in read(shard, Fields())]
        assert [item.text for item in items] == ["words"] * 4
    finally:
        system.rm("/pool", recursive=True)


FAULTS = [
    ("nothing.jsonl", InputError, r"nothing\.jsonl: no such file or folder\. Check the path"),
    ("*.csv", InputError, r"\*\.csv: holds no file to read \(0 of other kinds\); wanted \.jsonl"),
    ("docs", InputError, r"docs: holds no file to read \(1 of other kinds\); wanted \.jsonl"),
    (
        "docs/README.md",
        InputError,
        r"README\.md: unknown suffix; wanted one of \.jsonl, .*Rename or convert it",
    ),
    ("nosuch://x/y.jsonl", SettingsError, "nosuch://x/y.jsonl: Protocol not known"),
]


@pytest.mark.parametrize(("given", "kind", "message"), FAULTS)
def test_faults(tmp_path, monkeypatch, given, kind, message):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "README.md").write_text("x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=message):
        find([given])


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ("hf://datasets/x/y.jsonl", MissingExtra, r"needs huggingface-hub.*pip install 'gotd\[hub\]'"),
        ("s3://x/y.jsonl", MissingExtra, r"needs s3fs.*pip install 'gotd\[s3\]'"),
        ("gs://x/y.jsonl", SettingsError, "gs://x/y.jsonl: Install it to access that. Install that package"),
    ],
)
def test_missing_packages_are_named(monkeypatch, given, kind, message):
    def absent(url):
        raise ImportError("Install it to access that")

    monkeypatch.setattr("fsspec.core.url_to_fs", absent)
    with pytest.raises(kind, match=message):
        find([given])


def test_one_json_array_is_refused(make):
    for name, content in (("a.json", b"\xef\xbb\xbf \n[{}]"), ("a.json.gz", gzip.compress(b"[]"))):
        with pytest.raises(InputError, match=r"found one JSON array, wanted one object a line\. Convert it: jq"):
            make(name, content)
    assert make("b.json", b'{"text": "a"}').format == "jsonl"


def test_a_file_that_went_away(make, read_all):
    file = make("a.jsonl", LINE)
    os.remove(file.path)
    with pytest.raises(InputError, match=r"a\.jsonl: cannot be opened \(No such file"):
        read_all(file)


def test_the_public_list():
    assert gotd.corpus.__all__ == sorted(
        gotd.corpus.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name)
    )
    assert all(hasattr(gotd.corpus, name) for name in gotd.corpus.__all__)
