"""Two problems with known answers: the solver against a closed form, and a whole selection from a planted pool.

Transport between two points and two points, with masses (p, 1 - p) and (q, 1 - q) and costs 0 and 1, has one free
number, x = P_11. At the optimum P = a b^T exp((f + g - C) / reg), so the f and g cancel in the odds ratio:

    x (1 - p - q + x) / ((p - x) (q - x)) = exp(2 / reg)

a quadratic equation in x. The planted pool has 10 documents of one vocabulary among 190 of another; half of the task
is of the first and the reference is the pool, so the best ten are those ten.
"""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gotd.doctor.finding import Finding

_P, _Q, _REG = 0.3, 0.6, 0.5
_WITHIN = 1e-8
_POOL, _PLANTED, _TARGET, _WORDS = 200, 10, 40, 12
_BUG = "Please report it with the output of: gotd doctor --json"


def selftest() -> Iterator[Finding]:
    yield _checked("solver", _solver)
    yield _checked("selection", _selection)


def _checked(name: str, check: Callable[[], tuple[bool, str]]) -> Finding:
    started = time.perf_counter()
    try:
        right, found = check()
    except Exception as error:
        # A self-test is there to catch what nobody thought of.
        right, found = False, f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - started
    return Finding("self-test", name, f"{found} ({seconds:.1f} s)", *(() if right else ("broken", _BUG)))


def _solver() -> tuple[bool, str]:
    import torch

    from gotd.transport import Measure, Problem, solve

    corners = torch.eye(2, dtype=torch.float64)
    reference = Measure.of(corners, torch.tensor([_P, 1 - _P], dtype=torch.float64))
    target = Measure.of(corners, torch.tensor([_Q, 1 - _Q], dtype=torch.float64))
    found = solve(Problem(reference, target, _REG), tolerance=1e-12).value
    wanted = closed_form(_P, _Q, _REG)
    return abs(found - wanted) < _WITHIN, f"transport of two points {found:.10f}, in closed form {wanted:.10f}"


def closed_form(p: float, q: float, reg: float) -> float:
    """min_P <P, C> + reg KL(P | a b^T) of two by two points, costs 0 on the diagonal and 1 beside it."""
    odds = math.exp(2 / reg)
    # (odds - 1) x^2 - (odds (p + q) + 1 - p - q) x + odds p q = 0; the smaller root keeps all masses positive.
    square, linear, constant = odds - 1, -(odds * (p + q) + 1 - p - q), odds * p * q
    x = (-linear - math.sqrt(linear**2 - 4 * square * constant)) / (2 * square)
    plan = ((x, p - x), (q - x, 1 - p - q + x))
    masses = ((p * q, p * (1 - q)), ((1 - p) * q, (1 - p) * (1 - q)))
    divergence = sum(plan[i][j] * math.log(plan[i][j] / masses[i][j]) for i in (0, 1) for j in (0, 1))
    return plan[0][1] + plan[1][0] + reg * divergence


def _selection() -> tuple[bool, str]:
    from gotd.pipeline import select

    with tempfile.TemporaryDirectory(prefix="gotd-doctor-") as folder:
        pool, target = Path(folder, "pool.jsonl"), Path(folder, "target.jsonl")
        pool.write_bytes(_lines("pool", _POOL, _POOL // _PLANTED))
        target.write_bytes(_lines("target", _TARGET, 2))
        chosen = select(str(pool), str(target), _PLANTED, Path(folder, "out"), workers=1).to_arrow()
    planted = sum(int(id) % (_POOL // _PLANTED) == 0 for id in chosen["id"].to_pylist())
    return planted == _PLANTED, f"{planted} of {_PLANTED} planted documents found among {_POOL}"


def _lines(seed: str, count: int, every: int) -> bytes:
    """JSONL of `count` documents; each `every`-th is of the other vocabulary."""
    import orjson

    draw = random.Random(seed)
    records = []
    for i in range(count):
        words = [f"{'rare' if i % every == 0 else 'common'}{draw.randrange(40)}" for _ in range(_WORDS)]
        records.append(orjson.dumps({"id": str(i), "text": " ".join(words)}))
    return b"\n".join(records) + b"\n"
