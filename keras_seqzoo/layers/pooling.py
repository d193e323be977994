"""Pools the vectors of a text's tokens to one vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

if TYPE_CHECKING:
    from keras_seqzoo.encoders.parts import EncoderParts

POOLINGS = ("pooled", "last", "cls", "mean", "max")


@keras.saving.register_keras_serializable("keras_seqzoo")
class Pooling(keras.layers.Layer):
    """Makes one vector from the vectors of a text's real tokens.

    Args:
        mode: `"mean"` or `"max"` over the real tokens.
    """

    def __init__(self, mode: str, **kwargs: Any):
        super().__init__(**kwargs)
        self.mode = mode
        self.supports_masking = True

    def compute_mask(self, *_: Any) -> None:
        """Ends the mask that recurrent layers pass on: a pooled vector has no length."""

    def call(self, vectors: Any, padding_mask: Any) -> Any:
        """Pools `(batch, length, hidden)` under an int mask `(batch, length)`."""
        return _pool_tokens(vectors, padding_mask, self.mode)

    def compute_output_shape(self, vectors_shape: Any, *_: Any) -> tuple[Any, ...]:
        """Drops the length axis."""
        return (vectors_shape[0], vectors_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "mode": self.mode}


def pool(encoded: Mapping[str, Any], padding_mask: Any, pooling: str) -> Any:
    """Pools the tensors that an encoder returned.

    Args:
        encoded: `sequence_output` `(batch, length, hidden)`, `pooled_output` `(batch, hidden)`.
        padding_mask: int `(batch, length)`, 1 for real tokens.
        pooling: one of `POOLINGS`: `"pooled"` and `"last"` take `pooled_output`, `"cls"` the first
            token's vector, `"mean"` and `"max"` are over the real tokens.

    Returns:
        `(batch, hidden)`.
    """
    if pooling in ("pooled", "last"):
        return encoded["pooled_output"]
    if pooling == "cls":
        return encoded["sequence_output"][:, 0]
    return _pool_tokens(encoded["sequence_output"], padding_mask, pooling)


def pooled_vectors(encoder: keras.Model, inputs: Mapping[str, Any], pooling: str) -> Any:
    """Adds encoder and pooling to a functional model.

    If the encoder's pooler is not used, it is frozen: Keras would warn that it gets no gradient.

    Args:
        encoder: the encoder.
        inputs: the symbolic features.
        pooling: as in `pool`.

    Returns:
        A symbolic tensor `(batch, hidden)`.

    Raises:
        ValueError: an unknown pooling.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"`pooling` must be one of {POOLINGS}. Received: pooling={pooling!r}")
    encoded = encoder(inputs)
    if pooling in ("pooled", "last"):
        return encoded["pooled_output"]
    for weight in encoder.weights:
        if "pool" in weight.path:
            weight.trainable = False
    if pooling == "cls":
        return encoded["sequence_output"][:, 0]
    return Pooling(pooling, name=f"{pooling}_pooling")(
        encoded["sequence_output"], inputs["padding_mask"]
    )


def choose_pooling(pooling: str | None, parts: EncoderParts) -> str:
    """Returns the user's choice of pooling, or the family's default.

    Raises:
        ValueError: a pooling that makes no sense for the family.
    """
    if pooling is not None and pooling not in parts.poolings:
        raise ValueError(
            f"`pooling` of this model must be one of {tuple(parts.poolings)}. "
            f"Received: pooling={pooling!r}"
        )
    return pooling or parts.pooling


def _pool_tokens(vectors: Any, padding_mask: Any, mode: str) -> Any:
    is_real = keras.ops.expand_dims(padding_mask, -1) != 0
    if mode == "max":
        lowest = keras.ops.cast(np.finfo(np.float16).min, vectors.dtype)
        return keras.ops.max(keras.ops.where(is_real, vectors, lowest), axis=1)
    weights = keras.ops.cast(is_real, vectors.dtype)
    return keras.ops.sum(vectors * weights, axis=1) / keras.ops.sum(weights, axis=1)
