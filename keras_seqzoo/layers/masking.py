"""The parts of masked language models: scores of tokens, and ELECTRA's generator."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_seqzoo.features import FEATURES
from keras_seqzoo.hub.transformer import TransformerEncoder


class EmbeddingRows:
    """The rows of an embedding that is not KerasHub's, in the form its `MaskedLMHead` needs.

    Args:
        rows: a variable `(vocabulary, width)`.
    """

    def __init__(self, rows: Any):
        self.rows = rows
        self.input_dim, self.output_dim = (int(size) for size in rows.shape)

    def __call__(self, vectors: Any, reverse: bool = True) -> Any:
        """Computes scores `(…, vocabulary)` from vectors `(…, width)`."""
        rows = keras.ops.cast(keras.ops.convert_to_tensor(self.rows), vectors.dtype)
        return keras.ops.matmul(vectors, keras.ops.transpose(rows))


def embedding_of(encoder: keras.Model) -> Any:
    """Returns an encoder's token embedding, with `input_dim`, `output_dim`, and `reverse`.

    Raises:
        ValueError: a TF Hub graph does not show which of its weights is the embedding.
    """
    for layer in encoder.layers:
        if hasattr(layer, "backbone"):
            return layer.backbone.token_embedding
    names = ("word_embedding", "token_embedding")  # in TF Hub's graphs, and in ours
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

    Source: Devlin et al. (2019), section 3.1, and the released code. It takes vectors
    `(batch, length, hidden)` and positions `(batch, most)`, and returns float32
    `(batch, most, vocabulary)`.
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

    Source: Clark et al. (2020), section 3.3: both embed tokens, positions and segments with the
    same weights.

    Args:
        encoder: a `TransformerEncoder` or KerasHub's backbone. The generator uses its embeddings up
            to their norm.
        hidden_dim: width of the generator's vectors.
        num_layers: number of its layers.
        num_heads: number of attention heads in each layer.
        dropout: dropout rate.

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
    """Replaces the hidden tokens by tokens that a generator draws.

    The draw depends only on its scores and the given random numbers: it takes the first token up to
    which the probabilities sum to more than the number. No gradient passes through.
    """

    def call(self, token_ids: Any, positions: Any, scores: Any, draws: Any) -> Any:
        """Returns int32 ids `(batch, length)` with drawn ones at `positions` `(batch, most)`.

        Args:
            token_ids: int32 `(batch, length)`.
            positions: int32 `(batch, most)`; 0, the position of a row's start token, for none.
            scores: `(batch, most, vocabulary)`.
            draws: float32 `(batch, most)` in [0, 1).
        """
        sums = tf.cumsum(tf.nn.softmax(tf.cast(tf.stop_gradient(scores), tf.float32)), axis=-1)
        drawn = tf.reduce_sum(tf.cast(sums <= draws[..., None], tf.int32), axis=-1)
        drawn = tf.minimum(drawn, tf.shape(scores)[-1] - 1)
        return put(token_ids, positions, drawn)


def put(token_ids: tf.Tensor, positions: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Puts values `(batch, most)` at positions of ids `(batch, length)`; 0 means no position."""
    values = tf.where(positions > 0, values, token_ids[:, :1])
    rows = tf.range(tf.shape(positions)[0])[:, None] + tf.zeros_like(positions)
    return tf.tensor_scatter_nd_update(token_ids, tf.stack([rows, positions], axis=-1), values)


def _gelu(x: Any) -> Any:
    return keras.activations.gelu(x, approximate=False)
