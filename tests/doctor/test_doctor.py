"""gotd doctor: sound on a sound machine, and on others it says what is broken and exits 1."""

from __future__ import annotations

import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from scipy.optimize import minimize_scalar

from gotd.cli import main
from gotd.doctor import Checkup, Finding, examine
from gotd.engine.run import available_cores

# By name: `gotd.doctor.selftest` is the function that the package imports from it.
packages, selftest, machine, encoders = (
    importlib.import_module(f"gotd.doctor.{name}") for name in ("packages", "selftest", "machine", "encoders")
)


def by_name(checkup: Checkup, name: str) -> Finding:
    return next(finding for finding in checkup.findings if finding.name == name)


@pytest.fixture(scope="module")
def here() -> Checkup:
    return examine()


# A sound machine


def test_the_test_machine_is_sound(here: Checkup) -> None:
    assert here.sound, [finding for finding in here.findings if finding.state == "broken"]
    assert {finding.topic for finding in here.findings} == {"packages", "extras", "machine", "encoders", "self-test"}


def test_every_requirement_is_looked_at(here: Checkup) -> None:
    pyproject = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    declared = pyproject.split("\ndependencies = [")[1].split("]")[0].split('"')[1::2]
    needed = {requirement.split(">=")[0] for requirement in declared} - {"pyyaml", "threadpoolctl"}
    looked = {finding.name for finding in here.findings if finding.topic == "packages"}
    assert looked >= {"python", "gotd", *needed}
    assert "dev" not in {finding.name for finding in here.findings}


def test_it_says_what_the_machine_has(here: Checkup) -> None:
    cores = by_name(here, "cores").found
    assert cores.startswith(f"{available_cores()} of {os.cpu_count()}")
    assert "GB free in" in by_name(here, "disk here").found
    assert by_name(here, "lsa").state == "ok"


def test_the_command_prints_it_and_exits_0(monkeypatch: pytest.MonkeyPatch, here: Checkup) -> None:
    monkeypatch.setattr("gotd.doctor.examine", lambda: here)
    shown = CliRunner().invoke(main, ["doctor"])
    assert shown.exit_code == 0
    assert shown.stdout.rstrip().endswith("Nothing is broken.")
    assert "10 of 10 planted documents found" in shown.stdout
    told = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)
    assert told["sound"] is True
    assert {"topic", "name", "found", "state", "remedy"} == told["findings"][0].keys()


# The self-test


@pytest.mark.parametrize(("p", "q", "reg"), [(0.3, 0.6, 0.5), (0.5, 0.5, 0.1), (0.9, 0.2, 2.0), (0.01, 0.5, 0.3)])
def test_the_closed_form_is_the_least_value_of_any_plan(p: float, q: float, reg: float) -> None:
    """By minimising <P, C> + reg KL(P | a b^T) over its one free number."""

    def value(x: float) -> float:
        plan = (x, p - x, q - x, 1 - p - q + x)
        masses = (p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q))
        return plan[1] + plan[2] + reg * sum(a * math.log(a / b) for a, b in zip(plan, masses) if a > 0)

    bounds = (max(0.0, p + q - 1), min(p, q))
    least = minimize_scalar(value, bounds=bounds, method="bounded", options={"xatol": 1e-12})
    assert selftest.closed_form(p, q, reg) == pytest.approx(least.fun, abs=1e-9)


def test_a_wrong_solver_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a value that is off in the sixth place."""
    import gotd.transport

    right = gotd.transport.solve

    def wrong(*arguments: Any, **settings: Any) -> Any:
        found = right(*arguments, **settings)
        return type(found)(found.f, found.g, found.value + 1e-6, *[getattr(found, n) for n in found.__slots__[3:]])

    monkeypatch.setattr(gotd.transport, "solve", wrong)
    assert [finding.state for finding in selftest.selftest()] == ["broken", "ok"]


def test_a_choice_that_misses_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from gotd import pipeline

    right = pipeline.select
    monkeypatch.setattr(pipeline, "select", lambda *given, **flags: right(*given, **flags, method="random"))
    found = list(selftest.selftest())[1]
    assert found.state == "broken"
    assert "of 10 planted documents found among 200" in found.found
    assert "report" in found.remedy


def test_whatever_goes_wrong_in_a_self_test_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    from gotd import pipeline

    def broken(*given: Any, **flags: Any) -> None:
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(pipeline, "select", broken)
    found = list(selftest.selftest())[1]
    assert (found.state, found.found.startswith("ZeroDivisionError: of all things")) == ("broken", True)


def test_it_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    list(selftest.selftest())
    list(machine.machine())
    assert list(tmp_path.iterdir()) == []


# What is broken


def needing(monkeypatch: pytest.MonkeyPatch, *lines: str) -> dict[str, Finding]:
    monkeypatch.setattr(packages, "requires", lambda name: list(lines))
    return {finding.name: finding for finding in packages.packages()}


def test_a_package_that_is_missing_or_too_old_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    found = needing(monkeypatch, "numpy>=99.1", "no-such-thing>=1.2", "click>=8.1")
    assert found["click"].state == "ok"
    assert (found["numpy"].state, found["numpy"].found.endswith(", wanted numpy>=99.1")) == ("broken", True)
    assert found["no-such-thing"].found == "not installed"
    assert found["no-such-thing"].remedy == "Run: pip install 'no-such-thing>=1.2'"


def test_an_extra_that_is_missing_is_no_fault_and_has_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    found = needing(
        monkeypatch,
        "numpy>=1; extra == 'there'",
        'no-such-thing>=1; extra == "gone"',
        'numpy>=1; extra == "gone"',
        'other>=1; extra == "dev"',
    )
    assert found["there"].state == "ok"
    assert (found["gone"].state, found["gone"].found) == ("absent", "without no-such-thing")
    assert found["gone"].remedy == "pip install 'gotd[gone]'"
    assert not found.keys() & {"dev", "no-such-thing", "other"}


def test_an_encoder_without_its_packages_has_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "find_spec", lambda name: None if name == "wordllama" else object())
    found = {finding.name: finding for finding in encoders.encoders()}
    assert (found["static"].state, found["static"].remedy) == ("absent", "pip install 'gotd[static]'")
    assert found["hf:NAME"].state == "ok"


def test_models_on_this_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "models--org--small" / "snapshots" / "abc").mkdir(parents=True)
    (tmp_path / "models--half" / "blobs").mkdir(parents=True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert list(encoders.encoders())[-1].found == "org/small"


def test_no_room_on_disk_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from types import SimpleNamespace

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**6))
    found = {finding.name: finding for finding in machine.machine()}
    assert found["disk here"].state == "broken"
    assert "Make room" in found["disk here"].remedy


def test_a_package_that_cannot_be_imported_does_not_stop_the_doctor(tmp_path: Path) -> None:
    """As after a half-done update; the table comes out all the same, and the exit code is 1."""
    (tmp_path / "orjson.py").write_text("raise ImportError('half an update')")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "gotd", "doctor"], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "cannot be imported (half an update)" in done.stdout
    assert "packages, orjson:" in done.stdout
    assert "zstandard" in done.stdout
