"""The CRF over tags, held to a count of all of them."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_seqzoo.layers.tags import TagScores, tags_of_spans

TYPES, WORDS = 2, 4
LENGTHS = (4, 2, 1, 0)


def allowed(path: tuple[int, ...]) -> bool:
    pairs = zip((0, *path), path, strict=False)
    return all(tag == 0 or tag % 2 == 1 or before in (tag, tag - 1) for before, tag in pairs)


@pytest.fixture(params=[True, False], ids=["crf", "softmax"])
def layer(request: Any) -> Any:
    keras.utils.set_random_seed(1)
    made = TagScores(TYPES, request.param)
    made.build((None, None, 3))
    if request.param:
        made.transitions.assign(np.random.default_rng(0).normal(size=(made.units, made.units)))
    return made


@pytest.fixture
def scores() -> Any:
    shape = (len(LENGTHS), WORDS, 1 + 2 * TYPES)
    return np.random.default_rng(3).normal(size=shape).astype(np.float32) * 2


def paths(layer: Any, scores: Any, length: int) -> dict[tuple[int, ...], float]:
    steps = layer.steps().numpy()
    return {
        path: sum(
            steps[before, tag] + scores[i, tag]
            for i, (before, tag) in enumerate(zip((0, *path), path, strict=False))
        )
        for path in itertools.product(range(layer.units), repeat=length)
        if allowed(path)
    }


def test_likelihood_and_best_tags(layer: Any, scores: Any) -> None:
    lengths = tf.constant(LENGTHS)
    best = layer.best(scores, lengths).numpy()
    for row, length in enumerate(LENGTHS):
        found = paths(layer, scores[row], length)
        assert tuple(best[row][:length]) == max(found, key=found.__getitem__)
        assert not best[row][length:].any()
    nats = layer.losses_of(scores, lengths, best).numpy()
    for row, length in enumerate(LENGTHS):
        found = paths(layer, scores[row], length)
        whole = np.logaddexp.reduce(list(found.values()))
        if layer.learns:
            assert nats[row] == pytest.approx(whole - max(found.values()), abs=1e-4)
        else:
            single = tf.nn.log_softmax(scores[row]).numpy()
            expected = -sum(single[i, best[row, i]] for i in range(length))
            assert nats[row] == pytest.approx(expected, abs=1e-4)


def test_spans_and_their_probabilities(layer: Any, scores: Any) -> None:
    starts = np.where(np.arange(WORDS) < np.array(LENGTHS)[:, None], 10 * np.arange(WORDS), -1)
    ends = np.where(starts >= 0, starts + 5, -1)
    scores[0] = 0
    scores[0, [0, 1, 2, 3], [1, 2, 1, 3]] = 1.5  # two of a type that touch, and another
    found = layer.pieces(
        scores, tf.constant(LENGTHS), tf.constant(starts, tf.int32), tf.constant(ends, tf.int32)
    )
    best = layer.best(scores, tf.constant(LENGTHS)).numpy()

    def spans(path: Any) -> set[tuple[int, int, int]]:
        made: list[tuple[int, int, int]] = []
        for i, tag in enumerate(path):
            if tag % 2:
                made.append((i, i, (tag - 1) // 2))
            elif tag:
                made[-1] = (made[-1][0], i, made[-1][2])
        return set(made)

    columns = [c.numpy().tolist() for c in found]
    told = list(zip(*columns, strict=True))
    assert [t[0] for t in told] == sorted(t[0] for t in told)
    for row, length in enumerate(LENGTHS):
        every = paths(layer, scores[row], length)
        whole = np.logaddexp.reduce(list(every.values()))
        expected = {
            (first, last, kind): sum(
                np.exp(score - whole)
                for path, score in every.items()
                if (first, last, kind) in spans(path)
            )
            for first, last, kind in spans(best[row][:length])
        }
        ours = {(s // 10, (e - 5) // 10, k): p for r, k, s, e, p in told if r == row}
        assert ours.keys() == expected.keys()
        for span, probability in ours.items():
            assert probability == pytest.approx(expected[span], abs=1e-4)


def test_tags_of_spans() -> None:
    starts = tf.constant([[0, 4, 8, 13, -1], [0, 2, 4, 6, 8]])
    ends = tf.constant([[3, 7, 12, 14, -1], [1, 3, 5, 7, 9]])
    spans = tf.constant([[[0, 7, 1], [8, 10, 0], [13, 14, 0]], [[2, 5, 0], [-1] * 3, [-1] * 3]])
    np.testing.assert_array_equal(
        tags_of_spans(starts, ends, spans), [[3, 4, 1, 1, 0], [0, 1, 2, 0, 0]]
    )


def test_likelihood_has_a_gradient(scores: Any) -> None:
    layer = TagScores(TYPES, True)
    layer.build((None, None, 3))
    with tf.GradientTape() as tape:
        x = tf.constant(scores)
        tape.watch(x)
        nats = tf.reduce_sum(layer.losses_of(x, tf.constant(LENGTHS), tf.zeros([4, 4], tf.int32)))
    of_scores, of_steps = tape.gradient(nats, [x, layer.transitions.value])
    assert np.isfinite(of_scores).all()
    assert np.isfinite(of_steps).all()
    assert not of_scores.numpy()[1, 2:].any()
