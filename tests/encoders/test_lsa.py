"""LSA: against scikit-learn's tf-idf, alone and in batches, tiny fits, and the way to disk and back."""

import json

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from gotd.encoders import Encoder, fit_encoder, hashing, restore_encoder
from gotd.encoders.lsa import Lsa, fit_lsa
from gotd.errors import ArtifactError, InputError

TOPICS = ("cat dog bird fish horse", "stock bond market price trade", "gene cell protein blood virus")


def corpus(n: int, seed: int = 0) -> list[str]:
    """n texts, each mostly of one of three topics, in turn."""
    rng = np.random.default_rng(seed)
    words = [topic.split() for topic in TOPICS]
    return [
        " ".join([*rng.choice(words[i % 3], rng.integers(3, 20)), *rng.choice(words[(i + 1) % 3], 2)]) for i in range(n)
    ]


def words_alone(encoder: Lsa, texts: list[str]) -> np.ndarray:
    """Vectors without what every text is given."""
    return encoder.encode(texts) - encoder.prior


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def fitted() -> Lsa:
    return fit_lsa(corpus(300))


def test_cosines_are_those_of_scikit_learn() -> None:
    """The three topics have 15 words, so every direction is kept; bytes round the cosines to 1e-2."""
    texts = corpus(200)
    tfidf = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+").fit_transform(texts)
    theirs = unit(tfidf.toarray())
    ours = unit(words_alone(fit_lsa(texts), texts))
    np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, atol=1e-2)


def test_leading_directions_are_those_of_scikit_learn() -> None:
    """Three of fifteen directions; common words, of little idf, would turn them if they counted in full."""
    texts = [f"{text} " + "the " * (i % 4 > 0) + "of " * (i % 5 > 0) for i, text in enumerate(corpus(200))]
    tfidf = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+").fit_transform(texts)
    theirs = unit(TruncatedSVD(3, algorithm="arpack", random_state=0).fit_transform(tfidf))
    ours = unit(words_alone(fit_lsa(texts, dim=3), texts))
    np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, atol=2e-2)


def test_every_text_goes_on_for_a_third_of_an_average_one(fitted: Lsa) -> None:
    """The more words it has, the less it is moved; a text of unknown words stays zero."""
    texts = corpus(300)
    np.testing.assert_allclose(fitted.prior, 0.3 * words_alone(fitted, texts).mean(0), rtol=1e-4, atol=1e-5)
    few, many = "blood", " ".join(TOPICS[2].split() * 9)
    moved = (unit(fitted.encode([few, many])) * unit(words_alone(fitted, [few, many]))).sum(1)
    assert moved[0] < moved[1] < 1
    assert not fitted.encode(["qqq"]).any()


def test_it_is_an_encoder_and_its_vectors_are_finite_float32(fitted: Lsa) -> None:
    vectors = fitted.encode(corpus(50, seed=1))
    assert isinstance(fitted, Encoder)
    assert vectors.dtype == np.float32
    assert vectors.shape == (50, fitted.dim)
    assert np.isfinite(vectors).all()


def test_texts_of_one_topic_are_nearest_to_each_other(fitted: Lsa) -> None:
    x = unit(fitted.encode(corpus(60, seed=1)))
    cosine = x @ x.T - 2 * np.eye(60)
    assert (cosine.argmax(1) % 3 == np.arange(60) % 3).mean() > 0.95


def test_a_vector_does_not_depend_on_its_batch_bit_for_bit(fitted: Lsa, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*corpus(150, seed=2), "naïve cat 中文", "", "blood " * 400]
    together = fitted.encode(texts)
    alone = np.concatenate([fitted.encode([text]) for text in texts])
    backwards = fitted.encode(texts[::-1])[::-1]
    monkeypatch.setattr(hashing, "BATCH_TEXTS", 7)
    by_sevens = fitted.encode(texts)
    for other in (alone, backwards, by_sevens):
        assert other.tobytes() == together.tobytes()


def test_the_same_texts_and_seed_give_the_same_encoder() -> None:
    first, again = (fit_encoder("lsa", corpus(200), seed=3) for _ in range(2))
    assert first.fingerprint == again.fingerprint
    assert first.fingerprint != fit_encoder("lsa", corpus(201), seed=3).fingerprint


def test_a_text_of_unknown_words_is_all_zero(fitted: Lsa) -> None:
    assert not fitted.encode(["", "...", "xylophone quux"]).any()
    assert fitted.encode([]).shape == (0, fitted.dim)


def test_words_of_few_texts_are_left_out_of_a_large_fit() -> None:
    encoder = fit_lsa([*corpus(300), "rare cat", "rare dog", "common cat", "common dog", "common cat"])
    assert not encoder.encode(["rare"]).any()
    assert encoder.encode(["common"]).any()


@pytest.mark.parametrize(
    "texts",
    [["hello"], ["a b c"], ["x", "y"], ["same text"] * 3, ["x"] * 300, ["中文"], ["", "...", "one"]],
    ids=str,
)
def test_tiny_fits_work(texts: list[str]) -> None:
    encoder = fit_lsa(texts)
    vectors = encoder.encode(texts)
    assert encoder.dim == len({text for text in texts if any(map(str.isalnum, text))})
    assert np.isfinite(vectors).all()
    assert vectors.any(1).tolist() == [any(map(str.isalnum, text)) for text in texts]


@pytest.mark.parametrize("texts", [[], ["", " ...\n"]], ids=["none", "wordless"])
def test_no_words_at_all_is_told(texts: list[str]) -> None:
    with pytest.raises(InputError, match=f"the {len(texts)} texts given hold no letter or digit"):
        fit_encoder("lsa", texts)


def test_texts_that_share_no_word_can_be_fitted() -> None:
    """Ids, links or names, a line each: no word comes often enough to count in a large fit."""
    texts = [f"word{i}" for i in range(150)]
    encoder = fit_lsa(texts)
    assert len(encoder.features) == 150
    assert encoder.encode(texts).any(1).all()


def test_restored_from_json_and_arrays_it_gives_the_same_bits(fitted: Lsa) -> None:
    config = json.loads(json.dumps(fitted.config()))
    restored = restore_encoder(config, {name: array.copy() for name, array in fitted.tensors().items()})
    texts = corpus(40, seed=5)
    assert restored.encode(texts).tobytes() == fitted.encode(texts).tobytes()
    assert (restored.spec, restored.dim, restored.fingerprint) == ("lsa", fitted.dim, fitted.fingerprint)


@pytest.mark.parametrize("name", ["features", "projection", "scales"])
def test_changed_arrays_are_noticed(fitted: Lsa, name: str) -> None:
    tensors = {key: array.copy() for key, array in fitted.tensors().items()}
    tensors[name][0] += 1
    with pytest.raises(ArtifactError, match=r"the encoder at lsa differs from the fitted one: .* fit again"):
        restore_encoder(fitted.config(), tensors)
