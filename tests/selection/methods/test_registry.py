"""From a word to a method: what is known, what is near, and what does not fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gotd.selection.methods
from gotd.errors import ArtifactError, InputError, SettingsError
from gotd.selection.methods import KNOWN_METHODS, Batch, fit_method, restore_method


def test_the_public_list_is_complete() -> None:
    names = [
        "BLIND",
        "GOTD",
        "KNOWN_METHODS",
        "Batch",
        "Method",
        "NearestLists",
        "Taken",
        "check_method",
        "fit_method",
        "restore_method",
    ]
    assert gotd.selection.methods.__all__ == names
    assert all(hasattr(gotd.selection.methods, name) for name in names)
    assert not hasattr(gotd.selection.methods, "Nearest")


def test_importing_the_methods_loads_no_torch() -> None:
    """In a process of its own."""
    probe = "import gotd.selection.methods, sys; print('torch' in sys.modules)"
    path = str(Path(gotd.selection.methods.__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, env={"PYTHONPATH": path}
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("neerest", "nearest"),
        ("DSIR", "dsir"),
        ("knn", "knn-kde"),
        ("wholly else", "random"),
    ],
)
def test_an_unknown_method_names_the_known_and_the_nearest(planted, name, guess) -> None:
    with pytest.raises(SettingsError) as caught:
        fit_method(name, **planted.samples)
    assert f'no method "{name}"' in str(caught.value)
    assert str(caught.value).endswith(f"Did you mean {guess}?")
    assert all(known in str(caught.value) for known in KNOWN_METHODS)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("random", {"seed": 1}, "it takes none"),
        ("nearest", {"kinds": "min"}, 'no option "kinds"; known: kind. Did you mean kind?'),
        ("nearest", {"kind": "max"}, 'kind is "max"; wanted min or mean'),
        ("nearest", {"kind": 3}, "kind is 3; wanted str"),
        ("round-robin", {"length": "long"}, "length is 'long'; wanted int"),
        ("mmd", {"kernel": "laplace"}, "wanted linear or gaussian"),
        ("mmd", {"sample": 0}, "sample is 0; wanted a positive number"),
        ("mmd", {"sample": 10.5}, "sample is 10.5; wanted int"),
        ("dsir", {"noise": 1}, "noise is 1; wanted bool"),
        ("dsir", {"buckets": True}, "buckets is True; wanted int"),
        ("dsir", {"buckets": -1}, "wanted a positive number"),
        ("dsir", {"buckets": 1 << 25}, "wanted 16777216 at most"),
        ("knn-kde", {"alpha": 0}, "alpha is 0.0; wanted above 0"),
        ("knn-kde", {"alpha": float("nan")}, "wanted above 0"),
        ("knn-kde", {"sigma": float("nan")}, "wanted a positive number"),
        ("knn-kde", {"pool": -5}, "wanted the number of documents"),
    ],
)
def test_an_option_that_does_not_fit_is_named_with_what_was_wanted(planted, name, options, says) -> None:
    with pytest.raises(SettingsError) as caught:
        fit_method(name, options=options, **planted.samples)
    assert says in str(caught.value)
    assert str(caught.value).startswith(name)


def test_a_restored_method_without_its_parts_is_to_be_fitted_again() -> None:
    with pytest.raises(ArtifactError, match=r"nearest lacks 'targets'; fit it again"):
        restore_method({"method": "nearest", "kind": "min"}, {})
    with pytest.raises(SettingsError, match='no method "else"'):
        restore_method({"method": "else"}, {})


def test_a_batch_holds_one_of_each() -> None:
    with pytest.raises(InputError, match="1 texts, 2 ids, 1 sources, 1 points"):
        Batch(["a"], ["1", "2"], ["s"], torch.zeros(1, 3))
