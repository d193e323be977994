"""A transformer like BERT that computes only for tokens, not for padding.

The tokens of a batch are the rows of one matrix, `(tokens, width)`, except in attention, which is
among the tokens of a text: there they are laid out by text, and then collected again. Training uses
the gradients in `kernels.py`; inference uses operations that TensorFlow fuses with their products.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_seqzoo.checks import check_rate, check_whole
from keras_seqzoo.hub.freezing import freeze
from keras_seqzoo.hub.kernels import attend, collect, drop, gelu, gelu_tanh, layer_norm, move

ACTIVATIONS = ("gelu_tanh", "gelu", "relu")
_LEAST = -1e4  # added to scores of padding: its exponential is 0 in every precision
_BLOCK = 2**20  # attention scores at a time in training, so that they stay in the CPU's cache


@keras.saving.register_keras_serializable("keras_seqzoo")
class TransformerEncoder(keras.layers.Layer):
    """Encodes features as BERT does (Devlin et al. 2019): each norm follows a residual sum.

    Takes `token_ids`, `padding_mask` and `segment_ids`, int32 `(batch, length)`, and returns a
    dict of `sequence_output` `(batch, length, hidden)`, zeros at padding, and `pooled_output`
    `(batch, hidden)`: tanh of a dense layer over the first token's vector, or that vector itself
    without a `pooler`.

    Args:
        vocabulary_size: rows of the token embedding.
        sequence_length: rows of the position embedding, which is the most tokens of a text.
        num_segments: rows of the segment embedding; 0 for none.
        num_layers: number of transformer layers.
        num_heads: attention heads in each layer.
        hidden_dim: width of a token's vector.
        intermediate_dim: width inside the feed-forward layers.
        embedding_dim: width of the embeddings; if it differs from `hidden_dim`, a dense layer
            projects them. Defaults to `hidden_dim`.
        activation: `"gelu_tanh"` (GELU approximated by tanh, as in BERT's code), `"gelu"` or
            `"relu"`.
        epsilon: added to the variance in norms.
        pooler: whether there is a dense layer over the first token.
        dropout: rate after the embeddings, in attention and after each part of a layer.
        tune: which weights are trainable: True, False, or `"last:N"` for the last N layers and the
            pooler. A frozen encoder also runs without its dropout.
        lora_rank: rank of matrices that are added to the weights of queries and values and trained
            in place of all weights (Hu et al. 2021, LoRA); None trains the weights.
        **kwargs: arguments of `keras.layers.Layer`.

    Attributes:
        xla: whether XLA compiles the step. It needs shapes that do not depend on the texts, so
            padding is then computed like tokens.
        step: makes the object that passes a batch through; `hub.int8` replaces it.

    Raises:
        ValueError: a value out of its range.
    """

    xla = False

    def __init__(
        self,
        vocabulary_size: int,
        sequence_length: int,
        num_segments: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        intermediate_dim: int,
        embedding_dim: int | None = None,
        activation: str = "gelu_tanh",
        epsilon: float = 1e-12,
        pooler: bool = True,
        dropout: float = 0.1,
        tune: bool | str = True,
        lora_rank: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.sequence_length = sequence_length
        self.num_segments = num_segments
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.intermediate_dim = intermediate_dim
        self.embedding_dim = embedding_dim or hidden_dim
        self.activation = activation
        self.epsilon = epsilon
        self.pooler = pooler
        self.dropout = dropout
        self.tune = tune
        self.lora_rank = lora_rank
        check_rate(dropout=dropout)
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"`activation` must be one of {ACTIVATIONS}. Received: activation={activation!r}"
            )
        if hidden_dim % num_heads:
            raise ValueError(
                "`hidden_dim` is divided among the heads: make it a multiple of `num_heads`. "
                f"Received: hidden_dim={hidden_dim}, num_heads={num_heads}"
            )
        self.step: Callable[..., Step] = Step
        self._draws = keras.random.SeedGenerator()
        self._weights: dict[str, Any] = {}
        self._make_weights()
        self.built = True
        freeze(self, tune)
        if lora_rank is not None:
            self._add_lora(lora_rank)

    def call(
        self, features: Mapping[str, Any], training: bool | None = None, embeds: bool = False
    ) -> dict[str, Any]:
        """Encodes features; see the class.

        Args:
            features: features of texts.
            training: whether to use dropout.
            embeds: whether to return only the embeddings, after their norm: `embedded`
                `(batch, length, embedding width)`.
        """
        step = self.step(self, features, bool(training) and self.trainable)
        tokens = step.embedded()
        if embeds:
            return {"embedded": step.laid_out(tokens)}
        tokens = step.begun(tokens)
        for number in range(self.num_layers):
            tokens = step.layer(tokens, f"layer_{number}_")
        sequence = step.laid_out(tokens)
        first = sequence[:, 0]
        if self.pooler:
            first = tf.tanh(step.dense(first, "pooler_"))
        return {"sequence_output": sequence, "pooled_output": first}

    def compute_output_spec(
        self, features: Mapping[str, Any], training: bool | None = None, embeds: bool = False
    ) -> dict[str, Any]:
        """Shapes of the outputs of `call`."""
        batch, length = features["token_ids"].shape
        shapes: dict[str, tuple[int | None, ...]] = {
            "sequence_output": (batch, length, self.hidden_dim),
            "pooled_output": (batch, self.hidden_dim),
        }
        if embeds:
            shapes = {"embedded": (batch, length, self.embedding_dim)}
        return {name: keras.KerasTensor(s, self.compute_dtype) for name, s in shapes.items()}

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        names = (
            "vocabulary_size", "sequence_length", "num_segments", "num_layers", "num_heads",
            "hidden_dim", "intermediate_dim", "embedding_dim", "activation", "epsilon", "pooler",
            "dropout", "tune", "lora_rank",
        )  # fmt: skip
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of its weights, without low-rank matrices."""
        hidden, inner, width = self.hidden_dim, self.intermediate_dim, self.embedding_dim
        shapes: dict[str, tuple[int, ...]] = {
            "token_embedding": (self.vocabulary_size, width),
            "position_embedding": (self.sequence_length, width),
        }
        if self.num_segments:
            shapes["segment_embedding"] = (self.num_segments, width)
        shapes |= _norm_shapes("embedding_norm_", width)
        if width != hidden:
            shapes |= _dense_shapes("projection_", width, hidden)
        for number in range(self.num_layers):
            name = f"layer_{number}_"
            shapes |= {
                **_dense_shapes(f"{name}query_key_value_", hidden, 3 * hidden),
                **_dense_shapes(f"{name}attention_", hidden, hidden),
                **_norm_shapes(f"{name}attention_norm_", hidden),
                **_dense_shapes(f"{name}intermediate_", hidden, inner),
                **_dense_shapes(f"{name}output_", inner, hidden),
                **_norm_shapes(f"{name}output_norm_", hidden),
            }
        if self.pooler:
            shapes |= _dense_shapes("pooler_", hidden, hidden)
        return shapes

    def fill(self, values: Mapping[str, npt.NDArray[Any]]) -> None:
        """Sets the weights, by name, from arrays of the same size.

        Raises:
            ValueError: a weight that is missing, unknown or of another size.
        """
        shapes = self.shapes()
        wrong = {*shapes} ^ {*values} or {
            name for name, shape in shapes.items() if math.prod(shape) != values[name].size
        }
        if wrong:
            raise ValueError(
                f"The weights must be those of the encoder. Received: {sorted(wrong)}, missing, "
                "too many or of another size"
            )
        for name, shape in shapes.items():
            self._weights[name].assign(np.reshape(values[name], shape))

    def _make_weights(self) -> None:
        """Makes the weights as BERT's code does: normal with deviation 0.02, cut at twice that."""
        for name, shape in self.shapes().items():
            begun: Any = "ones" if name.endswith("gamma") else "zeros"
            if len(shape) == 2:  # a new one for each weight: one would draw the same again
                begun = keras.initializers.TruncatedNormal(stddev=0.02)
            # Tables are looked up before a cast, and norms compute in float32.
            casts = "_norm_" not in name and "embedding" not in name
            self._weights[name] = self.add_weight(
                shape=shape, initializer=begun, name=name, autocast=casts
            )

    def _add_lora(self, rank: int) -> None:
        check_whole(lora_rank=rank)
        if self.tune is not True:
            raise ValueError(
                "With `lora_rank` the encoder's own weights are frozen. Leave `trainable` "
                f"out, or `lora_rank`. Received: trainable={self.tune!r}, lora_rank={rank!r}"
            )
        for weight in self._weights.values():
            weight.trainable = False
        for number in range(self.num_layers):
            for part in ("query", "value"):
                name = f"layer_{number}_{part}_lora_"
                shape = (self.hidden_dim, rank)
                self._weights[f"{name}a"] = self.add_weight(
                    shape=shape, initializer="he_uniform", name=f"{name}a"
                )
                self._weights[f"{name}b"] = self.add_weight(
                    shape=shape[::-1], initializer="zeros", name=f"{name}b"
                )


class Step:
    """One pass of a batch through an encoder."""

    def __init__(self, encoder: TransformerEncoder, features: Mapping[str, Any], training: bool):
        self._encoder = encoder
        self._weights = encoder._weights
        self._features = features
        self._training = training
        self._dtype = tf.as_dtype(encoder.compute_dtype)
        self._seed = encoder._draws.next() if training and encoder.dropout else None
        self._drawn = 0
        mask = features["padding_mask"]
        self._shape = tf.shape(mask)
        # The tokens' places in the batch, read row by row.
        self._places = None if encoder.xla else tf.where(tf.reshape(mask, [-1]) > 0)
        self._moves = None if encoder.xla else _moves(mask, self._places, encoder.num_heads)
        padding = 1 - tf.cast(mask, tf.float32)
        self._masked = tf.expand_dims(tf.expand_dims(padding * _LEAST, 1), 1)

    def embedded(self) -> Any:
        """Embeddings of the tokens, after their norm, `(tokens, embedding width)`."""
        weights = self._weights
        found = self.vectors(self._features["token_ids"])
        found += weights["position_embedding"].value[: self._shape[1]]
        if "segment_embedding" in weights:
            found += tf.gather(weights["segment_embedding"].value, self._features["segment_ids"])
        found = self._collected(tf.reshape(found, [-1, found.shape[-1]]))
        return self._norm(tf.cast(found, self._dtype), "embedding_norm_")

    def vectors(self, ids: Any) -> Any:
        """Rows of the token embedding."""
        return tf.gather(self._weights["token_embedding"].value, ids)

    def begun(self, embedded: Any) -> Any:
        """The input of the first layer."""
        tokens = self._dropped(embedded)
        return self.dense(tokens, "projection_") if "projection_kernel" in self._weights else tokens

    def layer(self, tokens: Any, name: str) -> Any:
        """Passes the tokens through a layer."""
        attended = self.dense(self._attended(tokens, name), f"{name}attention_")
        tokens = self._norm(tokens + self._dropped(attended), f"{name}attention_norm_")
        inner = self.dense(tokens, f"{name}intermediate_", self._encoder.activation)
        changed = self.dense(inner, f"{name}output_")
        return self._norm(tokens + self._dropped(changed), f"{name}output_norm_")

    def laid_out(self, tokens: Any) -> Any:
        """Lays tokens out by text, `(batch, length, width)`, zeros at padding."""
        batch, length = tf.unstack(self._shape)
        if self._places is not None:
            shape = tf.stack([tf.cast(batch * length, tf.int64), tokens.shape[-1]])
            tokens = tf.scatter_nd(self._places, tokens, shape)
        else:
            mask = tf.reshape(self._features["padding_mask"], [-1, 1])
            tokens *= tf.cast(mask, tokens.dtype)
        return tf.reshape(tokens, [batch, length, tokens.shape[-1]])

    def dense(self, values: Any, name: str, activation: str | None = None) -> Any:
        """`values · kernel + bias`, with its activation."""
        kernel, bias = (self._weights[f"{name}{part}"] for part in ("kernel", "bias"))
        product = tf.nn.bias_add(tf.matmul(values, kernel), tf.convert_to_tensor(bias))
        return self._activated(product, activation) if activation else product

    def _collected(self, rows: Any) -> Any:
        """Selects the rows of tokens from rows of all places, `(batch · length, width)`."""
        return rows if self._places is None else collect(rows, self._places)

    def _attended(self, tokens: Any, name: str) -> Any:
        """Weighted means of the tokens' values, head by head, `(tokens, hidden)`."""
        heads, hidden = self._encoder.num_heads, self._encoder.hidden_dim
        joint = self.dense(tokens, f"{name}query_key_value_")
        if f"{name}query_lora_a" in self._weights:
            joint += tf.concat(
                [
                    self._lora(tokens, f"{name}query_lora_"),
                    tf.zeros_like(tokens),
                    self._lora(tokens, f"{name}value_lora_"),
                ],
                axis=1,
            )
        queries, keys, values = tf.unstack(self._by_head(joint))
        queries *= tf.cast((hidden // heads) ** -0.5, queries.dtype)
        if self._training:
            # XLA has no shapes that depend on data, and a GPU would wait for each block.
            whole = self._encoder.xla or tf.config.list_logical_devices("GPU")
            rows = None if whole else _BLOCK // self._shape[1] ** 2
            rate = self._encoder.dropout
            means = attend(queries, keys, values, self._masked, rate, self._drawing(), rows)
            return self._by_token(means)
        scores = tf.cast(tf.matmul(queries, keys, transpose_b=True), tf.float32)
        shares = tf.cast(tf.nn.softmax(scores + self._masked), self._dtype)
        return self._by_token(tf.matmul(shares, values))

    def _by_head(self, joint: Any) -> Any:
        """Splits `(tokens, 3 · hidden)` by head: `(3, batch, heads, length, width)`.

        At padding there is some other token; its result is never read.
        """
        heads, hidden = self._encoder.num_heads, self._encoder.hidden_dim
        if self._moves is None:
            parts = tf.reshape(joint, [*tf.unstack(self._shape), 3, heads, hidden // heads])
            return tf.transpose(parts, [2, 0, 3, 1, 4])
        return move(tf.reshape(joint, [-1, hidden // heads]), *self._moves[0])

    def _by_token(self, means: Any) -> Any:
        """Joins the heads of each token: `(batch, heads, length, width)` to `(tokens, hidden)`."""
        hidden, width = self._encoder.hidden_dim, means.shape[-1]
        if self._moves is None:
            return tf.reshape(tf.transpose(means, [0, 2, 1, 3]), [-1, hidden])
        return tf.reshape(move(tf.reshape(means, [-1, width]), *self._moves[1]), [-1, hidden])

    def _lora(self, tokens: Any, name: str) -> Any:
        return tf.matmul(tf.matmul(tokens, self._weights[f"{name}a"]), self._weights[f"{name}b"])

    def _norm(self, values: Any, name: str) -> Any:
        gamma, beta = (self._weights[f"{name}{part}"].value for part in ("gamma", "beta"))
        norm = layer_norm if self._training else _plain_norm
        epsilon = tf.constant(self._encoder.epsilon)
        values, gamma, beta = (tf.cast(part, tf.float32) for part in (values, gamma, beta))
        return tf.cast(norm(values, gamma, beta, epsilon), self._dtype)

    def _activated(self, values: Any, kind: str) -> Any:
        if kind == "relu":
            return tf.nn.relu(values)
        if not self._training:
            return tf.nn.gelu(values, approximate=kind == "gelu_tanh")
        return gelu_tanh(values) if kind == "gelu_tanh" else gelu(values)

    def _dropped(self, values: Any) -> Any:
        seed = self._drawing()
        return values if seed is None else drop(values, self._encoder.dropout, seed)

    def _drawing(self) -> Any:
        """A new seed for each draw: draws change its first number, the generator its second."""
        if self._seed is None:
            return None
        self._drawn += 1
        return self._seed + tf.constant([self._drawn, 0], self._seed.dtype)


def _norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}gamma": (width,), f"{name}beta": (width,)}


def _dense_shapes(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}kernel": (inputs, outputs), f"{name}bias": (outputs,)}


def _moves(mask: Any, places: Any, heads: int) -> tuple[Any, Any]:
    """Arguments of `move` to lay the heads' parts of tokens out by text, and to collect them again.

    A row is the part of one head. By token, the rows of queries, keys and values are
    `(tokens, 3, heads)`; by text, they are `(3, batch, heads, length)`.
    """
    batch, length = tf.unstack(tf.shape(mask))
    number = tf.reshape(tf.cumsum(tf.reshape(mask, [-1])), [batch, 1, length]) - 1
    number = tf.maximum(number, 0)  # of the token; at padding, of the token before
    head, part = tf.range(heads), tf.range(3)
    head_of_text, part_of_text = tf.reshape(head, [-1, 1]), tf.reshape(part, [-1, 1, 1, 1])
    place = tf.cast(places, tf.int32)
    of_token = (place // length * heads + head) * length + place % length
    of_text = number * heads + head_of_text
    far = tf.reshape(part, [-1, 1]) * (batch * heads * length)
    return (
        (
            (number * 3 + part_of_text) * heads + head_of_text,
            tf.expand_dims(of_token, 1) + far,
            None,
        ),
        (of_token, of_text, tf.reshape(mask, [batch, 1, length, 1])),
    )


def _plain_norm(values: Any, gamma: Any, beta: Any, epsilon: Any) -> Any:
    mean, variance = tf.nn.moments(values, [-1], keepdims=True)
    return (values - mean) * tf.math.rsqrt(variance + epsilon) * gamma + beta
