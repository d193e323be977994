"""GPT-2, step by step, with a cache of keys and values, in core TensorFlow ops."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf


class Prompt(NamedTuple):
    """Prompts that `begin` has read.

    All rows continue at the same slot, whatever their length: the last token of every prompt is in
    slot `length - 1`, the others are in front, and the slots between belong to no row. Positions
    and masks are those of the row, so an answer depends neither on padding nor on batch mates.

    Attributes:
        token_ids: int32 `(batch, length)`, the last token of each row moved to the end.
        hidden: float32 `(batch, length, hidden)`; a slot that is not the row's own repeats the
            row's first token.
        cache: a nest of tensors `(batch, …)` that the next steps read.
        weights: a nest of tensors, the same for all rows and steps.
    """

    token_ids: tf.Tensor
    hidden: tf.Tensor
    cache: Any
    weights: Any = ()


def last_to_the_end(values: tf.Tensor, padding_mask: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """Moves the value of each row's last real token to the last slot.

    Args:
        values: `(batch, length, …)`.
        padding_mask: int32 `(batch, length)`.
        fill: `(batch, 1, …)`, the values for the slots that become free.
    """
    lengths = tf.reduce_sum(padding_mask, axis=1)
    slots = tf.range(tf.shape(padding_mask)[1])[None]
    rank = values.shape.rank
    last = tf.gather(values, lengths - 1, axis=1, batch_dims=1)[:, None]
    is_last = slots == tf.shape(padding_mask)[1] - 1
    is_before = slots < (lengths - 1)[:, None]
    for _ in range(rank - 2):
        is_last, is_before = is_last[..., None], is_before[..., None]
    return tf.where(is_last, last, tf.where(is_before, values, fill))


def backbone_of(encoder: keras.Model) -> Any:
    """Returns the KerasHub backbone that an encoder wraps; None if it has only Keras's layers."""
    return next((y.backbone for y in encoder.layers if hasattr(y, "backbone")), None)


class TransformerDecoding:
    """The steps of GPT-2, written out over the weights of KerasHub's backbone.

    KerasHub's own steps write into the cache with an op of XLA (`XlaDynamicUpdateSlice`).
    TensorFlow compiles it again for every shape, and only TensorFlow's Python package has kernels
    for it. The steps here use core ops, so the graph can be served. Tests compare them with the
    backbone.

    Source: Radford et al. (2019); the residual, norm and activation as in KerasHub's
    `TransformerDecoder` with `normalize_first=True`.

    Args:
        backbone: a `keras_hub.models.GPT2Backbone`.

    Raises:
        ValueError: a backbone of another kind.
    """

    def __init__(self, backbone: keras.Model):
        import keras_hub

        if not isinstance(backbone, keras_hub.models.GPT2Backbone):
            raise ValueError(
                "Of KerasHub's causal backbones, only GPT-2 can generate and answer prompts; the "
                "others can classify. Build this one with task='classify', or take a GPT-2. "
                f"Received: a {type(backbone).__name__}"
            )
        self.backbone = backbone

    @property
    def positions(self) -> int:
        """Most tokens of a text, generated ones included."""
        return int(self.backbone.max_sequence_length)

    def logits(self, hidden: Any) -> Any:
        """Computes scores of the next token, float32 `(…, vocabulary)`, from `(…, hidden)`."""
        logits = self.backbone.token_embedding(hidden, reverse=True)
        return keras.ops.cast(logits, "float32")

    def begin(self, features: Any, slots: tf.Tensor) -> Prompt:
        """Reads prompts.

        Args:
            features: `token_ids` and `padding_mask`, int32 `(batch, length)`.
            slots: int32, the final number of tokens at most, including `length`.
        """
        mask = features["padding_mask"]
        length = tf.shape(mask)[1]
        batch = tf.shape(mask)[0]
        ids = last_to_the_end(features["token_ids"], mask, features["token_ids"][:, :1])
        lengths = tf.reduce_sum(mask, axis=1)
        own = tf.range(slots)[None] < (lengths - 1)[:, None]
        own |= tf.range(slots)[None] >= length - 1
        heads, width = self.backbone.num_heads, self.backbone.hidden_dim
        shape = tf.stack([batch, heads, slots, width // heads])
        empty = tf.zeros(shape, self.backbone.compute_dtype)
        empty = tf.ensure_shape(empty, [None, heads, None, width // heads])
        cache = {
            "keys": [empty] * self.backbone.num_layers,
            "values": [empty] * self.backbone.num_layers,
            "own": own,
            "lag": lengths - length,  # from a slot after the prompt to its position
        }
        positions = tf.range(length)[None] + tf.zeros_like(mask)
        positions = last_to_the_end(positions, mask, tf.zeros([batch, 1], tf.int32))
        backbone = self.backbone
        weights = [_weights_of(x, backbone.compute_dtype) for x in backbone.transformer_layers]
        hidden, cache = self._run(ids, positions, cache, tf.constant(0), weights)
        fill = hidden[:, :1]
        # A prompt of one token has it only in the last slot.
        fill = tf.where((lengths == 1)[:, None, None], hidden[:, -1:], fill)
        is_own = own[:, :length, None]
        return Prompt(ids, tf.where(is_own, hidden, fill), cache, weights)

    def extend(
        self, token_ids: tf.Tensor, cache: Any, index: tf.Tensor, weights: Any
    ) -> tuple[Any, Any]:
        """Reads more tokens.

        Args:
            token_ids: int32 `(batch, tokens)`.
            cache: as `begin` or `extend` returned it.
            index: slot of the first of these tokens.
            weights: as `begin` returned them.

        Returns:
            Vectors, float32 `(batch, tokens, hidden)`, and the cache.
        """
        positions = index + tf.range(tf.shape(token_ids)[1])[None] + cache["lag"][:, None]
        return self._run(token_ids, positions, cache, index, weights)

    def _run(
        self,
        token_ids: tf.Tensor,
        positions: tf.Tensor,
        cache: Any,
        index: tf.Tensor,
        weights_of_layers: Any,
    ) -> tuple[Any, Any]:
        backbone, dtype = self.backbone, self.backbone.compute_dtype
        tokens, slots = tf.shape(token_ids)[1], tf.shape(cache["own"])[1]
        # Rows of a batch that have reached their end continue until the last row has; what they
        # write after their end is cut off.
        positions = tf.minimum(positions, self.positions - 1)
        x = backbone.token_embedding(token_ids)
        x += backbone.position_embedding(x, positions=positions)
        slot = tf.range(slots)
        is_new = ((slot >= index) & (slot < index + tokens))[None, None, :, None]
        around = [[0, 0], [0, 0], [index, slots - index - tokens], [0, 0]]
        seen = slot[None] <= index + tf.range(tokens)[:, None]
        seen = (cache["own"][:, None] & seen[None])[:, None]  # (batch, 1, tokens, slots)
        keys, values = [], []
        shape = backbone.num_heads, backbone.hidden_dim // backbone.num_heads
        for layer, weights, old_keys, old_values in zip(
            backbone.transformer_layers,
            weights_of_layers,
            cache["keys"],
            cache["values"],
            strict=True,
        ):
            h = _norm(x, weights, "self_attention_layer_norm", layer.layer_norm_epsilon)
            joint = tf.reshape(_dense(h, weights, "joint"), [-1, tokens, 3, *shape])
            query, key, value = tf.unstack(tf.transpose(joint, [2, 0, 3, 1, 4]))
            keys.append(tf.where(is_new, tf.pad(key, around), old_keys))
            values.append(tf.where(is_new, tf.pad(value, around), old_values))
            query *= tf.cast(query.shape[-1], dtype) ** -0.5
            scores = tf.cast(tf.matmul(query, keys[-1], transpose_b=True), tf.float32)
            shares = tf.cast(tf.nn.softmax(tf.where(seen, scores, -1e9)), dtype)
            read = tf.transpose(tf.matmul(shares, values[-1]), [0, 2, 1, 3])
            read = tf.reshape(read, [-1, tokens, backbone.hidden_dim])
            x += _dense(read, weights, "attention_output")
            h = _norm(x, weights, "feedforward_layer_norm", layer.layer_norm_epsilon)
            h = layer.activation(_dense(h, weights, "feedforward_intermediate_dense"))
            x += _dense(h, weights, "feedforward_output_dense")
        hidden = tf.cast(backbone.layer_norm(x), tf.float32)
        return hidden, {**cache, "keys": keys, "values": values}


def _weights_of(layer: Any, dtype: str) -> dict[str, tf.Tensor]:
    """The weights of a decoder layer by the last two parts of their paths; low rank is merged.

    Kernels are matrices, and those of queries, keys and values are one, "joint", which is read
    faster than three.
    """
    read = {
        "/".join(weight.path.split("/")[-2:]): tf.cast(tf.convert_to_tensor(weight), dtype)
        for weight in layer.weights
    }
    parts = ("query", "key", "value")
    for name in parts:
        if f"{name}/lora_kernel_a" in read:
            # KerasHub sets no `lora_alpha`, so its factor is one.
            update = read[f"{name}/lora_kernel_a"] @ read[f"{name}/lora_kernel_b"]
            read[f"{name}/kernel"] += update
    hidden = read["query/kernel"].shape[0]
    kernels = [tf.reshape(read[f"{name}/kernel"], [hidden, -1]) for name in parts]
    read["joint/kernel"] = tf.concat(kernels, axis=1)
    read["joint/bias"] = tf.concat([tf.reshape(read[f"{name}/bias"], [-1]) for name in parts], 0)
    # The kernel of the attention's output has an axis for the heads.
    read["attention_output/kernel"] = tf.reshape(read["attention_output/kernel"], [hidden, -1])
    return read


def _dense(x: tf.Tensor, weights: dict[str, tf.Tensor], name: str) -> tf.Tensor:
    kernel = weights[f"{name}/kernel"]
    flat = tf.nn.bias_add(tf.reshape(x, [-1, x.shape[-1]]) @ kernel, weights[f"{name}/bias"])
    return tf.reshape(flat, tf.stack([tf.shape(x)[0], tf.shape(x)[1], kernel.shape[-1]]))


def _norm(x: tf.Tensor, weights: dict[str, tf.Tensor], name: str, epsilon: float) -> tf.Tensor:
    wide = tf.cast(x, tf.float32)
    mean, variance = tf.nn.moments(wide, axes=[-1], keepdims=True)
    normed = tf.cast((wide - mean) * tf.math.rsqrt(variance + epsilon), x.dtype)
    return normed * weights[f"{name}/gamma"] + weights[f"{name}/beta"]
