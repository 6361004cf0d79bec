"""Fuzz the reader of corpora by hand: `pip install atheris==3.0.0`, then

    python scripts/fuzz_reader.py [CORPUS_FOLDER] [-max_total_time=3600] [other flags of libFuzzer]

The checks are those of tests/corpus/test_fuzz.py; an input that fails one is left as `crash-*` where the script runs.
"""

from __future__ import annotations

import runpy
import sys
import tempfile
from pathlib import Path

import atheris

TESTS = Path(__file__).parents[1] / "tests" / "corpus" / "test_fuzz.py"


def main() -> None:
    with atheris.instrument_imports(include=["gotd.corpus"]):
        check = runpy.run_path(str(TESTS))["check"]
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        place = Path(folder)
        atheris.Setup(sys.argv, lambda data: check(place, data))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
