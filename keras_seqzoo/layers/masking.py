"""What masked language models are made of: scores of tokens, and ELECTRA's generator."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_seqzoo.features import FEATURES
from keras_seqzoo.hub.transformer import TransformerEncoder


class EmbeddingRows:
    """The rows of an embedding that is not KerasHub's, as its `MaskedLMHead` multiplies by them.

    Args:
        rows: a variable `(vocabulary, width)`.
    """

    def __init__(self, rows: Any):
        self.rows = rows
        self.input_dim, self.output_dim = (int(size) for size in rows.shape)

    def __call__(self, vectors: Any, reverse: bool = True) -> Any:
        """Scores `(…, vocabulary)` of vectors `(…, width)`."""
        rows = keras.ops.cast(keras.ops.convert_to_tensor(self.rows), vectors.dtype)
        return keras.ops.matmul(vectors, keras.ops.transpose(rows))


def embedding_of(encoder: keras.Model) -> Any:
    """The token embedding of an encoder, with `input_dim`, `output_dim`, and scores by `reverse`.

    Raises:
        ValueError: it cannot be told which of a TF Hub graph's weights that is.
    """
    for layer in encoder.layers:
        if hasattr(layer, "backbone"):
            return layer.backbone.token_embedding
    names = ("word_embedding", "token_embedding")  # of TF Hub's graphs, and of ours
    for weight in encoder.weights:
        if any(name in weight.path for name in names) and len(weight.shape) == 2:
            return EmbeddingRows(weight)
    raise ValueError(
        "The scores of tokens come from the encoder's word embedding, and this graph has no weight "
        "of that name. Take the encoder as a KerasHub preset, in transformers' layout, or from "
        f"scratch. Received: weights {[weight.path for weight in encoder.weights][:3]} first"
    )


def token_scores(encoder: keras.Model, name: str) -> Any:
    """BERT's head: dense, GELU, layer norm, the encoder's own embedding, and a bias.

    Source: Devlin et al. (2019), section 3.1, and the released code. Takes vectors
    `(batch, length, hidden)` and places `(batch, most)`; gives float32 `(batch, most, vocabulary)`.
    """
    import keras_hub

    return keras_hub.layers.MaskedLMHead(
        token_embedding=embedding_of(encoder),
        intermediate_activation=_gelu,
        layer_norm_epsilon=1e-12,
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
        dtype="float32",
        name=name,
    )


def generator_of(
    encoder: Any, hidden_dim: int, num_layers: int, num_heads: int, dropout: float
) -> keras.Model:
    """ELECTRA's generator: a narrower transformer over the embeddings of the encoder.

    Source: Clark et al. (2020), section 3.3: tokens, positions and segments are embedded by the
    same weights.

    Args:
        encoder: a `TransformerEncoder` or KerasHub's backbone, whose embeddings it takes up to
            their norm.
        hidden_dim: width of its vectors.
        num_layers: how many it has.
        num_heads: of each.
        dropout: rate.

    Returns:
        A model from features to `(batch, length, hidden_dim)`.
    """
    import keras_hub

    if isinstance(encoder, TransformerEncoder):
        inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in FEATURES}
        x = encoder(inputs, embeds=True)["embedded"]
    else:
        inputs = encoder.input
        x = encoder.get_layer("embeddings_layer_norm").output
    x = keras.layers.Dropout(dropout, name="generator_dropout")(x)
    x = keras.layers.Dense(hidden_dim, name="generator_projection")(x)
    if isinstance(encoder, keras_hub.models.DebertaV3Backbone):  # it embeds no positions
        positions = keras_hub.layers.PositionEmbedding(
            encoder.max_sequence_length, name="generator_positions"
        )
        x = keras.layers.Add(name="generator_add")([x, positions(x)])
    for i in range(num_layers):
        x = keras_hub.layers.TransformerEncoder(
            intermediate_dim=4 * hidden_dim,
            num_heads=num_heads,
            dropout=dropout,
            activation=_gelu,
            layer_norm_epsilon=1e-12,
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            name=f"generator_layer_{i}",
        )(x, padding_mask=inputs["padding_mask"])
    return keras.Model(inputs, x, name="generator")


class Sampling(keras.layers.Layer):
    """Puts tokens that a generator draws in the place of the hidden ones.

    Which are drawn depends on its scores and the given random numbers alone: the first token up to
    which the probabilities sum to more than the number. No gradient goes through.
    """

    def call(self, token_ids: Any, positions: Any, scores: Any, draws: Any) -> Any:
        """Int32 ids `(batch, length)` with others at `positions` `(batch, most)`.

        Args:
            token_ids: int32 `(batch, length)`.
            positions: int32 `(batch, most)`; 0, where a row's start token stands, for none.
            scores: `(batch, most, vocabulary)`.
            draws: float32 `(batch, most)` in [0, 1).
        """
        sums = tf.cumsum(tf.nn.softmax(tf.cast(tf.stop_gradient(scores), tf.float32)), axis=-1)
        drawn = tf.reduce_sum(tf.cast(sums <= draws[..., None], tf.int32), axis=-1)
        drawn = tf.minimum(drawn, tf.shape(scores)[-1] - 1)
        return put(token_ids, positions, drawn)


def put(token_ids: tf.Tensor, positions: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Ids `(batch, length)` with values `(batch, most)` at positions; 0 stands for no position."""
    values = tf.where(positions > 0, values, token_ids[:, :1])
    rows = tf.range(tf.shape(positions)[0])[:, None] + tf.zeros_like(positions)
    return tf.tensor_scatter_nd_update(token_ids, tf.stack([rows, positions], axis=-1), values)


def _gelu(x: Any) -> Any:
    return keras.activations.gelu(x, approximate=False)
