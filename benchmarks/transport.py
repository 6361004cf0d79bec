"""gotd's solver against POT and OTT-JAX on real embeddings, and its ranking against a full float64 solve.

    python benchmarks/transport.py [--data DIR] [--peers-python PATH]

What is to be shown: at n = 20,000 candidates, m = 2,000 targets and an L1 marginal error of 1e-2, at reg 0.1 and
0.01 of the mean cost, gotd is at least five times faster than the best Sinkhorn of POT and of OTT-JAX, with less
memory. How it is measured, the same for all, is written at the top of peers_transport.py. Besides:
- each timed run of a peer follows one of gotd, in processes of their own, on the same two cores; the ratio is the
  median of these pairs, so that other work on the machine meets both.
- gotd keeps its products in bfloat16 and stops by an error measured on them. Where the yardstick, on the float32
  vectors, is not yet met then, gotd is asked for a smaller error, and timed with that.
- on a machine that does other work too, trust the ratio of CPU seconds rather than that of the clock: a solver of
  many short parallel steps waits at each for a core that another process holds.
- `floor` solves nothing: it is the time of one product and one exponential of each pair, and so what no solver in
  torch can fall below.
- peers more than three times slower than the best of their library in the first round are not run again.

The second table is explained at the top of ranking.py. `--full` takes n = 100,000 there.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from peers_transport import PEERS, child
from tables import load, show, use_cores
from texts import Embedded, Texts, embedded

TOLERANCE = 1e-2
REGS = (0.1, 0.01)
ASKED = (1.0, 0.9, 0.8, 0.7, 0.5, 0.3)  # of the tolerance, until gotd meets it on the yardstick
NOT_AGAIN = 3.0


@dataclass(slots=True)
class Timed:
    """The runs of one peer at one reg: its own, and gotd's just before each."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    pairs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return median(run["seconds"] for run in self.runs)

    def ratios(self, clock: str) -> list[float]:
        """The peer's `seconds` or `cpu_seconds` over gotd's, pair by pair, ascending."""
        return sorted(run[clock] / pair[clock] for run, pair in zip(self.runs, self.pairs))


@dataclass(frozen=True, slots=True)
class Race:
    """One problem for all.

    Attributes:
        vectors: file of X and Y.
        reg: fraction of the mean cost.
        python: interpreter of the peers.
        rounds: timed runs of each.
    """

    vectors: Path
    reg: float
    python: str
    rounds: int

    def stage(self, peer: str, stage: str, *more: str, tolerance: float = TOLERANCE) -> dict[str, Any]:
        python = sys.executable if peer == "gotd" else self.python
        asked = ["--peer", peer, "--vectors", str(self.vectors), "--reg", str(self.reg)]
        return child([*asked, "--tol", str(tolerance), "--stage", stage, *more], python)

    def run(self, peers: list[str]) -> None:
        """Search, time in rounds, print the table."""
        tolerance, plain = self._gotd_tolerance()
        passes = self.stage("gotd", "search", tolerance=tolerance)["iterations"]
        counts = self._searched(peers)
        found = {peer: Timed() for peer in peers}
        for turn in range(self.rounds):
            for peer in peers if turn == 0 else _worth_repeating(found):
                print(f"reg {self.reg}, round {turn + 1} of {self.rounds}: {peer}", file=sys.stderr, flush=True)
                own = self.stage("gotd", "time", "--iterations", str(passes), tolerance=tolerance)
                other = self.stage(peer, "time", "--iterations", str(counts[peer]))
                found[peer].pairs.append(own)
                found[peer].runs.append(other)
        self._show(found, tolerance, plain)

    def _gotd_tolerance(self) -> tuple[float, float]:
        """The error to ask gotd for, and what the yardstick says of plain `solve(tolerance=1e-2)`."""
        plain = float("nan")
        for share in ASKED:
            error = self.stage("gotd", "time", "--iterations", "0", tolerance=share * TOLERANCE)["l1"]
            plain = error if share == ASKED[0] else plain
            if error <= TOLERANCE:
                return share * TOLERANCE, plain
        raise SystemExit(f"gotd does not reach {TOLERANCE} on the yardstick at reg {self.reg}")

    def _searched(self, peers: list[str]) -> dict[str, int]:
        """Iterations of each; libraries that do plain Sinkhorn share one search."""
        shared: dict[Any, int] = {}
        for peer in peers:
            search = PEERS[peer].search
            # Closures of one factory with other settings are other functions, so none is taken for another.
            if search not in shared:
                shared[search] = self.stage(peer, "search")["iterations"]
        return {peer: shared[PEERS[peer].search] for peer in peers}

    def _show(self, found: dict[str, Timed], tolerance: float, plain: float) -> None:
        own = [pair for timed in found.values() for pair in timed.pairs]
        rows = [_row("gotd", own, ["1", "1"])]
        for peer, timed in sorted(found.items(), key=lambda item: item[1].seconds):
            ratios = [_spread(timed.ratios(clock)) for clock in ("seconds", "cpu_seconds")]
            rows.append(_row(peer, timed.runs, ratios))
        title = f"reg {self.reg} of the mean cost, L1 {TOLERANCE} ({load()})"
        columns = ["", "seconds", "x gotd", "CPU s", "x gotd", "peak MB", "iterations", "L1 reached", "runs"]
        show(title, columns, rows)
        print(f"\ngotd asked for {tolerance:.3g}; solve(tolerance={TOLERANCE}) reaches {plain:.5f}.", end=" ")
        print("L1 over 1e-2, or nan, is marked: not reached." if any("!" in row[7] for row in rows) else "")
        for library in ("pot", "ott"):
            print(_best(library, found, own))


def _worth_repeating(found: dict[str, Timed]) -> list[str]:
    best: dict[str, float] = {}
    for peer, timed in found.items():
        if _reached(timed.runs):
            best[_library(peer)] = min(best.get(_library(peer), np.inf), timed.seconds)
    return [
        peer
        for peer, timed in found.items()
        if _reached(timed.runs) and timed.seconds <= NOT_AGAIN * best[_library(peer)]
    ]


def _library(peer: str) -> str:
    return peer.partition("-")[0]


def _reached(runs: list[dict[str, Any]]) -> bool:
    """Whether the error was met, up to the rounding that a count found in float64 leaves."""
    return all(run["l1"] is not None and run["l1"] <= 1.001 * TOLERANCE for run in runs)


def _spread(ratios: list[float]) -> str:
    return f"{median(ratios):.1f} ({ratios[0]:.1f}-{ratios[-1]:.1f})"


def _row(name: str, runs: list[dict[str, Any]], ratios: list[str]) -> list[str]:
    error = runs[0]["l1"]
    shown = "nan" if error is None else f"{error:.5f}"
    return [
        name,
        f"{median(run['seconds'] for run in runs):.3f}",
        ratios[0],
        f"{median(run['cpu_seconds'] for run in runs):.3f}",
        ratios[1],
        f"{median(run['peak_mb'] for run in runs):.0f}",
        str(runs[0]["iterations"]),
        shown if _reached(runs) else f"{shown} !",
        str(len(runs)),
    ]


def _best(library: str, found: dict[str, Timed], own: list[dict[str, Any]]) -> str:
    """The sentence for a library: its fastest configuration that reached the error."""
    own_memory = median(run["peak_mb"] for run in own)
    able = {p: t for p, t in found.items() if _library(p) == library and _reached(t.runs)}
    if not able:
        return f"{library}: none reached the error"
    best = min(able, key=lambda peer: able[peer].seconds)
    wall, cpu = (median(able[best].ratios(clock)) for clock in ("seconds", "cpu_seconds"))
    memory = median(run["peak_mb"] for run in able[best].runs) / own_memory
    return (
        f"{library}: best is {best}, {wall:.1f} times gotd's seconds, {cpu:.1f} times its CPU seconds, "
        f"{memory:.1f} times its memory"
    )


def race(vectors: Embedded, folder: Path, regs: list[float], python: str, peers: list[str], rounds: int) -> None:
    """Write centred unit vectors for the child processes and let all solve them."""
    from gotd.transport import Space

    space = Space.fit(vectors.candidates, centre=True)
    x, y = space(vectors.candidates).numpy(), space(vectors.target).numpy()
    path = folder / "vectors.npz"
    np.savez(path, X=x, Y=y)
    print(f"n = {len(x)}, m = {len(y)}, d = {x.shape[1]}")
    for reg in regs:
        Race(path, reg, python, rounds).run(peers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [name for name, peer in PEERS.items() if name != "gotd" and not peer.slow]
    parser.add_argument("--data", type=Path, help="folder with candidates/ and tasks/; else the demo's texts")
    parser.add_argument("--peers-python", default=sys.executable, help="interpreter with requirements.txt")
    parser.add_argument("--peers", nargs="*", default=known, choices=[n for n in PEERS if n != "gotd"])
    parser.add_argument("--reg", nargs="*", type=float, default=list(REGS), help="for the race")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--documents", type=int, default=50_000, help="n of the ranking")
    parser.add_argument("--targets", type=int, default=5_000, help="m of the ranking")
    parser.add_argument("--full", action="store_true", help="n = 100,000 in the ranking")
    parser.add_argument("--skip", choices=["race", "ranking"], nargs="*", default=[])
    arguments = parser.parse_args()

    cores = use_cores(2)
    texts = Texts.of(arguments.data)
    print(f"{texts.name}, {len(cores)} cores, {load()}")
    if "race" not in arguments.skip:
        _check(arguments.peers_python)
        with tempfile.TemporaryDirectory() as folder:
            vectors = embedded(texts, 20_000, 2_000)
            race(
                vectors,
                Path(folder),
                arguments.reg,
                arguments.peers_python,
                arguments.peers,
                arguments.rounds,
            )
    if "ranking" not in arguments.skip:
        from ranking import compare_rankings

        n = 100_000 if arguments.full else arguments.documents
        print()
        vectors = embedded(texts, n, arguments.targets)
        compare_rankings(vectors, sample=min(20_000, len(vectors.candidates) * 2 // 5))


def _check(python: str) -> None:
    done = subprocess.run([python, "-c", "import ot, ott"], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(
            f"{python} lacks the peers: {done.stderr.strip().splitlines()[-1]}. Install benchmarks/requirements.txt "
            "in an environment and pass its interpreter as --peers-python, or pass --skip race"
        )


if __name__ == "__main__":
    main()
