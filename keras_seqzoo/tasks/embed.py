"""Embedding: turns a text into one vector; `embed` does so with any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from keras_seqzoo.features import FEATURES
from keras_seqzoo.layers.pooling import choose_pooling, pooled_vectors
from keras_seqzoo.options import option
from keras_seqzoo.preprocessing.base import Preprocessor, with_a_token
from keras_seqzoo.tasks.base import Task
from keras_seqzoo.tasks.model import ServingFunction, TextModel
from keras_seqzoo.tasks.tag import PlacedModel

if TYPE_CHECKING:
    from keras_seqzoo.encoders.parts import EncoderParts


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """The options of a model that returns vectors."""

    pooling: str | None = option(
        None,
        'how the token vectors become one: `"mean"`, `"max"`, `"last"`, `"cls"` or `"pooled"`',
        "the family's",
    )


def build(
    parts: EncoderParts,
    data: Any,
    options: Pooled,
    *,
    classes: Sequence[str] | None = None,
    name: str,
) -> TextEmbedder:
    """Builds a model that returns vectors: a pretrained encoder, unchanged and without a loss.

    Args:
        parts: the encoder and its preprocessor.
        data: unused.
        options: of the pooling.
        classes: None; vectors have no classes.
        name: name of the model.

    Raises:
        ValueError: `classes` is given, or a pooling that the family does not have.
    """
    if classes is not None:
        raise ValueError(
            "Vectors have no classes. Leave `classes` out, or build with task='classify'. "
            f"Received: classes={classes!r}"
        )
    return TextEmbedder(
        parts.encoder, parts.preprocessor, choose_pooling(options.pooling, parts), name=name
    )


class Embed(Task):
    """Vectors, which are not compared with a truth."""

    name = "embed"


TASK, OPTIONS = Embed, Pooled


@keras.saving.register_keras_serializable("keras_seqzoo")
class TextEmbedder(TextModel):
    """A model from texts to vectors, float32 `(batch, hidden)`.

    Args:
        encoder: functional model from the features to `sequence_output` and `pooled_output`.
        preprocessor: text to features.
        pooling: as in `TextPredictor`.
        **kwargs: arguments of `keras.Model`.
    """

    arguments = ("pooling",)
    _task = Embed()

    def __init__(
        self,
        encoder: keras.Model,
        preprocessor: Preprocessor,
        pooling: str = "mean",
        **kwargs: Any,
    ):
        inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in FEATURES}
        super().__init__(inputs, pooled_vectors(encoder, inputs, pooling), **kwargs)
        self.encoder = encoder
        self.preprocessor = preprocessor
        self.pooling = pooling

    def serving_functions(self) -> Mapping[str, ServingFunction]:
        """`serving_default` and `embed` (text), `tokens` (ids)."""

        def of_text(**given: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"embedding": self.vectors(self.read_served(given))}

        def of_tokens(**features: tf.Tensor) -> dict[str, tf.Tensor]:
            features = with_a_token(features, self.preprocessor.unknown_id)
            return {"embedding": self.vectors(features)}

        strings = self.served_inputs
        ids = tf.TensorSpec([None, None], tf.int32)
        return {
            "serving_default": ServingFunction(of_text, strings),
            "embed": ServingFunction(of_text, strings),
            "tokens": ServingFunction(of_tokens, dict.fromkeys(FEATURES, ids)),
        }


def embed(
    model: TextModel, texts: Any, *, tokens: bool = False, batch_size: int = 32
) -> np.ndarray | tf.RaggedTensor:
    """Turns texts into vectors with the encoder of any model of this package.

    Args:
        model: any model except one that tags or answers questions. From a classifier, it uses the
            fine-tuned encoder.
        texts: strings `(rows,)`: a list, an array, or the `texts` of a table; pairs for a model of
            pairs.
        tokens: whether to return the encoder's vector of every token instead.
        batch_size: texts in a batch; texts of similar length share one.

    Returns:
        Float32 `(rows, hidden)` in the order of the texts, with the model's own pooling. With
        `tokens`, a ragged float32 tensor `(rows, None, hidden)`: a vector for each token of each
        text, including `[CLS]` and `[SEP]` if the model has them.

    Raises:
        TypeError: not a model of this package, one that finds pieces of texts, or not strings.

    Example:
        >>> import keras_seqzoo as sz
        >>> model = sz.build_model("gru", ["good film"], task="embed", units=8)
        >>> sz.embed(model, ["a good film", "bad"]).shape
        (2, 8)
        >>> sz.embed(model, ["a good film", "bad"], tokens=True).row_lengths().numpy().tolist()
        [3, 1]
    """
    if not isinstance(model, TextModel):
        raise TypeError(
            "`embed` takes a model of keras_seqzoo. Build it with build_model(…, task='embed'), or "
            f"pass a classifier. Received: {type(model).__name__}"
        )
    if isinstance(model, PlacedModel):
        raise TypeError(
            "A model that finds pieces of texts makes no vectors of whole texts. Build one that "
            f"does with build_model(…, task='embed'). Received: {type(model).__name__}"
        )
    strings = model.preprocessor.as_inputs(texts)
    rows = int(strings.shape[0])
    if rows == 0:
        return _nothing(model, tokens)
    order, batches = model.batches_by_length(strings, batch_size)
    back = np.argsort(order)
    encode = model.unpooled if tokens else model.pooled
    encoded = [encode(batch) for batch in batches]
    if tokens:
        return tf.gather(tf.concat(encoded, axis=0), back)
    return np.concatenate([batch.numpy() for batch in encoded])[back]


def _nothing(model: TextModel, tokens: bool) -> np.ndarray | tf.RaggedTensor:
    hidden = model.encoder.output["sequence_output" if tokens else "pooled_output"].shape[-1]
    if not tokens:
        return np.zeros((0, hidden), np.float32)
    return tf.RaggedTensor.from_row_splits(tf.zeros([0, hidden]), tf.constant([0], tf.int64))
