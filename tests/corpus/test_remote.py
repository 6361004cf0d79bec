"""Remote stores through the same reader: S3 against moto's server, the Hugging Face hub against a stub of its own."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import fsspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

import gotd
from gotd.corpus import Document, Fields, Reject, fetch, find, plan, read
from gotd.corpus.remote import AHEAD, open_remote, ranges
from gotd.corpus.streams import head
from gotd.errors import InputError

ROWS = [{"id": f"r{i}", "text": f"row {i} " + "word " * (i % 7)} for i in range(300)]
ROWS[150]["text"] = "long " * 5000
JSONL = b"\n".join(map(orjson.dumps, ROWS))
DENIED = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": ["arn:aws:s3:::shut", "arn:aws:s3:::shut/*"],
}


def parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), out, row_group_size=50)
    return out.getvalue()


FILES = {"a.jsonl": JSONL, "b.jsonl.gz": gzip.compress(JSONL), "c.parquet": parquet(), "notes.md": b"no corpus"}


@dataclass
class Store:
    """A pool behind a URL.

    Attributes:
        url: of the folder that holds FILES.
        asked: the ranges of bytes that were read, where the server keeps them.
    """

    url: str
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def s3() -> Iterator[Store]:
    moto = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    import boto3

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    names = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**names, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
            patch.setenv(name, value)
        client = boto3.client("s3")
        for bucket in ("pool", "shut"):
            client.create_bucket(Bucket=bucket)
            for name, content in FILES.items():
                client.put_object(Bucket=bucket, Key=f"texts/{name}", Body=content)
        client.put_bucket_policy(Bucket="shut", Policy=json.dumps({"Version": "2012-10-17", "Statement": [DENIED]}))
        yield Store("s3://pool/texts")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    server.stop()


class Hub(BaseHTTPRequestHandler):
    """A hub with the dataset `me/pool`, and `me/shut` behind a gate."""

    asked: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer([entry for entry in self._tree() if entry["path"] in asked.replace("%2F", "/")])

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if "me/shut" in path:
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Ask for access first."})
        elif "/me/pool" not in path:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif "/resolve/" in path:
            self._file(FILES[path.rpartition("/")[2]])
        elif "/tree/" in path:
            self._answer(self._tree())
        else:
            self._answer({"id": "me/pool", "sha": "0" * 40, "private": False, "siblings": []})

    def _tree(self) -> list[dict[str, Any]]:
        return [
            {"type": "file", "path": name, "size": len(content), "oid": f"{len(content):040x}"}
            for name, content in FILES.items()
        ]

    def _file(self, content: bytes) -> None:
        found = self.headers.get("Range", f"bytes=0-{len(content)}")
        self.asked.append(found)
        start, stop = (int(end) for end in found.removeprefix("bytes=").split("-"))
        part = content[start : stop + 1]
        place = {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(content)}"}
        self._send(206, part, {**place, "ETag": '"e"', "X-Repo-Commit": "0" * 40})

    def _answer(self, found: object) -> None:
        self._send(200, json.dumps(found).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def hub() -> Iterator[Store]:
    hf = pytest.importorskip("huggingface_hub")
    store = Store("hf://datasets/me/pool")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Asked", (Hub,), {"asked": store.asked}))
    thread = Thread(target=server.serve_forever)
    thread.start()
    hf.HfFileSystem.clear_instance_cache()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fsspec.config.conf, "hf", {"endpoint": f"http://127.0.0.1:{server.server_port}", "token": False})
        yield store
    hf.HfFileSystem.clear_instance_cache()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(params=["s3", "hub"])
def store(request: pytest.FixtureRequest) -> Store:
    found: Store = request.getfixturevalue(request.param)
    return found


def test_every_format_is_read_in_shards_and_fetched(store: Store) -> None:
    files = find(store.url)
    assert [file.path.rpartition("/")[2] for file in files] == ["a.jsonl", "b.jsonl.gz", "c.parquet"]
    for file in files:
        shards = plan([file], Fields(), 4000)
        assert (len(shards) > 1) == (file.compression is None)
        found = [item for shard in shards for item in read(shard, Fields())]
        assert [item.text for item in found if isinstance(item, Document)] == [row["text"] for row in ROWS]
        some = found[::7] + found[149:152]
        got = list(fetch(file, [(item.position, item.piece) for item in some], Fields()))
        assert got == sorted(some, key=lambda item: item.position)


def test_a_file_is_the_same_however_it_was_found(store: Store) -> None:
    """By the folder, a glob, or itself, before and after a listing: else no stage would know another's pool again."""
    ways = [f"{store.url}/a.jsonl", store.url, f"{store.url}/*.jsonl", f"{store.url}/a.jsonl"]
    found = []
    for way in ways:
        fsspec.core.url_to_fs(way)[0].invalidate_cache()
        found.append(find(way)[0])
    assert len(set(found)) == 1
    assert found[0].digest.startswith("etag:")
    assert find(store.url)[2].digest != found[0].digest


def test_a_shard_asks_for_little_more_than_its_bytes(hub: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gotd.corpus.streams.BLOCK", 2000)
    monkeypatch.setattr("gotd.corpus.remote.AHEAD", 1000)
    shard = plan(find(f"{hub.url}/a.jsonl"), Fields(), 4000)[1]
    hub.asked.clear()
    list(read(shard, Fields()))
    ranges = [[int(end) for end in found.removeprefix("bytes=").split("-")] for found in hub.asked]
    assert min(start for start, _ in ranges) == shard.start - 1
    assert all(stop - start <= 3000 for start, stop in ranges)


def test_a_selection_from_a_store_is_that_of_the_local_files_and_resumes(
    s3: Store, corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    client = boto3.client("s3")
    for path in corpora.files:
        client.put_object(Bucket="pool", Key=f"corpora/{Path(path).name}", Body=Path(path).read_bytes())
    local = gotd.select(corpora.pool, corpora.target, 10, tmp_path / "local", reference=corpora.other, workers=1)
    asked = ("s3://pool/corpora", corpora.target, 10, tmp_path / "far")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gotd.stages.choose._picked", None)
        with pytest.raises(TypeError):
            gotd.select(*asked, reference=corpora.other, workers=1)
    monkeypatch.setattr("gotd.stages.score.ShardScorer.__call__", None)
    far = gotd.select(*asked, reference=corpora.other, workers=1)
    assert far.to_arrow()["id"] == local.to_arrow()["id"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://none/a.jsonl", r"s3://none/a\.jsonl: no such file, folder or bucket \(The specified bucket does not"),
        ("s3://none/*.jsonl", r"s3://none/\*\.jsonl: no such file, folder or bucket"),
        ("s3://pool/none.jsonl", r"s3://pool/none\.jsonl: no such file, folder or bucket .*Check the path"),
        ("s3://pool/texts/*.csv", r"s3://pool/texts/\*\.csv: holds no file to read \(0 of other kinds\)"),
        ("s3://pool/texts/notes.md", r"notes\.md: unknown suffix"),
        (
            "s3://shut/texts/a.jsonl",
            r"s3://shut/texts/a\.jsonl: access is denied \(Forbidden\)\. Check the credentials",
        ),
    ],
)
def test_what_is_wrong_with_a_bucket_is_said(s3: Store, url: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find(url)


def test_what_is_wrong_with_a_dataset_is_said(hub: Store) -> None:
    with pytest.raises(InputError, match=r"hf://datasets/me/none/a\.jsonl: no such file, folder or bucket"):
        find("hf://datasets/me/none/a.jsonl")
    with pytest.raises(InputError, match=r"hf://datasets/me/shut/a\.jsonl: .*\. Check") as told:
        find("hf://datasets/me/shut/a.jsonl")
    assert "\n" not in str(told.value)


def test_a_read_that_fails_says_how_to_go_on(s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_remote(f"{s3.url}/a.jsonl") as file:
        monkeypatch.setattr(type(file._raw), "read", lambda *_: (_ for _ in ()).throw(TimeoutError("timed out")))
        with pytest.raises(InputError, match=r"a\.jsonl: cannot be read \(TimeoutError: timed out\).*it goes on"):
            file.read(1)


@dataclass
class Web:
    """A plain web server of one file, without ETags.

    Attributes:
        url: of the folder.
        content: of every file there.
        modified: when it last changed.
        size_told: whether it says how long the file is.
        parts: whether it gives parts of it.
    """

    url: str = ""
    content: bytes = JSONL
    modified: str = "Sat, 01 Aug 2026 10:00:00 GMT"
    size_told: bool = True
    parts: bool = True


@pytest.fixture
def web() -> Iterator[Web]:
    pytest.importorskip("aiohttp")
    served = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.wfile.write(self.answer())

        def answer(self) -> bytes:
            part, (_, _, asked) = served.content, self.headers.get("Range", "").partition("=")
            if asked and served.parts:
                start, stop = (int(number) for number in asked.split("-"))
                part = part[start : stop + 1]
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(served.content)}")
            else:
                self.send_response(200)
            if served.size_told:
                self.send_header("Content-Length", str(len(part)))
            self.send_header("Last-Modified", served.modified)
            self.end_headers()
            return part

        def log_message(self, *_: object) -> None:
            """Nothing is said."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    served.url = f"http://127.0.0.1:{server.server_port}/files"
    yield served
    fsspec.get_filesystem_class("http").clear_instance_cache()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("size_told", "parts"), [(True, True), (True, False), (False, False)])
def test_a_link_to_download_is_read_and_fetched(web: Web, size_told: bool, parts: bool) -> None:
    """As a browser copies it; and where the server gives no parts, as Python's own does not, from the start."""
    web.size_told, web.parts = size_told, parts
    (file,) = find(f"{web.url}/a.jsonl?download=true")
    assert (file.source, file.format, file.bytes) == ("a", "jsonl", len(JSONL) if size_told else None)
    shards = plan([file], Fields(), 1000)
    assert len(shards) > 9 if parts else len(shards) == 1
    documents = [item for shard in shards for item in read(shard, Fields())]
    assert [document.id for document in documents] == [row["id"] for row in ROWS]
    assert list(fetch(file, [(documents[150].position, 0)], Fields())) == [documents[150]]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_a_server_without_parts_gives_more_than_one_block(web: Web, name: str) -> None:
    web.parts = False
    texts = [blake2b(bytes([i % 251, i // 251]), digest_size=64).hexdigest() for i in range(32000)]
    rows = [orjson.dumps({"text": text}) for text in texts]
    plain = b"\n".join(rows)
    web.content = {"gz": gzip.compress, "zst": zstandard.compress}.get(name.rpartition(".")[2], bytes)(plain)
    assert len(web.content) > 2 * AHEAD
    (file,) = find(f"{web.url}/{name}")
    (shard,) = plan([file], Fields())
    documents = list(read(shard, Fields()))
    assert len(documents) == len(rows)
    assert len(head(file.path, file.compression, AHEAD)[0]) >= AHEAD
    assert list(fetch(file, [(documents[-1].position, 0)], Fields())) == documents[-1:]


def test_one_answer_may_last_as_long_as_the_scoring(web: Web) -> None:
    web.parts = False
    with open_remote(f"{web.url}/a.jsonl") as file:
        assert file._raw.kwargs["timeout"].total is None


def test_damage_from_a_server_without_parts_is_told(web: Web) -> None:
    """What is decoded before it comes out as far as it was had; no second look at the beginning is to be had."""
    web.parts = False
    packed = gzip.compress(JSONL)
    web.content = packed[:400] + b"damaged" + packed[407:]
    (file,) = find(f"{web.url}/a.jsonl.gz")
    *_, last = read(plan([file], Fields())[0], Fields())
    assert isinstance(last, Reject)
    assert last.reason == "corrupt-stream"


def test_parquet_from_a_server_without_parts_is_refused_before_work(web: Web) -> None:
    web.parts = False
    with pytest.raises(InputError, match=r"c\.parquet: the server gives no parts of a file.*Download it"):
        find(f"{web.url}/c.parquet")
    with pytest.raises(InputError, match="the server gives no parts of a file"):
        ranges(f"{web.url}/a.jsonl", [5], 5)


def test_a_file_on_the_web_that_changed_is_another(web: Web) -> None:
    """Where there is no ETag, by its size or its time: what was scored of the old one is not taken for the new."""
    digests = [find(f"{web.url}/a.jsonl")[0].digest for _ in range(2)]
    web.modified = "Sat, 01 Aug 2026 10:00:01 GMT"
    digests.append(find(f"{web.url}/a.jsonl")[0].digest)
    web.content = JSONL + b"\n"
    digests.append(find(f"{web.url}/a.jsonl")[0].digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
