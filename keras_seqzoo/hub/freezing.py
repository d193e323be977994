"""Which of an encoder's weights are trained."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import keras

_LAYER = re.compile(r"layer_(\d+)(?=\D|$)")


def count_layers(weights: Sequence[Any]) -> int:
    """The number of transformer layers, from the names of their weights (`…layer_<n>…`)."""
    return len({m[1] for weight in weights if (m := _LAYER.search(weight.path))})


def freeze(layer: keras.layers.Layer, tune: bool | str) -> None:
    """Sets which weights of a layer are trainable.

    Args:
        layer: an encoder.
        tune: True (all that were trainable), False (none), or `"last:N"` (the last N transformer
            layers and the pooler, not the embeddings).

    Raises:
        ValueError: another value, or more layers than the encoder has.
    """
    if not layer.trainable or tune is False:
        # Freeze it as a user would, so that a user can unfreeze it. Keras only passes on changes,
        # hence True first.
        layer.trainable = True
        layer.trainable = False
    if isinstance(tune, bool):
        return
    weights = layer.weights
    num_layers = count_layers(weights)
    match = re.fullmatch(r"last:(\d+)", str(tune))
    if not (match and 1 <= int(match[1]) <= num_layers):
        raise ValueError(
            f"`trainable` must be True, False, or 'last:N' with N from 1 to {num_layers}, the "
            f"encoder's layers. Received: trainable={tune!r}"
        )
    first = num_layers - int(match[1])
    for weight in weights:
        number = _LAYER.search(weight.path)
        weight.trainable = "pool" in weight.path or (number is not None and int(number[1]) >= first)
