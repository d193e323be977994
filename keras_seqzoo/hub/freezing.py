"""Which of an encoder's weights are trained."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_LAYER = re.compile(r"layer_(\d+)(?=\D|$)")


def count_layers(weights: Sequence[Any]) -> int:
    """The number of transformer layers, by the names of their weights (`…layer_<n>…`)."""
    return len({m[1] for weight in weights if (m := _LAYER.search(weight.path))})


def freeze(weights: Sequence[Any], tune: bool | str) -> None:
    """Sets which weights are trainable.

    Args:
        weights: an encoder's weights.
        tune: True (all that were), False (none), or `"last:N"` (the last N transformer layers and
            the pooler, not the embeddings).

    Raises:
        ValueError: something else, or more layers than there are.
    """
    if tune is True:
        return
    num_layers = count_layers(weights)
    match = re.fullmatch(r"last:(\d+)", str(tune))
    if tune is not False and not (match and 1 <= int(match[1]) <= num_layers):
        raise ValueError(
            f"`trainable` must be True, False, or 'last:N' with N from 1 to {num_layers}, the "
            f"encoder's layers. Received: trainable={tune!r}"
        )
    first = num_layers - int(match[1]) if match else num_layers
    for weight in weights:
        layer = _LAYER.search(weight.path)
        is_pooler = match is not None and "pool" in weight.path
        weight.trainable = is_pooler or (layer is not None and int(layer[1]) >= first)
