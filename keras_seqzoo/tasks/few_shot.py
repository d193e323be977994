"""Few labels: the encoder learns which pairs of texts share a class, then a head is fitted.

SetFit's recipe (Tunstall et al. 2022, Efficient Few-Shot Learning Without Prompts). A batch of n
texts has n(n - 1)/2 pairs; the loss uses them all, for the cost of encoding n texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import GeneratorType
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from keras_seqzoo.batches.passes import (
    Passes,
    Share,
    batches_of_rows,
    digest_of,
    draw_seed,
    passes_of,
)
from keras_seqzoo.batches.pipeline import LENGTH_MULTIPLE
from keras_seqzoo.features import FEATURES
from keras_seqzoo.layers.pooling import pool
from keras_seqzoo.tasks.head import TextPredictor

DRAWS = 20  # times that an epoch uses each text; chosen in `benchmarks/results/few_shot.md`


@keras.saving.register_keras_serializable("keras_seqzoo")
class FewShotClassifier(TextPredictor):
    """A classifier that learns from few texts of each class.

    `fit` trains the encoder so that the vectors of two texts have the cosine 1 if both are of one
    class, else 0. At the end of every epoch, before it answers the validation rows, it sets the
    last layer to scikit-learn's `LogisticRegression` over the vectors of the training rows. An
    epoch is `DRAWS` passes over the rows. The history's `loss` is that of the pairs; `val_loss` and
    `val_accuracy` are the classifier's.

    Args:
        *args: as in `TextPredictor`.
        **kwargs: the same; `head_dim` is None.

    Raises:
        ValueError: `head_dim` is given; the head is linear.
    """

    usual_epochs = 1  # of `DRAWS` passes over the rows
    _regression: _Regression | None = None

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if self.head_dim is not None:
            raise ValueError(
                "The head of few-shot learning is a logistic regression over the encoder's "
                f"vectors. Leave head_dim out. Received: few_shot=True, head_dim={self.head_dim!r}"
            )
        self.get_layer("logits").trainable = False  # set by the regression, not by gradients

    def fit(
        self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        """Trains the model as the class describes; takes what every model's `fit` takes.

        Args:
            x: labelled texts, finitely many: a table, texts, features, or a dataset of either.
            y: their labels; None if `x` has them.
            *args: as in `TextModel.fit`.
            **kwargs: the same, without weights and steps.

        Returns:
            The `keras.callbacks.History`.

        Raises:
            ValueError: fewer than two texts of a class, rows without labels, an endless dataset,
                weights, `steps_per_epoch`, or several devices.
        """
        given = {
            name: kwargs[name]
            for name in ("class_weight", "sample_weight", "steps_per_epoch")
            if kwargs.get(name) is not None
        }
        if given:
            raise ValueError(
                "Few-shot learning uses every row equally often, and draws the rows of an "
                f"epoch itself. Leave the argument out. Received: {', '.join(given)}"
            )
        if self._is_spread:
            raise ValueError(
                "Few-shot learning makes pairs from a whole batch, on one device. Train "
                "without a strategy (on the command line, --strategy one_device). Received: "
                f"{self.distribute_strategy.num_replicas_in_sync} replicas"
            )
        if isinstance(x, GeneratorType):
            raise ValueError(_ENDLESS.format("a generator"))
        try:
            return super().fit(x, y, *args, **kwargs)
        except KeyboardInterrupt:
            if self._regression is not None:
                self._regression.fit_head()  # the user may keep what was learnt so far
            raise
        finally:
            self._regression = None

    def arranged(
        self, x: Any, y: Any, batch_size: int | None
    ) -> tuple[Any, Any, Sequence[keras.callbacks.Callback]]:
        """Reads all rows, and draws batches of pairs from them; see `TextModel.arranged`."""
        passes = passes_of(x)
        size = passes.batch_size if passes else batch_size or 32
        rows = _Rows.of(x, y, self.preprocessor.pad_id)
        rows.check(self.classes)
        seed = passes.seed if passes else draw_seed()
        self._regression = _Regression(rows)
        return rows.passes(size, seed).dataset(), None, [self._regression]

    def train_step(self, data: Any) -> Mapping[str, Any]:
        """Moves vectors of the same class together, and vectors of different classes apart."""
        features, labels = data[0], data[1]
        with tf.GradientTape() as tape:
            encoded = self.encoder(features, training=True)
            pooled = pool(encoded, features["padding_mask"], self.pooling)
            vectors = tf.cast(pooled, tf.float32)
            loss = pair_loss(labels, vectors)
            scaled = self.optimizer.scale_loss(loss)
        if weights := self.trainable_weights:  # none if the encoder is frozen
            gradients = tape.gradient(scaled, weights)
            self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        mean = next(metric for metric in self.metrics if metric.name == "loss")
        mean.update_state(loss)
        # Keras needs metrics that have seen a batch. Those of an outdated head are not returned.
        answers = self.get_layer("probabilities")(self.get_layer("logits")(vectors))
        self.compute_metrics(features, labels, answers)
        return {"loss": mean.result()}


def pair_loss(labels: Any, vectors: Any) -> Any:
    """How far the cosines of a batch's pairs are from 1 within a class, and from 0 between classes.

    It is the mean squared distance. Pairs within classes and pairs between them count half each, as
    in SetFit, which draws as many of both.

    Args:
        labels: int `(batch,)`.
        vectors: float32 `(batch, hidden)`.

    Returns:
        A scalar.
    """
    unit = tf.math.l2_normalize(vectors, axis=1)
    cosines = tf.matmul(unit, unit, transpose_b=True)
    alike = labels[:, tf.newaxis] == labels[tf.newaxis]
    itself = tf.eye(tf.shape(vectors)[0])
    within = tf.cast(alike, tf.float32) - itself
    between = tf.cast(~alike, tf.float32)

    def mean(errors: Any, pairs: Any) -> Any:
        return tf.math.divide_no_nan(tf.reduce_sum(pairs * errors**2), tf.reduce_sum(pairs))

    return (mean(cosines - 1, within) + mean(cosines, between)) / 2


class _Rows:
    """The training rows in memory, in an order that depends only on the rows.

    Attributes:
        features: int32 `(rows, longest)` each.
        labels: int32 `(rows,)`, ascending.
    """

    def __init__(self, features: Mapping[str, npt.NDArray[Any]], labels: npt.NDArray[Any]):
        ids = features["token_ids"]
        order = np.lexsort((*ids.T[::-1], labels))
        self.features = {name: values[order] for name, values in features.items()}
        self.labels = labels[order]
        self.lengths = (self.features["padding_mask"] != 0).cumsum(axis=1).argmax(axis=1) + 1

    @classmethod
    def of(cls, x: Any, y: Any, pad_id: int) -> _Rows:
        """Reads features and labels, or batches of both.

        Raises:
            ValueError: there are no labels, or the data does not end.
        """
        if isinstance(x, tf.data.Dataset) and x.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise ValueError(_ENDLESS.format("a dataset without an end"))
        if isinstance(x, Mapping):
            batches = [(x, y)]
        elif isinstance(x, keras.utils.PyDataset):
            batches = [x[number] for number in range(x.num_batches)]
        else:
            batches = [*x]
        is_labelled = [isinstance(b, tuple) and len(b) > 1 and b[1] is not None for b in batches]
        if not batches or not all(is_labelled):
            raise ValueError(
                "Few-shot learning makes pairs of the labels. Pass a labelled table, or texts and "
                f"labels. Received: x of type {type(x).__name__} without labels"
            )
        longest = max(np.shape(batch[0]["token_ids"])[1] for batch in batches)
        filled = dict.fromkeys(FEATURES, 0) | {"token_ids": pad_id}

        def column(name: str) -> npt.NDArray[Any]:
            parts = [np.asarray(batch[0][name]) for batch in batches]
            return np.concatenate(
                [
                    np.pad(p, [(0, 0), (0, longest - p.shape[1])], constant_values=filled[name])
                    for p in parts
                ]
            ).astype(np.int32)

        labels = np.concatenate([np.asarray(batch[1]) for batch in batches])
        is_one_hot = labels.ndim == 2 and labels.shape[1] > 1
        labels = labels.argmax(axis=1) if is_one_hot else labels.reshape(-1)
        return cls({name: column(name) for name in FEATURES}, labels.astype(np.int32))

    def check(self, classes: tuple[str, ...]) -> None:
        """Raises a ValueError if a class has fewer than two texts, which cannot make a pair."""
        counts = np.bincount(self.labels, minlength=len(classes))
        if (few := counts < 2).any():
            told = [f"{name!r} {count}" for name, count in zip(classes, counts, strict=True)]
            lacking = [words for words, lacks in zip(told, few, strict=True) if lacks]
            raise ValueError(
                "Few-shot learning needs two or more texts of every class, to make a pair. Add "
                "texts of these classes, or leave the classes out. Received: "
                f"{', '.join(lacking[:10])}{', …' * (len(lacking) > 10)}"
            )

    def batch(self, chosen: Any) -> tuple[dict[str, Any], Any]:
        """Features and labels of these row numbers, cut to the longest row."""
        longest = tf.reduce_max(tf.gather(self.lengths, chosen))
        width = -(-longest // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        rows = {name: tf.gather(v, chosen)[:, :width] for name, v in self.features.items()}
        return rows, tf.gather(self.labels, chosen)

    def order(self, seed: int, pass_number: Any) -> npt.NDArray[np.int64]:
        """Row numbers of a pass: every row `DRAWS` times, in twos of the same class."""
        rng = np.random.default_rng([abs(seed), int(pass_number)])
        starts = np.searchsorted(self.labels, self.labels)
        place = np.arange(len(self.labels))
        couple = starts + (place - starts) // 2
        drawn = []
        for _ in range(DRAWS):
            rows = rng.permutation(place)
            rows = rows[np.argsort(self.labels[rows], kind="stable")]
            drawn.append(rows[np.argsort(rng.random(len(rows))[couple], kind="stable")])
        return np.concatenate(drawn)

    def passes(self, batch_size: int, seed: int) -> Passes:
        """Epochs of batches; no batch holds more rows than there are."""
        size = min(batch_size, len(self.labels))
        rows = DRAWS * len(self.labels)

        def draw(
            seed: int, pass_number: tf.Tensor, first_batch: Any, share: Share
        ) -> tf.data.Dataset:
            order = tf.numpy_function(
                lambda number: self.order(seed, number), [pass_number], tf.int64, stateful=False
            )
            order = tf.ensure_shape(order, [rows])
            starts = tf.range(0, rows, size, dtype=tf.int64)[tf.cast(first_batch, tf.int64) :]
            return batches_of_rows(order, starts, size, share, self.batch, spread=True)

        return Passes(draw, rows, size, seed, self.digest)

    def digest(self) -> str:
        """A hash of the rows."""
        return digest_of([*self.features.values(), self.labels])

    def vectors(self, encode: Callable[[Any], Any], rows: int = 64) -> npt.NDArray[np.float32]:
        """The vectors that `encode` returns for all rows: `(rows, hidden)`."""
        order = np.argsort(self.lengths, kind="stable")
        parts = [order[at : at + rows] for at in range(0, len(order), rows)]
        made = np.concatenate([encode(self.batch(part)[0]).numpy() for part in parts])
        return made[np.argsort(order)]


class _Regression(keras.callbacks.Callback):
    """Sets the last layer when the encoder has changed and its answers are needed."""

    def __init__(self, rows: _Rows):
        super().__init__()
        self.rows = rows
        self._stale = False

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._stale = True

    def on_test_begin(self, logs: Any = None) -> None:
        self.fit_head()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.fit_head()

    def fit_head(self) -> None:
        """Sets the layer, unless the encoder is unchanged."""
        if not self._stale:
            return
        vectors = self.rows.vectors(self.model.pooled)
        if not np.isfinite(vectors).all():
            raise ValueError(
                "The training diverged: the encoder's vectors are not finite numbers. Lower the "
                "learning rate. Received: a learning rate of "
                f"{float(self.model.optimizer.learning_rate):.3g}"
            )
        self.model.get_layer("logits").set_weights(regression(vectors, self.rows.labels))
        self._stale = False


def regression(
    vectors: npt.NDArray[np.float32], labels: npt.NDArray[Any]
) -> list[npt.NDArray[np.float32]]:
    """Kernel `(hidden, classes)` and bias `(classes,)` of a logistic regression (scikit-learn's).

    Its penalty, C = 1, is meant for vectors of length 1. One number therefore scales all vectors to
    a root mean square length of 1, and the kernel accordingly.

    Args:
        vectors: `(rows, hidden)`.
        labels: `(rows,)`, from 0; every class has a row.
    """
    length = float(np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1).mean())) or 1.0
    fitted = LogisticRegression(C=1.0, max_iter=1000).fit(vectors / length, labels)
    kernel, bias = fitted.coef_.T / length, fitted.intercept_
    if kernel.shape[1] == 1:  # with two classes, only the second's
        kernel, bias = np.hstack([0 * kernel, kernel]), np.array([0.0, bias[0]])
    return [kernel.astype(np.float32), bias.astype(np.float32)]


_ENDLESS = (
    "Few-shot learning reads all rows before it starts. Pass a labelled table, texts and labels, "
    "or a dataset that ends, dataset.take(n). Received: {}"
)
