"""Build the distributions and use the wheel as a stranger would: in a fresh environment, elsewhere, without a network.

    python scripts/release_check.py [--dist dist]

1. sdist, and the wheel from the sdist: what the sdist lacks, the wheel cannot have;
2. what must be in both, and what must not;
3. the wheel in a new environment, with the versions of constraints.txt;
4. there, in an empty folder and with every way out closed: version, demo, doctor, types, public names;
5. CITATION.cff by the schema of its format.

Makes three environments in a temporary folder; most of the time goes into installing torch.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
CFFCONVERT = "cffconvert==2.0.0"
LEAST_SHARE = 0.9
PUBLIC = """
import gotd, importlib.resources
for name in gotd.__all__:
    getattr(gotd, name)
assert issubclass(gotd.MissingExtra, gotd.GotdError)
assert (importlib.resources.files("gotd") / "py.typed").is_file()
print(gotd.__file__)
"""


def faults(wheel: Sequence[str], sdist: Sequence[str]) -> list[str]:
    """What is wrong with the names of the files in the two archives; empty if nothing."""
    found = []
    data = {path.name for path in (ROOT / "src" / "gotd" / "demo" / "data").iterdir()}
    modules = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py")}
    wanted = {"gotd/py.typed", *(f"gotd/demo/data/{name}" for name in data), *modules}
    found += [f"the wheel lacks {name}" for name in sorted(wanted - set(wheel))]
    outside = [name for name in wheel if not name.startswith("gotd/") and ".dist-info/" not in name]
    found += [f"the wheel holds {name}" for name in outside]
    if not any(name.endswith("/licenses/LICENSE") for name in wheel):
        found.append("the wheel lacks the licence")
    inner = {name.partition("/")[2] for name in sdist}
    pages = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "LICENSE", "pyproject.toml", "Makefile"}
    found += [f"the sdist lacks {name}" for name in sorted({*pages, *(f"src/{name}" for name in wanted)} - inner)]
    return found


def environment(folder: Path) -> Path:
    """A new virtual environment; its Python."""
    venv.create(folder, with_pip=True)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def pip(python: Path, *wanted: str, constrained: bool = True) -> None:
    limits = ("-c", str(CONSTRAINTS)) if constrained else ()
    run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *limits, *wanted])


def run(words: Sequence[str], **settings: object) -> str:
    """Standard output of a command that must succeed."""
    print("$", " ".join(words), flush=True)
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False, **settings)  # type: ignore[call-overload]
    if done.returncode:
        raise SystemExit(f"failed with exit code {done.returncode}: {' '.join(words)}\n{done.stdout}")
    return str(done.stdout)


def closed_off(home: Path) -> dict[str, str]:
    """An environment without this checkout, without caches, and with every way to the network closed."""
    nowhere = "http://127.0.0.1:9"
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
    ways = {name: nowhere for way in ("http_proxy", "https_proxy", "all_proxy") for name in (way, way.upper())}
    return {**kept, **ways, "HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONNOUSERSITE": "1"}


def used(python: Path, folder: Path) -> None:
    """The installed wheel, as someone uses it who has nothing else."""
    folder.mkdir()
    apart = {"cwd": folder, "env": closed_off(folder)}
    gotd = str(python.with_name("gotd"))
    print(run([gotd, "--version"], **apart), end="")
    where = run([str(python), "-c", PUBLIC], **apart).strip()
    assert str(ROOT) not in where, f"imported from the checkout: {where}"
    shares = json.loads(run([gotd, "demo", "--json"], **apart))["shares"]
    rare = shares["gotd"].get("machine-learning", 0.0)
    print(f"gotd demo: {rare:.0%} of the choice is of the rare source")
    assert rare >= LEAST_SHARE, shares
    run([gotd, "doctor"], **apart)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="folder for the two archives")
    dist = parser.parse_args().dist
    with tempfile.TemporaryDirectory(prefix="gotd-release-") as temporary:
        folder = Path(temporary)
        builder = environment(folder / "builder")
        pip(builder, "build", "hatchling")
        built = folder / "dist"
        run([str(builder), "-m", "build", "-q", "--no-isolation", "--outdir", str(built), str(ROOT)])
        wheel, sdist = next(built.glob("*.whl")), next(built.glob("*.tar.gz"))
        with zipfile.ZipFile(wheel) as packed, tarfile.open(sdist) as archive:
            wrong = faults(packed.namelist(), archive.getnames())
        assert not wrong, "\n".join(wrong)
        user = environment(folder / "user")
        pip(user, "torch")
        pip(user, str(wheel))
        used(user, folder / "elsewhere")
        judge = environment(folder / "judge")
        pip(judge, CFFCONVERT, constrained=False)
        run([str(judge.with_name("cffconvert")), "--validate", "-i", str(ROOT / "CITATION.cff")])
        dist.mkdir(exist_ok=True)
        for path in (wheel, sdist):
            (dist / path.name).write_bytes(path.read_bytes())
            print(f"{dist / path.name}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    sys.exit(main())
