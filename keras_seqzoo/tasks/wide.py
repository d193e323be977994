"""Fits the linear model next to a network, and chooses its weight: see `layers.wide`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from scipy.sparse import coo_matrix, csr_matrix, hstack, vstack
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from keras_seqzoo.layers.wide import WideScores

BUCKETS = 65_521  # a prime
_MOST_OF_PAIRS = 1 << 22  # weights, over all classes: 16 MB
_MOST_BY_DEFAULT = 1 << 24  # the same with words: 64 MB
_MOST_COUNTED = 10_000_000  # words and pairs of training texts; with their letters 2.4 GB
_PART = 1024  # rows of arrays to count at once
_PENALTY = 10.0  # scikit-learn's C
_LETTERS = 0.5  # mean length of a word's letter features, relative to its word feature
_VISITS = 200_000  # of rows, if there are few


def sizes_for(words: int, classes: int) -> tuple[int, int]:
    """How many word ids, and how many places for word pairs: fewer if there are many classes."""
    return words, max(1, min(BUCKETS, _MOST_OF_PAIRS // classes))


def is_small(words: int, classes: int) -> bool:
    """Whether a linear model of these sizes is small enough to be added by default."""
    return sum(sizes_for(words, classes)) * classes <= _MOST_BY_DEFAULT


def learn_wide(
    layer: WideScores,
    words: Sequence[str],
    x: Any,
    y: Any,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | None = None,
) -> None:
    """Fits the linear model to the training rows; leaves its share unchanged.

    It is scikit-learn's logistic regression with C = 10, like `tfidf_logreg` of `compare`, but
    solved by SAGA (Defazio et al. 2014, SAGA: A Fast Incremental Gradient Method). After 20 passes,
    SAGA is as far as L-BFGS after ten to forty times as long. It learns from the first rows that
    hold ten million different words and pairs.

    For each word it learns a weight of the word and one of each run of two to five of its letters,
    so that words of similar spelling share what they teach (Bojanowski et al. 2017, Enriching Word
    Vectors with Subword Information). Their sum is the word's row of the kernel, so reading costs
    nothing more.

    Args:
        layer: the layer to fit, already built.
        words: the vocabulary, in the order of its ids.
        x: features `(rows, length)` or batches of them and labels, which can be read twice.
        y: labels of features; None if the batches have them.
        sample_weight: of the rows of features; None if the batches have them, or there are none.
        class_weight: by label number.
    """
    rows, labels, weights = [], [], []
    seen = 0
    count = tf.function(layer.counted, input_signature=[tf.TensorSpec([None, None], tf.int32)])
    for features, label, weight in _batches(x, y, sample_weight):
        places, counts = count(tf.constant(features["token_ids"]))
        rows.append(_sparse(places.numpy(), counts.numpy(), layer.vocabulary_size + layer.buckets))
        labels.append(label)
        weights.append(np.ones(len(label)) if weight is None else np.asarray(weight).ravel())
        seen += rows[-1].nnz
        if seen >= _MOST_COUNTED:
            break
    numbers = np.concatenate(labels) if labels else np.zeros(0, int)
    classes = np.unique(numbers)
    counted = vstack(rows, format="csr") if rows else csr_matrix((0, 1))
    if len(classes) < 2 or not counted.nnz:
        return
    counts_more = np.array([(class_weight or {}).get(number, 1.0) for number in numbers])
    tfidf = TfidfTransformer(sublinear_tf=True)
    learnt = tfidf.fit_transform(counted)
    known = np.bincount(counted.indices, minlength=counted.shape[1]) > 0
    seen_words = np.flatnonzero(known[: layer.vocabulary_size])
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    spelt = letters.fit_transform([words[int(at)] for at in seen_words])
    by_letters = learnt[:, seen_words] @ spelt
    scale = _LETTERS / np.sqrt(by_letters.multiply(by_letters).sum(axis=1).mean())
    passes = max(20, _VISITS // len(numbers))
    # The bias is one more feature: SAGA is slow to find scikit-learn's intercept.
    one = np.ones((len(numbers), 1), np.float32)
    features = hstack([learnt, by_letters * scale, one], format="csr")
    regression = LogisticRegression(
        C=_PENALTY, solver="saga", fit_intercept=False, max_iter=passes, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(features, numbers, sample_weight=np.concatenate(weights) * counts_more)
    kernel, of_letters, bias = np.split(regression.coef_.T, [len(known), -1])
    kernel[seen_words] += scale * (spelt @ of_letters)
    bias = bias[0]
    if len(classes) == 2:  # scikit-learn keeps only the second's
        kernel, bias = np.hstack([-kernel, kernel]) / 2, np.array([-bias[0], bias[0]]) / 2
    # For a class that no row has, the linear model answers no.
    whole = np.zeros(layer.kernel.shape, np.float32)
    least = np.full(layer.bias.shape, bias.min() - 5, np.float32)
    whole[:, classes], least[classes] = kernel, bias
    layer.idf.assign(np.where(known, tfidf.idf_, 0))
    layer.kernel.assign(whole)
    layer.bias.assign(least)


def _batches(x: Any, y: Any, sample_weight: Any) -> Iterator[tuple[Any, npt.NDArray[Any], Any]]:
    """Features, label numbers `(rows,)` and weights."""
    batches: Iterable[Any]
    if y is not None:
        parts = (slice(at, at + _PART) for at in range(0, len(y), _PART))
        weights = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight)
        ids = np.asarray(x["token_ids"])
        batches = (({"token_ids": ids[part]}, y[part], weights[part]) for part in parts)
    elif isinstance(x, keras.utils.PyDataset):
        batches = (x[number] for number in range(x.num_batches or 0))
    elif isinstance(x, tf.data.Dataset):
        endless = x.cardinality() == tf.data.INFINITE_CARDINALITY
        batches = islice(x, 1000) if endless else x
    else:
        return
    for batch in batches:
        features, label, weight = keras.utils.unpack_x_y_sample_weight(batch)
        if label is None:
            return
        numbers = np.asarray(label)
        numbers = numbers.argmax(axis=1) if numbers.ndim == 2 and numbers.shape[1] > 1 else numbers
        yield features, numbers.reshape(-1).astype(int), weight


def _sparse(places: npt.NDArray[Any], counts: npt.NDArray[Any], width: int) -> csr_matrix:
    at = np.nonzero(counts)
    return coo_matrix((counts[at], (at[0], places[at])), (len(places), width)).tocsr()
