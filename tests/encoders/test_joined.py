"""`lsa+static`: two halves, each of unit length, fitted and restored together."""

import json

import numpy as np
import pytest

from gotd.encoders import Encoder, fit_encoder, restore_encoder
from gotd.errors import ArtifactError

TEXTS = [
    f"{noun} {verb} the {thing}" for noun in ("cat", "dog") for verb in ("saw", "ate") for thing in ("fish", "bird")
]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return fit_encoder("lsa+static", TEXTS)


def test_each_half_is_its_encoder_centred_on_the_fit_texts(encoder: Encoder) -> None:
    joined = encoder.encode(TEXTS)
    assert joined.dtype == np.float32
    assert joined.shape == (len(TEXTS), encoder.dim)
    start = 0
    for alone in (fit_encoder("lsa", TEXTS), fit_encoder("static", [])):
        vectors = alone.encode(TEXTS)
        vectors = vectors - vectors.mean(0)
        expected = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        np.testing.assert_allclose(joined[:, start : start + alone.dim], expected, atol=1e-4)
        start += alone.dim
    assert start == encoder.dim


def test_a_half_that_knows_nothing_is_zero(encoder: Encoder) -> None:
    empty, unknown = encoder.encode(["", "xylophone"])
    static = slice(encoder.dim - 256, None)
    assert not empty.any()
    assert np.linalg.norm(unknown) == pytest.approx(np.linalg.norm(unknown[static])) == pytest.approx(1)


def test_one_text_is_at_its_own_mean_and_finite() -> None:
    assert not np.isnan(fit_encoder("lsa+static", ["one"]).encode(["one", ""])).any()


def test_restored_from_json_and_arrays_it_gives_the_same_bits(encoder: Encoder) -> None:
    restored = restore_encoder(json.loads(json.dumps(encoder.config())), encoder.tensors())
    assert restored.encode(TEXTS).tobytes() == encoder.encode(TEXTS).tobytes()
    assert restored.encode(TEXTS[3:4]).tobytes() == encoder.encode(TEXTS)[3:4].tobytes()


@pytest.mark.parametrize("name", ["projection", "lsa_mean", "static_mean"])
def test_changed_arrays_are_noticed(encoder: Encoder, name: str) -> None:
    tensors = {key: array.copy() for key, array in encoder.tensors().items()}
    tensors[name][0] += 1
    with pytest.raises(ArtifactError, match=r"the encoder at lsa\+static differs from the fitted one"):
        restore_encoder(encoder.config(), tensors)
