"""How the linear model beside a network is fitted, and how much it counts: see `layers.wide`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
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

# A prime: of 7,000 sentences of SST-2, one pair in two shares its place at most.
BUCKETS = 65_521
_MOST_WEIGHTS = 1 << 22  # of the pairs, over all classes: 16 MB
_MOST_COUNTED = 30_000_000  # words and pairs of training texts: 240 MB
_PART = 1024  # rows of arrays that are counted at once
_PENALTY = 10.0  # scikit-learn's C
_LETTERS = 0.5  # how long what letters say is beside what words say, in the mean
_VISITS = 200_000  # of rows, where these are few


def buckets_for(classes: int) -> int:
    """Places for pairs of words, fewer where there are many classes."""
    return min(BUCKETS, _MOST_WEIGHTS // classes)


def learn_wide(layer: WideScores, words: Sequence[str], x: Any, y: Any) -> None:
    """Fits the linear model to the training rows; its share is left as it is.

    A logistic regression of scikit-learn with C = 10, as `compare`'s `tfidf_logreg`, but by SAGA
    (Defazio et al. 2014, SAGA: A Fast Incremental Gradient Method), which after 20 passes stands
    where L-BFGS stands after ten to forty times as long. It learns the first rows that hold 30
    million different words and pairs.

    What it learns of a word is a weight of the word and one of each run of two to five of its
    letters, so that words of like spelling share what they teach (Bojanowski et al. 2017, Enriching
    Word Vectors with Subword Information). Their sum is the word's row of the kernel: reading
    costs nothing more.

    Args:
        layer: built.
        words: the vocabulary, in the order of its ids.
        x: features `(rows, length)` or batches of them and labels, which can be read twice.
        y: labels of features; None where the batches have them.
    """
    rows, labels, weights = [], [], []
    seen = 0
    count = tf.function(layer.counted, input_signature=[tf.TensorSpec([None, None], tf.int32)])
    for features, label, weight in _batches(x, y):
        places, counts = count(tf.constant(features["token_ids"]))
        rows.append(_sparse(places.numpy(), counts.numpy(), layer.vocabulary_size + layer.buckets))
        labels.append(label)
        weights.append(np.ones(len(label)) if weight is None else np.asarray(weight).ravel())
        seen += rows[-1].nnz
        if seen >= _MOST_COUNTED:
            break
    numbers = np.concatenate(labels) if labels else np.zeros(0, int)
    classes = np.unique(numbers)
    if len(classes) < 2:
        return
    counted = vstack(rows).tocsr()
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
    features = hstack([learnt, by_letters * scale, np.ones((len(numbers), 1), np.float32)])
    regression = LogisticRegression(
        C=_PENALTY, solver="saga", fit_intercept=False, max_iter=passes, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(features.tocsr(), numbers, sample_weight=np.concatenate(weights))
    kernel, of_letters, bias = np.split(regression.coef_.T, [len(known), -1])
    kernel[seen_words] += scale * (spelt @ of_letters)
    bias = bias[0]
    if len(classes) == 2:  # of which scikit-learn keeps the second's
        kernel, bias = np.hstack([-kernel, kernel]) / 2, np.array([-bias[0], bias[0]]) / 2
    # Of a class that no row has, the linear model says that it is not.
    whole = np.zeros(layer.kernel.shape, np.float32)
    least = np.full(layer.bias.shape, bias.min() - 5, np.float32)
    whole[:, classes], least[classes] = kernel, bias
    layer.idf.assign(np.where(known, tfidf.idf_, 0))
    layer.kernel.assign(whole)
    layer.bias.assign(least)


def _batches(x: Any, y: Any) -> Iterator[tuple[Any, npt.NDArray[Any], Any]]:
    """Features, label numbers `(rows,)` and weights."""
    batches: Iterable[Any]
    if y is not None:
        parts = (slice(at, at + _PART) for at in range(0, len(y), _PART))
        batches = (({"token_ids": x["token_ids"][part]}, y[part]) for part in parts)
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
