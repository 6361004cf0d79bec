"""README.md and docs/*.md: what they tell to type runs, and what they point at is there.

Commands and Python of one page run in its order, in one folder that holds `pool/` (three sources, 360 documents),
`task.jsonl`, `reference.jsonl`, and the targets of docs/targets.md; YAML that begins with its name as a comment is
written there. What cannot run there is read all the same: of `gotd` commands with a word in capitals to fill in, or
with an address of the network, the flags must exist; of other Python, the syntax must hold.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob, has_magic
from importlib import import_module
from pathlib import Path

import click
import pytest
import zstandard
from click.testing import CliRunner

import gotd
from gotd.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SHELL = ("sh", "bash", "console", "shell")
SET_UP = {"make", "pip", "git", "cd", "source", "export", "apt-get", "sbatch"}  # of a machine: `make test` is one
LAUNCHERS = ("torchrun", "accelerate")
ELSEWHERE = {"gotd demo": "tests/test_demo.py", "gotd doctor": "tests/doctor/test_doctor.py"}
REMOTE = re.compile(r"\b(hf|model2vec):|sentence-transformers/|://")
TO_FILL_IN = re.compile(r"[A-Z]{2,}|\.\.\.|<.*>")
TREE = re.compile(
    r"(?:src|tests|docs|benchmarks|scripts|\.ci)/[\w./-]*|[\w/-]+\.(?:py|md|toml)|Makefile|constraints\.txt"
)

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the page's line that it starts at."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1], found[2], text.count("\n", 0, found.start(2)) + 1)
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def prose(page: Path) -> str:
    """A page without its blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def inline(page: Path) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def command_lines(block: Block) -> Iterator[str]:
    """What one types: of a transcript the lines after `$ `, with those that `> ` or a backslash goes on with."""
    lines = iter(block.text.splitlines())
    prompted = block.language == "console"
    for line in lines:
        if prompted and not line.startswith("$ "):
            continue
        typed = line.removeprefix("$ ") if prompted else line
        while typed.rstrip().endswith("\\"):
            typed = f"{typed.rstrip()[:-1]} {next(lines).removeprefix('> ')}"
        if shlex.split(typed, comments=True):
            yield typed


def commands(line: str) -> Iterator[list[str]]:
    """The words of each command of a line; what comes after a pipe or `>` is left out."""
    lexer = shlex.shlex(line, posix=False, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    skipping = False
    for raw in lexer:
        if raw in ("&&", ";"):
            yield words
            words, skipping = [], False
        elif skipping or raw in ("|", ">", ">>", "<", "&"):
            skipping = True
        else:
            word = shlex.split(raw)[0]
            words += sorted(glob(word)) if has_magic(word) and not set("'\"") & set(raw) else [word]
    yield words


def parsed(words: list[str]) -> None:
    """Read the words of `gotd ...` as its command would, and do nothing."""
    name, *rest = words[1:]
    if {"-h", "--help", "--version"} & set(words):
        assert name.startswith("-") or name in main.commands, f"no command {name}"
        return
    assert name in main.commands, f"no command {name}"
    with main.make_context("gotd", [name, *rest]) as whole:
        context, command = whole, main.commands[name]
        while isinstance(command, click.Group):
            name, *rest = rest
            assert name in command.commands, f"no command {name}"
            context, command = click.Context(command, parent=context), command.commands[name]
        with command.make_context(name, rest, parent=context):
            pass


def typed(words: list[str]) -> None:
    """Run a command as in a shell, or judge it by its rule."""
    program = words[0]
    if program in SET_UP:
        return
    if program in ("python", "python3"):
        script = next((word for word in words[1:] if not word.startswith("-")), "")
        assert (ROOT / script).is_file() or "-m" in words, f"{script} is not there"
        return
    if program in LAUNCHERS:
        parsed(words[words.index("-m") + 1 :])  # the processes are started in tests/training/test_together.py
        return
    assert program == "gotd", f"say in tests/test_docs.py what to do with {program}"
    if " ".join(words) in ELSEWHERE or any(REMOTE.search(word) or TO_FILL_IN.fullmatch(word) for word in words):
        parsed(words)
        return
    found = CliRunner().invoke(main, words[1:], prog_name="gotd")
    assert found.exit_code == 0, found.stderr or repr(found.exception)


def execute(block: Block, page: Path) -> None:
    """Run Python, with or without prompts."""
    source = block.text
    if re.search(r"^>>> ", source, re.MULTILINE):
        source = "".join(example.source for example in doctest.DocTestParser().get_examples(source))
    code = compile("\n" * (block.line - 1) + source, str(page), "exec")
    if not REMOTE.search(source):
        exec(code, {"__name__": "__main__"})


@pytest.fixture
def workplace(tmp_path: Path, text, write, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, one core, and temporary files that go with it."""
    for number, name in enumerate(("books", "news", "web")):
        write(f"pool/{name}.jsonl", [{"text": text(1000 * number + i, i % 20 == 0, 12)} for i in range(120)])
    packed = (tmp_path / "pool" / "web.jsonl").read_bytes()
    (tmp_path / "pool" / "web.jsonl.zst").write_bytes(zstandard.compress(packed))
    (tmp_path / "pool" / "web.jsonl").unlink()
    write("task.jsonl", [{"text": text(5000 + i, i % 2 == 0, 12)} for i in range(50)])
    write("reference.jsonl", [{"text": text(6000 + i, False, 12)} for i in range(100)])
    for number, name in enumerate(("maths", "law", "toxic")):
        write(f"{name}.jsonl", [{"text": text(7000 + 100 * number + i, i % 4 > number, 12)} for i in range(30)])
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    return tmp_path


@by_page
def test_what_a_page_tells_to_type_runs(page: Path, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks(page):
        try:
            if block.language in SHELL:
                for line in command_lines(block):
                    for words in commands(line):
                        typed(words)
            elif block.language == "python":
                execute(block, page)
            elif block.language == "yaml" and (named := re.match(r"# ([\w.-]+\.yaml)\n", block.text)):
                (workplace / named[1]).write_text(block.text)
        except (Exception, SystemExit) as error:
            raise AssertionError(f"{page.name}, the block at line {block.line}: {error}") from error


def test_readme_has_something_to_type() -> None:
    """The test above has work: both kinds of block are found, and gotd's main command among them."""
    found = blocks(PAGES[0])
    lines = [line for block in found if block.language in SHELL for line in command_lines(block)]
    assert {line.split()[0] for line in lines} >= {"make", "gotd"}
    assert any(line.startswith("gotd select") for line in lines)
    assert any(block.language == "python" for block in found)


def flags_of(command: click.Command) -> set[str]:
    """Of a command, and of those below it."""
    own = {flag for p in command.params for flag in [*p.opts, *p.secondary_opts]}
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return own.union(*map(flags_of, below))


@by_page
def test_commands_in_the_prose_exist(page: Path) -> None:
    """`gotd COMMAND --flag` names a command and flags of it; a flag alone is one of some command."""
    flags = {name: flags_of(command) for name, command in main.commands.items()}
    every = set().union(*flags.values(), {"--help", "--version"})
    for code in inline(page):
        words = code.split()
        if words[0] == "gotd" and len(words) > 1 and re.fullmatch("[a-z-]+", words[1]):
            assert words[1] in flags, code
            known = flags[words[1]] | {"--help"}
        elif code.startswith("--"):
            known = every
        else:
            continue
        given = [part for word in words for part in word.split("/") if re.match("--?[a-z]", part)]
        assert [flag for flag in given if flag.partition("=")[0] not in known] == [], code


@by_page
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match("[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        there = (page.parent / path) if path else page
        assert there.exists(), link
        assert there.resolve().is_relative_to(ROOT.resolve()), link
        if anchor:
            assert anchor in _anchors(there), link


def _anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@by_page
def test_names_of_python_exist(page: Path) -> None:
    """README speaks of the public list alone; other pages may look inside."""
    for name in re.findall(r"(?<![\w/.@-])gotd\.([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)", page.read_text(encoding="utf-8")):
        first, *rest = name.split(".")
        if page.name == "README.md":
            assert first in gotd.__all__, f"gotd.{name}"
        found = getattr(gotd, first) if first in gotd.__all__ else import_module(f"gotd.{first}")
        for part in rest:
            assert hasattr(found, part), f"gotd.{name}"
            found = getattr(found, part)


@by_page
def test_files_of_the_tree_exist(page: Path) -> None:
    """Named from the root, from the package, or from the page."""
    for code in inline(page):
        if TREE.fullmatch(code):
            assert any((base / code).exists() for base in (ROOT, ROOT / "src" / "gotd", page.parent)), code


@by_page
def test_tests_that_are_named_exist(page: Path) -> None:
    """In full, or as a beginning that ends in three dots."""
    there = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for name, dots in re.findall(r"`(?:[\w/.]+::)?(test_\w+)(\.\.\.)?`", prose(page)):
        assert re.search(rf"^ *def {name}" if dots else rf"^ *def {name}\(", there, re.MULTILINE), name
