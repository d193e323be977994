"""`sample_command`: a curl command that a version answers, to be pasted into a terminal."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from keras_seqzoo.serving.server.rest import DEFAULT_SIGNATURE

_TEXTS = ("the soup was lovely", "they liked the soup")  # the second one of a pair


def sample_command(url: str, model: str, signatures: Mapping[str, Any]) -> str:
    """Writes a Predict request of one row, for `serving_default` or else the first signature.

    Args:
        url: of the server.
        model: the model's name, as it stands in a URL.
        signatures: of the version.
    """
    name = DEFAULT_SIGNATURE if DEFAULT_SIGNATURE in signatures else min(signatures)
    inputs = signatures[name].inputs
    row = {key: _value(inputs[key], place % 2) for place, key in enumerate(sorted(inputs))}
    body: dict[str, Any] = {} if name == DEFAULT_SIGNATURE else {"signature_name": name}
    body["instances"] = [row if len(row) > 1 else next(iter(row.values()))]
    return (
        f"curl -d {shlex.quote(json.dumps(body))} {shlex.quote(f'{url}/v1/models/{model}:predict')}"
    )


def _value(info: Any, place: int) -> Any:
    dtype = tf.as_dtype(info.dtype)
    value: Any = _TEXTS[place] if dtype == tf.string else True if dtype == tf.bool else 1
    for dim in reversed(info.tensor_shape.dim[1:]):
        value = [value] * max(1, dim.size)
    return value
