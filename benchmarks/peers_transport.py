"""Entropic OT by other libraries, and by gotd, measured alone: seconds, peak memory and the error they really reach.

    min_P <P, C> + reg * KL(P | a b^T),   P 1 = a,  P^T 1 = b,   C_ij = |x_i - y_j|^2

One problem, one convention, one yardstick for every library:
- potentials in the convention f_i = -reg * log sum_j b_j exp((g_j - C_ij) / reg). POT and OTT absorb the
  weights into theirs (reg * log b is taken off); geomloss already has this one.
- the error is sum_j |col_j - b_j| of the plan after an f-update, measured by `marginal_error`, never by the
  library.
- each peer runs exactly the iterations it needs for `tol`. They are found before, in another process, so
  nobody pays for a stop rule that measures something else or looks only every tenth iteration. That `tol` is
  reached is checked after. gotd alone runs its own stop rule inside the clock.
- the clock covers everything from the vectors to the potentials, the cost matrix included; imports and JAX's
  compilation (one run on other vectors of the same shapes) come before.
- peak memory is the growth of the resident set over the timed call, in a process of its own.

    python benchmarks/peers_transport.py --peer pot-sinkhorn-f32 --vectors vectors.npz --reg 0.1

prints one line of JSON. The file of vectors holds X (n, d) and Y (m, d), float32, unit rows. Set
OMP_NUM_THREADS to the cores to be used (JAX takes all it may run on).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray
Solve = Callable[[], tuple[Array, Array]]
MAX_ITERATIONS = 2048
BLOCK = 2048  # rows of the plan held at once where a plan is only looked at


@dataclass(frozen=True, slots=True)
class Problem:
    """Entropic OT between two weighted clouds of unit vectors.

    Attributes:
        X, Y: (n, d), (m, d) float32.
        a, b: (n,), (m,) float64 weights, > 0, each sums to 1.
        reg: entropy strength, in units of the squared Euclidean cost.
        tol: L1 marginal error asked for, in mass.
    """

    X: Array
    Y: Array
    a: Array
    b: Array
    reg: float
    tol: float = 1e-2

    @classmethod
    def uniform(cls, X: Array, Y: Array, reg_fraction: float, tol: float = 1e-2) -> Problem:
        """Uniform weights; reg is `reg_fraction` of the mean cost."""
        mean_cost = (X**2).sum(1).mean() + (Y**2).sum(1).mean() - 2 * (X.mean(0) @ Y.mean(0))
        a, b = np.full(len(X), 1 / len(X)), np.full(len(Y), 1 / len(Y))
        return cls(X, Y, a, b, reg_fraction * float(mean_cost), tol)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a peer returned: potentials f (n,), g (m,) in units of the cost, its seconds and iterations."""

    f: Array
    g: Array
    seconds: float
    iterations: int


@dataclass(frozen=True, slots=True)
class Peer:
    """One configuration of a library.

    Attributes:
        prepare: (problem, iterations) to the call that is timed; imports and compiles.
        search: iterations needed for `problem.tol`; not timed.
        slow: left out of a run over all peers.
    """

    prepare: Callable[[Problem, int], Solve]
    search: Callable[[Problem], int]
    slow: bool = False


def marginal_error(problem: Problem, g: Array) -> float:
    """sum_j |col_j - b_j| of the plan after the f-update from g: 0 at the solution, at most 2."""
    log_b = np.log(problem.b)
    square_y = (problem.Y.astype(np.float64) ** 2).sum(1)
    column = np.zeros_like(problem.b)
    for start in range(0, len(problem.X), BLOCK):
        x = problem.X[start : start + BLOCK]
        # |x_i|^2 is the same along a row: the f-update takes it out.
        logits = (g - square_y + 2 * (x @ problem.Y.T)) / problem.reg + log_b
        logits -= logits.max(1, keepdims=True)
        np.exp(logits, out=logits)
        column += (problem.a[start : start + BLOCK] / logits.sum(1)) @ logits
    return float(np.abs(column - problem.b).sum())


def plain_iterations(problem: Problem) -> int:
    """Iterations of plain Sinkhorn (g, then f) for `tol`: the same number for every library.

    Scaling form in float64, from the constant u of POT and OTT. Rows of the kernel are divided by their
    maximum, so that no row vanishes; the constant u is then that maximum.
    """
    # float32 is exact enough for C: it moves C / reg by 1e-5, the error by less than the fourth digit.
    logits = ((problem.X @ problem.Y.T) * 2 - (problem.Y**2).sum(1)) / np.float32(problem.reg)
    row_max = logits.max(1).astype(np.float64)
    kernel = np.exp(logits.astype(np.float64) - row_max[:, None])
    log_u = row_max - (problem.X.astype(np.float64) ** 2).sum(1) / problem.reg
    u = np.exp(log_u - log_u.max())
    column = u @ kernel
    for iteration in range(1, MAX_ITERATIONS + 1):
        u = problem.a / (kernel @ (problem.b / column))
        previous, column = column, u @ kernel
        if np.abs(problem.b / previous * column - problem.b).sum() <= problem.tol:
            return iteration
    return MAX_ITERATIONS


def _pot_arrays(problem: Problem, dtype: str, backend: str) -> tuple[Any, ...]:
    arrays = [np.asarray(v, dtype=dtype) for v in (problem.X, problem.Y, problem.a, problem.b)]
    if backend == "torch":
        import torch

        return tuple(torch.from_numpy(v) for v in arrays)
    return tuple(arrays)


def _absorbed(problem: Problem, log_u: Any, log_v: Any) -> tuple[Array, Array]:
    """From log scalings (n,), (m,) of P = exp(log_u + log_v - C / reg) to potentials f, g."""
    f = problem.reg * (np.asarray(log_u, dtype=np.float64) - np.log(problem.a))
    return f, problem.reg * (np.asarray(log_v, dtype=np.float64) - np.log(problem.b))


def pot(method: str, dtype: str, backend: str = "numpy") -> Callable[[Problem, int], Solve]:
    """POT's `ot.sinkhorn`: dense cost. It looks at its error at iterations 0, 10, ... and builds the plan."""

    def prepare(problem: Problem, iterations: int) -> Solve:
        import ot

        def solve() -> tuple[Array, Array]:
            X, Y, a, b = _pot_arrays(problem, dtype, backend)
            cost = ot.dist(X, Y)
            options = {"numItermax": iterations, "stopThr": 0, "log": True, "warn": False}
            _, log = ot.sinkhorn(a, b, cost, problem.reg, method=method, **options)
            if method == "sinkhorn":
                return _absorbed(problem, np.log(np.asarray(log["u"])), np.log(np.asarray(log["v"])))
            keys = ("log_u", "log_v") if method == "sinkhorn_log" else ("logu", "logv")
            return _absorbed(problem, log[keys[0]], log[keys[1]])

        return solve

    return prepare


def pot_lazy(problem: Problem, iterations: int) -> Solve:
    """POT's `empirical_sinkhorn(isLazy=True)`: blocks of the cost, computed again at each half step."""
    import ot

    def solve() -> tuple[Array, Array]:
        X, Y, a, b = _pot_arrays(problem, "float32", "torch")
        f, g = ot.bregman.empirical_sinkhorn(
            X,
            Y,
            problem.reg,
            a,
            b,
            numIterMax=iterations,
            stopThr=0,
            isLazy=True,
            batchSize=BLOCK,
            warn=False,
        )
        return _absorbed(problem, f, g)

    return solve


def ott(cost: str = "dense", momentum: float = 1.0, anderson: int = 0) -> Callable[[Problem, int], Solve]:
    """OTT-JAX's `Sinkhorn` in float32, log domain.

    `cost="pointcloud"` is what the documentation shows; XLA then computes the cost again at every half step.
    `cost="dense"` hands over the same matrix as a `Geometry`, computed once inside the timed call.
    """

    def prepare(problem: Problem, iterations: int) -> Solve:
        import jax

        run = jax.jit(_ott_run(problem, cost, momentum, anderson, iterations, None))
        inputs = [np.asarray(v, dtype=np.float32) for v in (problem.X, problem.Y, problem.a, problem.b)]
        other = [np.ascontiguousarray(inputs[0][:, ::-1]), *inputs[1:]]
        jax.block_until_ready(run(*other))

        def solve() -> tuple[Array, Array]:
            f, g, _ = run(*inputs)
            return _absorbed(problem, np.asarray(f) / problem.reg, np.asarray(g) / problem.reg)

        return solve

    return prepare


def ott_search(cost: str = "dense", momentum: float = 1.0, anderson: int = 0) -> Callable[[Problem], int]:
    """Iterations by OTT's own L1 rule, looked at after every iteration, then as few as the yardstick allows.

    OTT measures before an f-update, on potentials that momentum has overshot.
    """

    def search(problem: Problem) -> int:
        import jax

        run = jax.jit(_ott_run(problem, cost, momentum, anderson, MAX_ITERATIONS, problem.tol))
        inputs = [np.asarray(v, dtype=np.float32) for v in (problem.X, problem.Y, problem.a, problem.b)]
        count, prepare = int(run(*inputs)[2]), ott(cost, momentum, anderson)
        while count > 1 and marginal_error(problem, prepare(problem, count - 1)()[1]) <= problem.tol:
            count -= 1
        return count

    return search


def _ott_run(
    problem: Problem, cost: str, momentum: float, anderson: int, iterations: int, threshold: float | None
) -> Callable[..., tuple[Any, Any, Any]]:
    from ott.geometry import geometry, pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import acceleration, sinkhorn

    solver = sinkhorn.Sinkhorn(
        threshold=0.0 if threshold is None else threshold,
        inner_iterations=1 if threshold is not None else iterations,
        min_iterations=0 if threshold is not None else iterations,
        max_iterations=iterations,
        momentum=None if anderson else acceleration.Momentum(value=momentum),
        anderson=acceleration.AndersonAcceleration(memory=anderson) if anderson else None,
    )

    def run(x: Any, y: Any, a: Any, b: Any) -> tuple[Any, Any, Any]:
        geom = pointcloud.PointCloud(x, y, epsilon=problem.reg)
        if cost == "dense":
            geom = geometry.Geometry(cost_matrix=geom.cost_matrix, epsilon=problem.reg)
        out = solver(linear_problem.LinearProblem(geom, a=a, b=b))
        return out.f, out.g, out.n_iters

    return run


def geomloss(problem: Problem, iterations: int) -> Solve:
    """geomloss's `ot.solve_sample`: averaged updates; reg falls to its value over all `iterations`."""
    import torch
    from geomloss import ot as geomloss_ot

    def solve() -> tuple[Array, Array]:
        inputs = [torch.from_numpy(np.asarray(v, np.float32)) for v in (problem.X, problem.Y, problem.a, problem.b)]
        with torch.no_grad():
            out = geomloss_ot.solve_sample(*inputs, reg=problem.reg, max_iter=iterations)
            f, g = (np.asarray(torch.as_tensor(v)) for v in (out.potential_a, out.potential_b))
        return f, g

    return solve


def pot_lazy_search(problem: Problem) -> int:
    """Its iteration updates f, then g; the f-update of the yardstick then saves it up to one iteration."""
    count = plain_iterations(problem)
    fewer = marginal_error(problem, pot_lazy(problem, max(count - 1, 1))()[1]) <= problem.tol
    return max(count - 1, 1) if fewer else count


def geomloss_search(problem: Problem, limit: int = 64) -> int:
    """Doubles the steps until `tol` is met or `limit` reached: the library has no stop rule."""
    iterations = 4
    while iterations < limit and marginal_error(problem, geomloss(problem, iterations)()[1]) > problem.tol:
        iterations *= 2
    return iterations


def gotd(problem: Problem, iterations: int) -> Solve:
    """gotd as its users call it, with its own stop rule: `iterations` decides nothing here."""

    def solve() -> tuple[Array, Array]:
        found = _gotd_solution(problem)
        return found.f.double().numpy(), found.g.double().numpy()

    return solve


def floor(problem: Problem, iterations: int) -> Solve:
    """No solver: every product once, in bfloat16, and every exponential once. A pass over all rows is no less."""
    import torch

    def solve() -> tuple[Array, Array]:
        x, y = (torch.from_numpy(points).to(torch.bfloat16) for points in (problem.X, problem.Y))
        products, rows = x @ y.T, max(1, (1 << 20) // len(problem.Y))
        for start in range(0, len(x), rows):
            torch.exp(products[start : start + rows].float())  # reg left out: its smallest results take longer
        return np.zeros(len(problem.X)), np.zeros(len(problem.Y))

    return solve


def gotd_search(problem: Problem) -> int:
    """Its passes over all rows, one matrix product each; those over every eighth row come on top."""
    return int(_gotd_solution(problem).passes)


def _gotd_solution(problem: Problem) -> Any:
    import torch

    from gotd import transport

    measures = [
        transport.Measure.of(torch.from_numpy(points), torch.from_numpy(weights))
        for points, weights in ((problem.X, problem.a), (problem.Y, problem.b))
    ]
    posed = transport.Problem(*measures, problem.reg, transport.Cost.SQEUCLIDEAN)
    return transport.solve(posed, tolerance=problem.tol)


PEERS: dict[str, Peer] = {
    "gotd": Peer(gotd, gotd_search),
    "floor": Peer(floor, lambda _: 1),
    "pot-sinkhorn-f64": Peer(pot("sinkhorn", "float64"), plain_iterations),
    "pot-sinkhorn-f32": Peer(pot("sinkhorn", "float32"), plain_iterations),
    "pot-sinkhorn-torch-f64": Peer(pot("sinkhorn", "float64", "torch"), plain_iterations),
    "pot-sinkhorn-torch-f32": Peer(pot("sinkhorn", "float32", "torch"), plain_iterations),
    "pot-log-torch-f32": Peer(pot("sinkhorn_log", "float32", "torch"), plain_iterations),
    "pot-log-f64": Peer(pot("sinkhorn_log", "float64"), plain_iterations, slow=True),
    "pot-stabilized-f64": Peer(pot("sinkhorn_stabilized", "float64"), plain_iterations, slow=True),
    "pot-lazy-torch-f32": Peer(pot_lazy, pot_lazy_search, slow=True),
    "ott-pointcloud": Peer(ott("pointcloud"), plain_iterations),
    "ott-dense": Peer(ott(), plain_iterations),
    "ott-momentum-1.3": Peer(ott(momentum=1.3), ott_search(momentum=1.3)),
    "ott-momentum-1.5": Peer(ott(momentum=1.5), ott_search(momentum=1.5)),
    "ott-anderson-3": Peer(ott(anderson=3), ott_search(anderson=3)),
    "geomloss": Peer(geomloss, geomloss_search, slow=True),
}


def solve(peer: str, problem: Problem, iterations: int) -> Answer:
    """Runs one peer in this process. For a figure of memory too, use `measure`."""
    call = PEERS[peer].prepare(problem, iterations)
    start = time.perf_counter()
    f, g = call()
    return Answer(f, g, time.perf_counter() - start, iterations)


def measure(
    peer: str,
    vectors: str | Path,
    reg_fraction: float,
    tol: float = 1e-2,
    iterations: int | None = None,
    repeats: int = 1,
) -> dict[str, Any]:
    """One peer, searched and then timed in processes of their own.

    Returns peer, seconds, cpu_seconds, peak_mb (10^6 bytes), iterations, l1 and converged; seconds are the
    least of `repeats`. Where rounding makes the count of the search just too small, one iteration is added,
    twice at most.
    """
    settings = ["--peer", peer, "--vectors", str(vectors), "--reg", str(reg_fraction), "--tol", str(tol)]
    timed = [*settings, "--stage", "time", "--repeats", str(repeats)]
    if iterations is not None:
        return child([*timed, "--iterations", str(iterations)])
    found = child([*settings, "--stage", "search"])["iterations"]
    for count in (found, found + 1, found + 2):
        result = child([*timed, "--iterations", str(count)])
        # An answer far off is a failure of the method or its number format: iterations do not mend it.
        near = result["l1"] is not None and result["l1"] < 1.1 * tol
        if result["converged"] or not near:
            break
    return result


def child(arguments: list[str], python: str = sys.executable) -> dict[str, Any]:
    """One stage of this file, in a process of its own under `python`."""
    done = subprocess.run([python, __file__, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _time_stage(peer: str, problem: Problem, iterations: int, repeats: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    small = rng.standard_normal((96, problem.X.shape[1])).astype(np.float32)
    small /= np.linalg.norm(small, axis=1, keepdims=True)
    solve(peer, Problem.uniform(small[:64], small[64:], 0.5), 2)  # imports, threads

    call = PEERS[peer].prepare(problem, iterations)
    gc.collect()
    _reset_peak()
    before = _memory("VmRSS")
    times = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        _, g = call()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    seconds, cpu_seconds = min(times)
    peak = _memory("VmHWM") - before

    error = marginal_error(problem, g) if np.isfinite(g).all() else float("nan")
    return {
        "peer": peer,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu_seconds, 3),
        "peak_mb": round(peak / 1e6, 1),
        "iterations": iterations,
        "l1": error if np.isfinite(error) else None,
        "converged": error <= problem.tol,
    }


def _memory(field: str) -> int:
    """VmRSS or VmHWM of this process in bytes. Not getrusage: its peak is inherited from the parent."""
    status = Path("/proc/self/status").read_text()
    match = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    if match is None:
        raise OSError(f"/proc/self/status has no {field}; this benchmark needs Linux")
    return int(match[1]) * 1024


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, choices=[*PEERS, "all"], help="all leaves out the slow ones")
    parser.add_argument("--vectors", required=True, type=Path)
    parser.add_argument("--reg", type=float, default=0.1, help="fraction of the mean cost")
    parser.add_argument("--tol", type=float, default=1e-2, help="L1 marginal error")
    parser.add_argument("--iterations", type=int, help="skip the search")
    parser.add_argument("--repeats", type=int, default=1, help="keep the fastest of so many runs")
    parser.add_argument("--stage", choices=["search", "time"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()

    if arguments.stage is None:
        names = [n for n, p in PEERS.items() if not p.slow] if arguments.peer == "all" else [arguments.peer]
        for name in names:
            result = measure(
                name, arguments.vectors, arguments.reg, arguments.tol, arguments.iterations, arguments.repeats
            )
            print(json.dumps(result), flush=True)
        return

    warnings.simplefilter("ignore")
    with np.load(arguments.vectors) as arrays:
        problem = Problem.uniform(arrays["X"], arrays["Y"], arguments.reg, arguments.tol)
    if arguments.stage == "search":
        print(json.dumps({"iterations": PEERS[arguments.peer].search(problem)}))
    else:
        print(json.dumps(_time_stage(arguments.peer, problem, arguments.iterations, arguments.repeats)))


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
