"""Classification: pooling → dropout → Dense, one or two → softmax over named classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from keras_seqzoo.checks import check_rate, check_whole
from keras_seqzoo.data.naming import label_numbers
from keras_seqzoo.layers.pooling import POOLINGS, choose_pooling, pooled_vectors
from keras_seqzoo.preprocessing.base import FEATURES, Preprocessor, with_a_token
from keras_seqzoo.tasks.base import ServingFunction, TextModel

if TYPE_CHECKING:
    from keras_seqzoo.encoders.parts import EncoderParts


def build(
    parts: EncoderParts,
    data: Any,
    *,
    classes: Sequence[str] | None = None,
    name: str,
    pooling: str | None = None,
    dropout: float | None = None,
    head_dim: int | None = None,
) -> TextClassifier:
    """Builds and compiles a classifier over an encoder.

    Args:
        parts: the encoder, its preprocessor and its family's defaults.
        data: training data; its classes are taken where `classes` is None.
        classes: class names in label order.
        name: name of the model.
        pooling: one of the family's poolings; its default if None.
        dropout: rate before every layer of the head; the family's default if None.
        head_dim: width of a ReLU layer before the last one; none if None.

    Raises:
        ValueError: fewer than two classes, a repeated name, or a value out of its range.
    """
    model = TextClassifier(
        encoder=parts.encoder,
        preprocessor=parts.preprocessor,
        classes=check_class_names(classes or getattr(data, "classes", None)),
        pooling=choose_pooling(pooling, parts),
        dropout=parts.dropout if dropout is None else dropout,
        poolings=parts.poolings,
        head_dim=head_dim,
        name=name,
    )
    model.compile(
        optimizer=parts.optimizer(),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        # Batches come in many lengths, and XLA would compile anew for each.
        jit_compile=False,
        schedule=parts.schedule,
        warmup=parts.warmup,
    )
    return model


class Classifier(TextModel):
    """What all classifiers have in common: named classes, and answers of probabilities.

    Attributes:
        classes: class names in label order.
    """

    classes: tuple[str, ...]

    def encode_targets(self, targets: Any) -> Any:
        """Turns labels into label numbers, int32 `(rows,)`.

        Args:
            targets: as `data.naming.label_numbers` takes them; or one-hot, `(rows, classes)`, which
                a loss other than a sparse one gets as they are.

        Raises:
            ValueError: a label that is missing, no class, or may mean two.
        """
        labels = np.asarray(targets)
        if labels.ndim != 2 or labels.shape[1] == 1:
            return label_numbers(labels, self.classes)
        if labels.dtype.kind not in "biuf" or labels.shape[1] != len(self.classes):
            raise ValueError(
                "One-hot labels have a column of numbers for each class. Pass them so, or class "
                f"names. Received: {labels.dtype} of shape {labels.shape}, "
                f"{len(self.classes)} classes"
            )
        if not self._has_sparse_loss():
            return labels.astype(np.float32)
        if not (np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()):
            raise ValueError(
                "The loss takes one class a row. For shares of several classes, compile with "
                "loss='categorical_crossentropy'. "
                f"Received: a row of {labels[(labels == 1).sum(axis=1) != 1][0].tolist()}"
            )
        return labels.argmax(axis=1).astype(np.int32)

    def encode_batch(self, targets: tf.Tensor, is_foreign: bool) -> tf.Tensor:
        """Turns the labels of a batch into label numbers, in the graph of a dataset.

        Raises:
            ValueError: labels of a dataset of texts that may be names or positions, or booleans.
        """
        if targets.dtype == tf.string:
            targets = tf.reshape(targets, [-1])
            is_class = targets[:, tf.newaxis] == tf.constant(self.classes)
            known = tf.debugging.Assert(
                tf.reduce_all(tf.reduce_any(is_class, axis=1)),
                ["Labels must be classes of the model. Received:", targets],
            )
            with tf.control_dependencies([known]):
                return tf.argmax(is_class, axis=1, output_type=tf.int32)
        places = [str(place) for place in range(len(self.classes))]
        named = any(str(n) in self.classes for n in range(-1, 2 * len(self.classes)))
        if is_foreign and targets.shape.rank in (None, 1) and named and places != [*self.classes]:
            raise ValueError(
                "These numbers may be positions of classes, or names of classes. Map labels that "
                "are names to strings, tf.strings.as_string(label); for positions, pass a table, "
                f"or texts and labels. Received: a dataset with {targets.dtype.name} labels, "
                f"classes {self.classes}"
            )
        if targets.dtype == tf.bool and self.classes != ("False", "True"):
            raise ValueError(
                "Booleans are the classes 'False' and 'True'. Map others to positions, "
                f"tf.cast(label, tf.int32). Received: classes {self.classes}"
            )
        if targets.shape.rank == 2 and targets.shape[1] != 1 and self._has_sparse_loss():
            raise ValueError(
                "The loss takes one class a row. Map one-hot labels, tf.argmax(label, axis=-1), "
                "or compile with loss='categorical_crossentropy'. "
                f"Received: labels of shape {targets.shape}"
            )
        return tf.cast(targets, tf.int32) if targets.dtype == tf.bool else targets

    def encode_class_weight(self, class_weight: Any, y: Any) -> Any:
        """Turns `class_weight` into weights by label number.

        Args:
            class_weight: a dict by class, its name or number as in `encode_targets`; or
                `"balanced"`: rows / (classes · rows of the class).
            y: encoded labels; None where a dataset has them.

        Raises:
            ValueError: something else, or `"balanced"` without labels.
        """
        if class_weight is None:
            return None
        if isinstance(class_weight, str) and class_weight == "balanced":
            if y is None:
                raise ValueError(
                    "To balance classes, all labels must be known. Pass texts and labels, or a "
                    "table; or class_weight=table.class_weights(). "
                    "Received: class_weight='balanced' with a dataset"
                )
            numbers = y.argmax(axis=1) if y.ndim == 2 else y
            found, counts = np.unique(numbers, return_counts=True)
            weights = len(numbers) / (len(self.classes) * counts)
            return dict(zip(found.tolist(), weights.tolist(), strict=True))
        if not isinstance(class_weight, Mapping):
            raise ValueError(
                "`class_weight` must be a dict of a weight by class, or 'balanced'. "
                f"Received: class_weight={class_weight!r}"
            )
        numbers = label_numbers(list(class_weight), self.classes).tolist()
        return dict(zip(numbers, map(float, class_weight.values()), strict=True))

    def _has_sparse_loss(self) -> bool:
        loss = getattr(self, "loss", None)
        name = getattr(loss, "name", getattr(loss, "__name__", loss))
        return "sparse" in str(name)

    def check_table(self, table: Any) -> None:
        """Raises where the classes of a table are not those of the model."""
        if table.classes and tuple(table.classes) != self.classes:
            raise ValueError(
                "The table's classes must be the model's, in the same order, else label numbers "
                "mean something else. Read the table with read_table(…, classes=model.classes). "
                f"Received: table.classes={tuple(table.classes)}, model.classes={self.classes}"
            )

    def serving_functions(self) -> Mapping[str, ServingFunction]:
        """`serving_default` (text), `classify` (tf.Example) and `tokens` (ids)."""

        def serving_default(text: tf.Tensor) -> dict[str, tf.Tensor]:
            return self._answer(self(self.preprocessor(text), training=False))

        def classify(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            features = {"text": tf.io.FixedLenFeature([], tf.string)}
            text = tf.io.parse_example(inputs, features)["text"]
            scores = self(self.preprocessor(text), training=False)
            names = tf.tile(tf.constant([self.classes]), [tf.shape(scores)[0], 1])
            return {"classes": names, "scores": scores}

        def tokens(**features: tf.Tensor) -> dict[str, tf.Tensor]:
            features = with_a_token(features, self.preprocessor.unknown_id)
            return self._answer(self(features, training=False))

        strings = tf.TensorSpec([None], tf.string)
        ids = tf.TensorSpec([None, None], tf.int32)
        return {
            "serving_default": ServingFunction(serving_default, {"text": strings}),
            "classify": ServingFunction(
                classify, {"inputs": strings}, "tensorflow/serving/classify"
            ),
            "tokens": ServingFunction(tokens, dict.fromkeys(FEATURES, ids)),
        }

    def _answer(self, probabilities: tf.Tensor) -> dict[str, tf.Tensor]:
        best = tf.argmax(probabilities, axis=-1)
        return {
            "label": tf.gather(tf.constant(self.classes), best),
            "probability": tf.reduce_max(probabilities, axis=-1),
            "probabilities": probabilities,
        }


@keras.saving.register_keras_serializable("keras_seqzoo")
class TextClassifier(Classifier):
    """A classifier of texts into named classes.

    Outputs float32 probabilities `(batch, num_classes)` that sum to 1.

    Args:
        encoder: functional model from the features to `sequence_output` `(batch, length, hidden)`
            and `pooled_output` `(batch, hidden)`.
        preprocessor: text to features.
        classes: class names in label order.
        pooling: `"pooled"` takes the encoder's own `pooled_output`, which for recurrent layers is
            their last state and goes by `"last"` too; `"cls"` takes the first token's vector of
            `sequence_output`; `"mean"` and `"max"` pool it over the real tokens.
        dropout: rate before every layer of the head.
        poolings: what else `pooling` may be for this encoder.
        head_dim: width of a ReLU layer before the last one; none if None.
        **kwargs: arguments of `keras.Model`.
    """

    arguments = ("classes", "pooling", "dropout", "poolings", "head_dim")

    def __init__(
        self,
        encoder: keras.Model,
        preprocessor: Preprocessor,
        classes: Sequence[str],
        pooling: str = "pooled",
        dropout: float = 0.0,
        poolings: Sequence[str] = POOLINGS,
        head_dim: int | None = None,
        **kwargs: Any,
    ):
        check_rate(dropout=dropout)
        inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in FEATURES}
        x = pooled_vectors(encoder, inputs, pooling)
        if head_dim is not None:
            check_whole(head_dim=head_dim)
            x = keras.layers.Dropout(dropout, name="head_dropout")(x)
            x = keras.layers.Dense(head_dim, activation="relu", name="head")(x)
        x = keras.layers.Dropout(dropout, name="dropout")(x)
        # Float32 whatever the encoder's precision, so that probabilities sum to 1.
        logits = keras.layers.Dense(len(classes), dtype="float32", name="logits")(x)
        outputs = keras.layers.Softmax(dtype="float32", name="probabilities")(logits)
        super().__init__(inputs, outputs, **kwargs)

        self.encoder = encoder
        self.preprocessor = preprocessor
        self.classes = tuple(classes)
        self.pooling = pooling
        self.dropout = dropout
        self.poolings = tuple(poolings)
        self.head_dim = head_dim

    def serving_functions(self) -> Mapping[str, ServingFunction]:
        """Those of every classifier, and `embed` (text)."""

        def embed(text: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"embedding": self.vectors(self.preprocessor(text))}

        strings = {"text": tf.TensorSpec([None], tf.string)}
        return {**super().serving_functions(), "embed": ServingFunction(embed, strings)}


def check_class_names(classes: Sequence[str] | None) -> tuple[str, ...]:
    """Returns class names as a tuple.

    Raises:
        ValueError: fewer than two, or one twice.
    """
    if isinstance(classes, str) or classes is None or len(classes) < 2:
        raise ValueError(
            "A classifier needs the names of at least two classes. Pass a labelled table as "
            f"`data`, or `classes=[…]`. Received: classes={classes!r}"
        )
    names = tuple(str(name) for name in classes)
    if len(set(names)) < len(names):
        raise ValueError(f"Class names must differ. Received: classes={names}")
    return names
