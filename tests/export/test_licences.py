"""Licences as stated, never guessed."""

from __future__ import annotations

import pytest

from gotd.errors import SettingsError
from gotd.export.licences import HUB, Licences, parse_licences


def counted(given: dict[str, str], *documents: tuple[str, str | None]) -> Licences:
    found = Licences(given)
    for source, stated in documents:
        found.add(source, stated)
    return found


def test_a_record_speaks_for_itself_and_its_source_for_those_that_say_nothing() -> None:
    found = counted({"web": "odc-by"}, ("web", "mit"), ("web", None), ("web", None), ("books", None))
    assert found.of("web") == "odc-by (2), mit (1)"
    assert found.of("books") == "not stated"
    assert found.unused == set()
    assert counted({"web": "odc-by"}, ("web", "mit")).unused == {"web"}


@pytest.mark.parametrize(
    ("stated", "front"),
    [
        (["mit", "mit"], {"license": "mit"}),
        (["MIT", "mit"], {"license": "mit"}),
        (["mit", "cc-by-4.0"], {"license": ["cc-by-4.0", "mit"]}),
        (["mit, cc-by-4.0"], {"license": ["cc-by-4.0", "mit"]}),
        (["mit", None], {"license": "unknown"}),
        ([None], {"license": "unknown"}),
        (["house rules", "mit"], {"license": "other", "license_name": "by-source", "license_link": "README.md"}),
    ],
)
def test_front_matter_takes_the_hubs_identifiers_and_admits_what_is_not_known(
    stated: list[str | None], front: dict[str, object]
) -> None:
    assert counted({}, *(("web", one) for one in stated)).hub() == front


def test_the_hubs_identifiers_are_whole() -> None:
    assert {"apache-2.0", "cc-by-sa-4.0", "openrail++", "gemma"} <= HUB
    assert len(HUB) == 67


def test_flags_become_a_mapping() -> None:
    assert parse_licences(["web=mit", "a=b=cc0-1.0"], ["web", "a=b"]) == {"web": "mit", "a=b": "cc0-1.0"}


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["mit"], 'license is "mit"; wanted SOURCE=ID'),
        (["=mit"], "wanted SOURCE=ID"),
        (["web="], "wanted SOURCE=ID"),
        (["wed=mit"], 'names the source "wed"; the pool has web'),
        (["web=mit", "web=bsd"], "twice"),
    ],
)
def test_flags_that_name_nothing_are_refused(flags: list[str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        parse_licences(flags, ["web", "books"])
