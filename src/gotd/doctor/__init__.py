"""What this machine has for gotd, and whether gotd works on it: versions, resources, encoders, a self-test.

packages  what gotd needs, and what its extras would bring
machine   cores, threads, memory, GPU, disk
encoders  which of them can be used here
selftest  two problems whose answers are known
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from gotd.doctor.encoders import encoders
from gotd.doctor.finding import Finding
from gotd.doctor.machine import machine
from gotd.doctor.packages import packages
from gotd.doctor.selftest import selftest

__all__ = ["Checkup", "Finding", "examine"]

_MARKS = {"ok": "ok", "absent": "-", "broken": "BROKEN"}


@dataclass(frozen=True, slots=True)
class Checkup:
    """What was found: `gotd doctor`."""

    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing is broken; extras that are absent are no fault."""
        return all(finding.state != "broken" for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        return {"sound": self.sound, "findings": [asdict(finding) for finding in self.findings]}

    def lines(self) -> Iterator[str]:
        """A table, and what to do about each fault; in plain text, for rich itself may be what is missing."""
        width = max(len(finding.name) for finding in self.findings)
        topic = ""
        for finding in self.findings:
            if finding.topic != topic:
                topic = finding.topic
                yield topic
            remedy = f"; {finding.remedy}" if finding.state == "absent" and finding.remedy else ""
            yield f"  {finding.name:<{width}}  {_MARKS[finding.state]:<6}  {finding.found}{remedy}"
        yield ""
        broken = [finding for finding in self.findings if finding.state == "broken"]
        for finding in broken:
            yield f"{finding.topic}, {finding.name}: {finding.found}. {finding.remedy}"
        if not broken:
            yield "Nothing is broken."


def examine() -> Checkup:
    """Look at everything; some seconds, most of them for importing torch and for the self-test."""
    looked = [finding for look in (packages, machine, encoders, selftest) for finding in _findings(look)]
    return Checkup(tuple(looked))


def _findings(look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a look finds, up to where it cannot go on."""
    try:
        yield from look()
    except Exception as error:
        # Of a package that is missing or damaged: the packages above say which, and the rest is still looked at.
        yield Finding(look.__name__, "", f"{type(error).__name__}: {error}", "broken", "Mend the packages first.")
