"""A potential as a file: what is saved comes back to the bit, and what is not gotd's is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import torch

from gotd import ArtifactError, FitSettings, InputError, Potential
from gotd.encoder_folders import encoder_files
from gotd.encoders.precomputed import Precomputed
from gotd.stages.fit import fitted
from gotd.transport import SoftMin

FILE = "potential.safetensors"

SCRIPTS = {
    "Chinese": "最优传输理论",
    "Japanese": "猫が好きです",
    "Arabic": "النقل الأمثل للكتلة",
    "Hindi": "इष्टतम परिवहन",
    "Thai": "การขนส่งที่เหมาะสม",
    "emoji": "\U0001f600\U0001f680 \U0001f469\u200d\U0001f4bb",
    "one word": "common1",
    "one letter": "c",
    "an unknown word": "zyzzyva",
    "signs alone": "?! -- ...",
    "a lone surrogate": "half \ud83d",
    "nothing": "",
    "very long": "common1 rare2 " * 50_000,
}


@pytest.fixture(scope="module")
def potential(selector: Path) -> Potential:
    return Potential.load(selector)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """(300, 5) with no structure."""
    return np.random.default_rng(0).standard_normal((300, 5)).astype(np.float32)


@pytest.fixture
def copy(selector: Path, tmp_path: Path) -> Callable[..., Path]:
    """copy(about={...}, tensors={...}) -> a potential file with parts of it exchanged."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    def write(about: dict[str, Any] | None = None, tensors: dict[str, Any] | None = None, key: str = "gotd") -> Path:
        with safe_open(str(selector / FILE), framework="pt") as content:
            held = {**orjson.loads(content.metadata()["gotd"]), **(about or {})}
            arrays = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        arrays.update({name: change(arrays[name]) for name, change in (tensors or {}).items()})
        save_file(arrays, tmp_path / FILE, {key: orjson.dumps(held).decode()})
        return tmp_path / FILE

    return write


@pytest.mark.parametrize("text", SCRIPTS.values(), ids=SCRIPTS)
def test_any_text_has_a_finite_score(text: str, potential: Potential) -> None:
    assert np.isfinite(potential.score([text])).all()


def test_texts_may_be_few_or_none(potential: Potential) -> None:
    assert potential.score([]).shape == (0,)
    assert potential.score(list(SCRIPTS.values())).shape == (len(SCRIPTS),)


def test_texts_in_which_nothing_is_known_score_alike(potential: Potential) -> None:
    """Their vector is zero, and no direction is made up for it; what the reference lacks scores below them."""
    unknown = potential.score(["zyzzyva", "?!", ""])
    assert len(set(unknown.tolist())) == 1
    assert potential.score(["rare1 rare2 rare3"])[0] < unknown[0]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 127, 128, 129, 300])
def test_a_score_does_not_depend_on_its_neighbours(count: int, vectors: np.ndarray) -> None:
    """Same bits alone, at the end of a batch and within one: BLAS rounds otherwise for few rows."""
    settings = FitSettings()
    found = fitted(Precomputed(5), vectors, vectors[::-1][:70], settings)
    whole = found.score(vectors)
    parts = [found.score(vectors[i : i + count]) for i in range(0, len(vectors), count)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_the_score_is_the_difference_of_two_soft_minima(vectors: np.ndarray) -> None:
    """phi = f_PT - f_PP, f(x) = -reg log sum_j b_j exp((g_j - C(x, y_j)) / reg), each from its definition."""
    found = fitted(Precomputed(5), vectors, vectors[:40] + 1, FitSettings(centre=True, reg=0.3))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    centred = unit - unit.mean(0)
    x = torch.from_numpy(centred / np.linalg.norm(centred, axis=1, keepdims=True)).double()

    def softmin(part: SoftMin) -> torch.Tensor:
        cost = 1 - x @ part.points.double().T
        logits = (part.g.double() - cost) / part.reg + part.log_b.double()
        return -part.reg * torch.logsumexp(logits, 1)

    assert found.repel is not None
    expected = softmin(found.attract) - softmin(found.repel)
    assert np.allclose(found.score(vectors), expected.numpy(), atol=1e-5)
    assert math.isclose(found.level, float(expected.mean()), abs_tol=1e-4)


def test_priced_gives_the_mass_of_each_target(vectors: np.ndarray) -> None:
    """The plan's columns: as much in all as the rows weigh, whatever the blocks; weights count as copies do."""
    found = fitted(Precomputed(5), vectors, vectors[:40], FitSettings())
    points = found.points(vectors)
    weights = torch.arange(300, dtype=torch.float32)
    col = found.priced(points, weights).col
    assert col.shape == (40,)
    assert math.isclose(float(col.sum()), float(weights.sum()), rel_tol=1e-6)
    twice = torch.cat([points, points])
    ones = found.priced(points, torch.ones(300)).col
    assert torch.allclose(found.priced(twice, torch.ones(600)).col, 2 * ones, rtol=1e-5)
    assert torch.equal(found.priced(points).f, found.priced(points, weights).f)


def test_what_is_saved_comes_back(potential: Potential, tmp_path: Path) -> None:
    """Saving what was loaded writes the same bytes; from a folder or from the file."""
    again = Potential.load(potential.save(tmp_path))
    texts = list(SCRIPTS.values())
    assert np.array_equal(again.score(texts), potential.score(texts))
    assert again.quality == potential.quality
    assert again.settings == potential.settings
    assert (again.level, again.objective.reg, again.objective.own) == (
        potential.level,
        potential.objective.reg,
        potential.objective.own,
    )
    assert torch.equal(again.reference.points, potential.reference.points)
    first = (tmp_path / FILE).read_bytes()
    Potential.load(tmp_path).save(tmp_path)
    assert (tmp_path / FILE).read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    "settings", [FitSettings(centre=False), FitSettings(debias=False), FitSettings().as_published()]
)
def test_parts_that_are_not_there_are_not_made_up(settings: FitSettings, vectors: np.ndarray, tmp_path: Path) -> None:
    found = fitted(Precomputed(5), vectors, vectors[:40] * 2 + 1, settings)
    again = Potential.load(found.save(tmp_path))
    assert (again.repel is not None) == settings.debias
    assert (again.space.mean is not None) == settings.centre
    assert np.array_equal(again.score(vectors), found.score(vectors))


def test_texts_come_in_any_order_of_things(potential: Potential) -> None:
    """As a list, a generator, or a column of a table; what is no text among them is named."""
    texts = ["a b", "c", "b a c"]
    wanted = potential.score(texts)
    for given in ((text for text in texts), np.array(texts), np.array(texts, dtype=object)):
        assert np.array_equal(potential.score(given), wanted)
    with pytest.raises(InputError, match=r"item 1 is None\. Drop it"):
        potential.score(["a", None])


def test_one_string_is_not_a_list_of_texts(potential: Potential) -> None:
    with pytest.raises(InputError, match=r"score takes a list of texts; found one string\. Pass \[text\]"):
        potential.score("rare1 rare2")


def test_vectors_of_another_length_are_refused(potential: Potential) -> None:
    message = f"vectors have 3 dimensions, the potential was fitted on {potential.encoder.dim}; .* lsa"
    with pytest.raises(InputError, match=message):
        potential.score(np.ones((2, 3), np.float32))
    with pytest.raises(InputError, match=r"vectors have shape \(3,\); wanted \(n, d\)"):
        potential.score(np.ones(3, np.float32))


def test_vectors_with_nan_are_refused(potential: Potential) -> None:
    vectors = np.ones((3, potential.encoder.dim), np.float32)
    vectors[1, 0] = np.nan
    with pytest.raises(InputError, match="vector 1 of 3 holds NaN"):
        potential.score(vectors)


def test_a_missing_file_says_what_makes_one(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ArtifactError, match=r"no potential\.safetensors there; wanted a folder made by `gotd fit`"):
            Potential.load(path)


@pytest.mark.parametrize("content", [b"", b"no safetensors", None])
def test_a_damaged_file_is_refused(content: bytes | None, selector: Path, tmp_path: Path) -> None:
    whole = (selector / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ArtifactError, match=r"potential\.safetensors is damaged or not gotd's .*; fit it again"):
        Potential.load(tmp_path)


def test_another_format_is_refused(copy: Callable[..., Path]) -> None:
    with pytest.raises(ArtifactError, match="has format 99; this gotd reads format 3"):
        Potential.load(copy(about={"format": 99}))


def test_safetensors_of_others_are_refused(copy: Callable[..., Path]) -> None:
    with pytest.raises(ArtifactError, match="is damaged or not gotd's"):
        Potential.load(copy(key="other"))


def test_an_encoder_that_differs_from_the_fitted_is_refused(copy: Callable[..., Path]) -> None:
    """One byte of its projection is enough."""

    def changed(projection: torch.Tensor) -> torch.Tensor:
        projection[0, 0] ^= 1
        return projection

    with pytest.raises(ArtifactError, match="the encoder at lsa differs from the fitted one: fingerprint"):
        Potential.load(copy(tensors={"encoder.projection": changed}))
    assert Potential.load(copy()).encoder.spec == "lsa"


def test_a_torn_save_leaves_the_old_file(potential: Potential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    potential.save(tmp_path)
    before = (tmp_path / FILE).read_bytes()

    def torn(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("gotd.durable.os.fsync", torn)
    with pytest.raises(OSError, match="no space"):
        replace(potential, settings={}).save(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


def test_encoders_in_folders_are_known_by_what_the_folders_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that was trained on has the name that it had; what is embedded or on the hub has no folder."""
    model = tmp_path / "model" / "inner"
    model.mkdir(parents=True)
    (model / "weights").write_text("one")
    specs = (str(tmp_path / "model"), f"hf:{tmp_path / 'model'}")
    first = encoder_files(*specs)["encoder_files"]
    assert list(first) == list(specs)
    assert encoder_files(*specs)["encoder_files"] == first
    (model / "weights").write_text("two")
    again = encoder_files(*specs)["encoder_files"]
    assert not {first[spec] for spec in specs} & {again[spec] for spec in specs}
    (tmp_path / "lsa").mkdir()
    monkeypatch.chdir(tmp_path)
    assert encoder_files("lsa", "hf:some/model", "sentence-transformers/other") == {}
