"""Classification: pooling → dropout → Dense → softmax over named classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from keras_seqzoo.checks import check_rate
from keras_seqzoo.preprocessing.base import FEATURES, Preprocessor
from keras_seqzoo.tasks.base import ServingFunction, TextModel

if TYPE_CHECKING:
    from keras_seqzoo.encoders.parts import EncoderParts

POOLINGS = ("pooled", "last", "cls", "mean", "max")


def build(
    parts: EncoderParts,
    data: Any,
    *,
    classes: Sequence[str] | None = None,
    name: str,
    pooling: str | None = None,
    dropout: float | None = None,
) -> TextClassifier:
    """Builds and compiles a classifier over an encoder.

    Args:
        parts: the encoder, its preprocessor and its family's defaults.
        data: training data; its classes are taken where `classes` is None.
        classes: class names in label order.
        name: name of the model.
        pooling: one of the family's poolings; its default if None.
        dropout: rate before the last layer; the family's default if None.

    Raises:
        ValueError: fewer than two classes, a repeated name, or a value out of its range.
    """
    if pooling is not None and pooling not in parts.poolings:
        raise ValueError(
            f"`pooling` of this model must be one of {tuple(parts.poolings)}. "
            f"Received: pooling={pooling!r}"
        )
    model = TextClassifier(
        encoder=parts.encoder,
        preprocessor=parts.preprocessor,
        classes=_check_class_names(classes or getattr(data, "classes", None)),
        pooling=pooling or parts.pooling,
        dropout=parts.dropout if dropout is None else dropout,
        poolings=parts.poolings,
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


@keras.saving.register_keras_serializable("keras_seqzoo")
class Pooling(keras.layers.Layer):
    """Makes one vector of the vectors of a text's real tokens.

    Args:
        mode: `"mean"` or `"max"` over the real tokens.
    """

    def __init__(self, mode: str, **kwargs: Any):
        super().__init__(**kwargs)
        self.mode = mode
        self.supports_masking = True

    def compute_mask(self, *_: Any) -> None:
        """Ends the mask that recurrent layers hand on: a pooled vector has no length."""

    def call(self, vectors: Any, padding_mask: Any) -> Any:
        """Pools `(batch, length, hidden)` under an int mask `(batch, length)`."""
        is_real = keras.ops.expand_dims(padding_mask, -1) != 0
        if self.mode == "max":
            lowest = keras.ops.cast(np.finfo(np.float16).min, vectors.dtype)
            return keras.ops.max(keras.ops.where(is_real, vectors, lowest), axis=1)
        weights = keras.ops.cast(is_real, vectors.dtype)
        return keras.ops.sum(vectors * weights, axis=1) / keras.ops.sum(weights, axis=1)

    def compute_output_shape(self, vectors_shape: Any, *_: Any) -> tuple[Any, ...]:
        """Drops the length axis."""
        return (vectors_shape[0], vectors_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "mode": self.mode}


def pool(vectors: Mapping[str, Any], padding_mask: Any, pooling: str) -> Any:
    """Pools what an encoder returns to `(batch, hidden)`; see `TextClassifier`."""
    if pooling in ("pooled", "last"):
        return vectors["pooled_output"]
    if pooling == "cls":
        return vectors["sequence_output"][:, 0]
    return Pooling(pooling, name=f"{pooling}_pooling")(vectors["sequence_output"], padding_mask)


@keras.saving.register_keras_serializable("keras_seqzoo")
class TextClassifier(TextModel):
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
        dropout: rate before the last layer.
        poolings: what else `pooling` may be for this encoder.
        **kwargs: arguments of `keras.Model`.
    """

    def __init__(
        self,
        encoder: keras.Model,
        preprocessor: Preprocessor,
        classes: Sequence[str],
        pooling: str = "pooled",
        dropout: float = 0.0,
        poolings: Sequence[str] = POOLINGS,
        **kwargs: Any,
    ):
        check_rate(dropout=dropout)
        if pooling not in POOLINGS:
            raise ValueError(f"`pooling` must be one of {POOLINGS}. Received: pooling={pooling!r}")
        inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in FEATURES}
        x = pool(encoder(inputs), inputs["padding_mask"], pooling)
        if pooling not in ("pooled", "last"):
            _rest_pooler(encoder)
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

    def encode_targets(self, targets: Any) -> Any:
        """Turns class names into label numbers; leaves numbers as they are.

        Raises:
            ValueError: a name that is not a class, or a number beyond the classes.
        """
        labels = np.asarray(targets)
        if labels.dtype.kind in "OUST":
            number = {name: i for i, name in enumerate(self.classes)}
            unknown = sorted({str(label) for label in labels.tolist()} - set(number))
            if unknown:
                raise ValueError(
                    f"Labels must be classes of the model, {self.classes}. Received: {unknown[:5]}"
                )
            return np.array([number[str(label)] for label in labels.tolist()], np.int32)
        if (
            labels.ndim == 1
            and labels.size
            and not 0 <= labels.min() <= labels.max() < len(self.classes)
        ):
            raise ValueError(
                f"Label numbers must lie from 0 to {len(self.classes) - 1}. "
                f"Received: numbers from {labels.min()} to {labels.max()}"
            )
        return targets

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

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, encoder and preprocessor serialised."""
        return {
            "name": self.name,
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "preprocessor": keras.saving.serialize_keras_object(self.preprocessor),
            "classes": list(self.classes),
            "pooling": self.pooling,
            "dropout": self.dropout,
            "poolings": list(self.poolings),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> TextClassifier:
        """Makes the model again from what `get_config` returned."""
        config = dict(config)
        for part in ("encoder", "preprocessor"):
            config[part] = keras.saving.deserialize_keras_object(
                config[part], custom_objects=custom_objects
            )
        return cls(**config)

    def _answer(self, probabilities: tf.Tensor) -> dict[str, tf.Tensor]:
        best = tf.argmax(probabilities, axis=-1)
        return {
            "label": tf.gather(tf.constant(self.classes), best),
            "probability": tf.reduce_max(probabilities, axis=-1),
            "probabilities": probabilities,
        }


def _rest_pooler(encoder: keras.Model) -> None:
    """A pooler that nothing reads gets no gradient, of which Keras would warn."""
    for weight in encoder.weights:
        if "pool" in weight.path:
            weight.trainable = False


def _check_class_names(classes: Sequence[str] | None) -> tuple[str, ...]:
    if isinstance(classes, str) or classes is None or len(classes) < 2:
        raise ValueError(
            "A classifier needs the names of at least two classes. Pass a labelled table as "
            f"`data`, or `classes=[…]`. Received: classes={classes!r}"
        )
    names = tuple(str(name) for name in classes)
    if len(set(names)) < len(names):
        raise ValueError(f"Class names must differ. Received: classes={names}")
    return names
