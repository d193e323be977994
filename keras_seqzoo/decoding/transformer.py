"""GPT-2, step by step, with a cache of keys and values."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf


class Prompt(NamedTuple):
    """What `begin` made of the prompts.

    All rows go on at the same slot, whatever their length: the last token of every prompt lies in
    slot `length - 1`, the others in front, and slots between are no row's own. Positions and masks
    are those of the row, so an answer depends neither on padding nor on batch mates.

    Attributes:
        token_ids: int32 `(batch, length)`, the last token of each row moved to the end.
        hidden: float32 `(batch, length, hidden)`; a slot that is no row's own repeats the row's
            first token.
        cache: a nest of tensors `(batch, …)` that the next steps read.
    """

    token_ids: tf.Tensor
    hidden: tf.Tensor
    cache: Any


def last_to_the_end(values: tf.Tensor, padding_mask: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """Moves the value of each row's last real token to the last slot.

    Args:
        values: `(batch, length, …)`.
        padding_mask: int32 `(batch, length)`.
        fill: `(batch, 1, …)`, what stands in the slots that become free.
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


class TransformerDecoding:
    """The steps of a KerasHub backbone made of `keras_hub.layers.TransformerDecoder`: GPT-2.

    Args:
        backbone: a `keras_hub.models.GPT2Backbone`.

    Raises:
        ValueError: another backbone.
    """

    def __init__(self, backbone: keras.Model):
        import keras_hub

        if not isinstance(backbone, keras_hub.models.GPT2Backbone):
            raise ValueError(
                "Of KerasHub's causal backbones, GPT-2 generates and answers prompts here; the "
                "others classify. Build this one with task='classify', or take a GPT-2. "
                f"Received: a {type(backbone).__name__}"
            )
        self.backbone = backbone

    @property
    def positions(self) -> int:
        """Most tokens of a text, generated ones included."""
        return int(self.backbone.max_sequence_length)

    def logits(self, hidden: Any) -> Any:
        """Scores of the next token, float32 `(…, vocabulary)`, of vectors `(…, hidden)`."""
        logits = self.backbone.token_embedding(hidden, reverse=True)
        return keras.ops.cast(logits, "float32")

    def begin(self, features: Any, slots: tf.Tensor) -> Prompt:
        """Reads prompts.

        Args:
            features: `token_ids` and `padding_mask`, int32 `(batch, length)`.
            slots: int32, how many tokens there may be in the end, `length` included.
        """
        mask = features["padding_mask"]
        length = tf.shape(mask)[1]
        batch = tf.shape(mask)[0]
        ids = last_to_the_end(features["token_ids"], mask, features["token_ids"][:, :1])
        lengths = tf.reduce_sum(mask, axis=1)
        own = tf.range(slots)[None] < (lengths - 1)[:, None]
        own |= tf.range(slots)[None] >= length - 1
        heads, width = self.backbone.num_heads, self.backbone.hidden_dim
        shape = tf.stack([batch, 2, slots, heads, width // heads])
        empty = tf.zeros(shape, self.backbone.compute_dtype)
        cache = {
            "keys": [empty] * len(self.backbone.transformer_layers),
            "own": own,
            "lag": lengths - length,  # from a slot after the prompt to its position
        }
        positions = tf.range(length)[None] + tf.zeros_like(mask)
        positions = last_to_the_end(positions, mask, tf.zeros([batch, 1], tf.int32))
        hidden, cache = self._run(ids, positions, cache, tf.constant(0))
        fill = hidden[:, :1]
        # A prompt of one token has it in the last slot alone.
        fill = tf.where((lengths == 1)[:, None, None], hidden[:, -1:], fill)
        is_own = own[:, :length, None]
        return Prompt(ids, tf.where(is_own, hidden, fill), cache)

    def extend(self, token_ids: tf.Tensor, cache: Any, index: tf.Tensor) -> tuple[Any, Any]:
        """Reads further tokens.

        Args:
            token_ids: int32 `(batch, tokens)`.
            cache: as `begin` or `extend` returned it.
            index: slot of the first of them.

        Returns:
            Vectors `(batch, tokens, hidden)`, and the cache.
        """
        positions = index + tf.range(tf.shape(token_ids)[1])[None] + cache["lag"][:, None]
        return self._run(token_ids, positions, cache, index)

    def _run(
        self, token_ids: tf.Tensor, positions: tf.Tensor, cache: Any, index: tf.Tensor
    ) -> tuple[Any, Any]:
        backbone = self.backbone
        # Rows of a batch that have reached their end go on until the last has; what they write
        # then is cut off.
        positions = tf.minimum(positions, self.positions - 1)
        x = backbone.token_embedding(token_ids)
        x = backbone.embeddings_add((x, backbone.position_embedding(x, positions=positions)))
        kept = []
        for layer, keys in zip(backbone.transformer_layers, cache["keys"], strict=True):
            x, new = layer(
                x,
                decoder_padding_mask=cache["own"],
                self_attention_cache=keys,
                self_attention_cache_update_index=index,
                training=False,
            )
            new.set_shape(keys.shape)
            kept.append(new)
        return tf.cast(backbone.layer_norm(x), tf.float32), {**cache, "keys": kept}
