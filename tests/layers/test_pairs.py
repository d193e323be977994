"""What lets recurrent models compare two texts."""

from __future__ import annotations

import keras
import numpy as np

from keras_seqzoo.layers.pairs import PairAlignment, PairPooling

MASK = np.array([[1, 1, 1, 0], [1, 1, 0, 0]])
SEGMENTS = np.array([[0, 0, 1, 0], [0, 0, 0, 0]])  # the second row has no second text


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_a_token_stands_beside_the_mean_of_the_other_text() -> None:
    words, vectors = numbers(2, 4, 3), numbers(2, 4, 5)
    found = np.split(np.asarray(PairAlignment()(words, vectors, MASK, SEGMENTS)), 4, axis=-1)
    weights = np.exp(words[0, :2] @ words[0, 2])
    other = np.zeros((2, 4, 5), "float32")
    other[0, :2] = vectors[0, 2]
    other[0, 2] = (weights[:, None] * vectors[0, :2]).sum(axis=0) / weights.sum()
    real = MASK == 1
    for part, expected in zip(
        found, (vectors, other, np.abs(vectors - other), vectors * other), strict=True
    ):
        np.testing.assert_allclose(part[real], expected[real], atol=1e-5)


def test_means_and_largest_values_of_each_text() -> None:
    vectors = numbers(2, 4, 3)
    u, v, difference, product = np.split(
        np.asarray(PairPooling(largest=True)(vectors, MASK, SEGMENTS)), 4, axis=-1
    )
    first = [vectors[0, :2], vectors[1, :2]]
    expected = np.stack([np.concatenate([x.mean(axis=0), x.max(axis=0)]) for x in first])
    np.testing.assert_allclose(u, expected, atol=1e-6)
    np.testing.assert_allclose(v, [np.tile(vectors[0, 2], 2), np.zeros(6)], atol=1e-6)
    np.testing.assert_allclose(difference, np.abs(u - v), atol=1e-6)
    np.testing.assert_allclose(product, u * v, atol=1e-6)


def test_half_precision_stays_finite() -> None:
    words, vectors = (50 * numbers(2, 4, 64)).astype("float16"), numbers(2, 4, 5).astype("float16")
    aligned = PairAlignment(dtype="float16")(words, vectors, MASK, SEGMENTS)
    pooled = PairPooling(largest=True, dtype="float16")(aligned, MASK, SEGMENTS)
    assert keras.backend.standardize_dtype(pooled.dtype) == "float16"
    assert np.isfinite(np.asarray(pooled)).all()
