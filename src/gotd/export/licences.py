"""Licences of the sources, as stated and never guessed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from gotd.errors import SettingsError

NOT_STATED = "not stated"

# Identifiers that the Hugging Face Hub takes in a card's `license` (huggingface.co/docs/hub/repositories-licenses).
_IDS = """
apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0
cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0
cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0
cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 agpl-3.0 gfdl gpl
gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl openrail++ osl-3.0 postgresql
ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license llama2 gemma
"""
HUB = frozenset(_IDS.split())


@dataclass(frozen=True, slots=True)
class Licences:
    """What is known of the licence of each document.

    Attributes:
        given: licence by source, for documents whose record states none.
        counts: documents by source and licence; None is not stated.
        unused: sources whose given licence no document needed.
    """

    given: Mapping[str, str] = field(default_factory=dict)
    counts: dict[str, Counter[str | None]] = field(default_factory=lambda: defaultdict(Counter))
    unused: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.unused.update(self.given)

    def add(self, source: str, stated: str | None) -> str | None:
        """Count a document; its own licence, or the one given for its source."""
        found = stated or self.given.get(source)
        self.counts[source][found] += 1
        if not stated:
            self.unused.discard(source)
        return found

    def of(self, source: str) -> str:
        """The licences of a source in words, with counts where there are several."""
        found = self.counts[source].most_common()
        if len(found) == 1:
            return found[0][0] or NOT_STATED
        return ", ".join(f"{licence or NOT_STATED} ({count:,})" for licence, count in found)

    def hub(self) -> dict[str, object]:
        """`license` of a card's front matter: `unknown` if any document states none, `other` if the Hub lacks one."""
        every = {licence for counts in self.counts.values() for licence in counts}
        stated = sorted({one.strip().lower() for licence in every if licence for one in licence.split(",")})
        if None in every or not stated:
            return {"license": "unknown"}
        if not HUB.issuperset(stated):
            return {"license": "other", "license_name": "by-source", "license_link": "README.md"}
        return {"license": stated[0] if len(stated) == 1 else stated}


def parse_licences(given: Iterable[str], sources: Iterable[str]) -> dict[str, str]:
    """`SOURCE=ID` flags as a mapping.

    Raises:
        SettingsError: a flag without `=`, for a source that nothing was chosen from, or given twice.
    """
    known, found = list(sources), dict[str, str]()
    for flag in given:
        source, equals, licence = (part.strip() for part in flag.rpartition("="))
        if not (equals and source and licence):
            raise SettingsError(f'license is "{flag}"; wanted SOURCE=ID, such as wikipedia=cc-by-sa-4.0')
        if source not in known:
            near = get_close_matches(source, known, n=1) or known[:3]
            raise SettingsError(f'license names the source "{source}"; the pool has {", ".join(near)}')
        if source in found:
            raise SettingsError(f'license names the source "{source}" twice; drop one of both')
        found[source] = licence
    return found
