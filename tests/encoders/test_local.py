"""Models of the hub, on a machine that may have no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import RepositoryNotFoundError

from gotd.encoders import local
from gotd.encoders.local import load
from gotd.errors import SettingsError


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[str]]]:
    """hub(*errors): from here on the hub meets one request after another with these; gives the addresses asked for."""

    def answer_with(*errors: Exception) -> list[str]:
        asked: list[str] = []

        def answer(url: str) -> None:
            asked.append(url)
            if len(asked) <= len(errors):
                raise errors[len(asked) - 1]

        monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", answer)
        return asked

    local._answers.cache_clear()
    yield answer_with
    local._answers.cache_clear()


def offline() -> bool:
    """Whether the libraries would ask the hub for nothing."""
    return bool(constants.is_offline_mode())


SILENT = OSError("Name or service not known")


def test_a_hub_that_is_silent_twice_is_asked_no_more(hub: Callable[..., list[str]]) -> None:
    """What is cached is loaded all the same, and afterwards the libraries are as they were."""
    asked = hub(SILENT, SILENT)
    assert load("some/model", offline)
    assert load("some/model", offline)
    assert asked == 2 * ["https://huggingface.co/some/model/resolve/main/config.json"]
    assert not offline()

    def absent() -> None:
        raise OSError("not in the cache")

    with pytest.raises(SettingsError, match="could not be loaded: the hub does not answer, and from its cache: not in"):
        load("some/model", absent)
    assert not offline()


def test_one_silence_is_no_end(hub: Callable[..., list[str]]) -> None:
    hub(SILENT)
    assert not load("some/model", offline)


def test_a_hub_that_says_no_is_left_to_the_library(hub: Callable[..., list[str]]) -> None:
    class Refused(RepositoryNotFoundError):
        def __init__(self) -> None:
            pass

    asked = hub(Refused(), Refused())
    assert not load("some/model", offline)
    assert len(asked) == 1


def test_a_folder_asks_nobody(hub: Callable[..., list[str]], tmp_path: Path) -> None:
    asked = hub(SILENT, SILENT)
    assert not load(str(tmp_path), offline)
    assert not asked
