"""JSON of the Classify and Regress APIs: `tf.Example`s from objects, results to lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seqzoo.serving.protocol import shorten
from keras_seqzoo.serving.server.errors import RequestError
from keras_seqzoo.serving.server.rest import check_rows, write, write_list
from keras_seqzoo.serving.server.values import (
    TOO_BIG,
    debug,
    decode,
    encode,
    is_base64,
    json_type,
    name_of,
    read_base64,
)

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}
_MOST_REPEATED = 64 * 2**20
_INT64 = np.iinfo(np.int64)
_UINT64 = np.iinfo(np.uint64)


def read_examples(document: Mapping[str, Any], most: int) -> np.ndarray:
    """Reads `examples`, each with the features of `context`.

    Args:
        document: the request.
        most: examples that a request may have.

    Returns:
        Serialised `tf.Example`s, an object array `(examples,)` of bytes.

    Raises:
        RequestError: a key is missing or empty, too many examples, or a value that no feature has.
    """
    context = b""
    if "context" in document:
        context = _read_example(document["context"]).SerializeToString()
    if "examples" not in document:
        raise RequestError(
            f"JSON Value: {debug(document)} When method is classify, key 'examples' is expected "
            "and was not found"
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise RequestError(
            f"JSON Value: {debug(document)} Expecting 'examples' value to be an list/array"
        )
    if not examples:
        raise RequestError(f"JSON Value: {debug(document)} 'examples' value is an empty array")
    check_rows(len(examples), most)
    if len(context) * len(examples) > _MOST_REPEATED:
        raise RequestError(
            f"A context stands in each example, in all in at most {_MOST_REPEATED} bytes. Send the "
            f"examples in several requests. Received: {len(context)} bytes, {len(examples)} times"
        )
    # Messages that follow each other are merged when they are parsed.
    serialised = [context + _read_example(e).SerializeToString() for e in examples]
    return np.array(serialised, object)


def _read_example(value: Any) -> Any:
    if not isinstance(value, dict):
        raise RequestError(f"Example must be JSON object but got JSON {json_type(value)}")
    example = tf.train.Example()
    for name, content in value.items():
        feature = example.features.feature[encode(name).decode("utf-8", "replace")]
        for item in content if isinstance(content, list) else [content]:
            kind, read = _read_item(item, name)
            if feature.WhichOneof("kind") not in (None, kind):
                raise RequestError(
                    f"Unexpected element type in feature: {name} expecting type: "
                    f"{_KINDS[feature.WhichOneof('kind')]}"
                )
            getattr(feature, kind).value.append(read)
    return example


def _read_item(item: Any, name: str) -> tuple[str, Any]:
    if isinstance(item, str):
        return "bytes_list", encode(item)
    if is_base64(item):
        return "bytes_list", read_base64(item)
    if isinstance(item, float):
        return "float_list", item
    if isinstance(item, int):
        if _INT64.min <= item <= _INT64.max:
            return "int64_list", int(item)
        if 0 < item <= _UINT64.max:
            raise RequestError(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        return "float_list", _to_float(item)
    raise RequestError(f"Feature: {name} has element with unexpected JSON type: {json_type(item)}")


def _to_float(number: int) -> float:
    try:
        return float(number)
    except OverflowError as error:
        raise RequestError(TOO_BIG) from error


def write_classes(outputs: Mapping[str, np.ndarray], count: int) -> bytes:
    """Writes the reply of a Classify request: per example, pairs of a class and its score.

    Args:
        outputs: `classes`, strings, and `scores`, float32, both `(examples, classes)`. One may be
            missing: classes are then empty strings, scores 0.
        count: examples that were sent.

    Raises:
        RequestError: another shape or dtype.
    """
    for name, dtype in (("classes", tf.string), ("scores", tf.float32)):
        if name in outputs:
            _check_output(name, outputs[name], dtype, count)
    shape = next(iter(outputs.values())).shape
    classes = outputs.get("classes", np.full(shape, b"", object))
    scores = outputs.get("scores", np.zeros(shape, np.float32))
    if classes.shape != scores.shape:
        raise RequestError(
            "Tensors class and score should match in dim_size(1). "
            f"Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    rows = zip(classes.tolist(), shorten(scores).tolist(), strict=True)
    pairs = ([[decode(n), s] for n, s in zip(names, row, strict=True)] for names, row in rows)
    return write_list("results", pairs)


def _check_output(name: str, array: np.ndarray, dtype: tf.DType, count: int) -> None:
    if array.ndim != 2:
        raise RequestError(
            "Expected Tensor shape: [batch_size num_classes] but got "
            f"[{','.join(map(str, array.shape))}]"
        )
    if tf.as_dtype(array.dtype) != dtype:
        raise RequestError(
            f"Expected {name} Tensor of DT_{name_of(dtype).upper()}. "
            f"Got: DT_{name_of(tf.as_dtype(array.dtype)).upper()}"
        )
    if len(array) != count:
        raise RequestError(f"Expected {name} output batch size of {count}. Got: {len(array)}")


def write_regressions(values: np.ndarray, count: int) -> bytes:
    """Writes the reply of a Regress request: a number per example.

    Args:
        values: float32 `(examples,)` or `(examples, 1)`.
        count: examples that were sent.

    Raises:
        RequestError: another shape or dtype.
    """
    if values.ndim != 1 and values.shape[1:] != (1,):
        raise RequestError(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"[{','.join(map(str, values.shape))}]"
        )
    if len(values) != count:
        raise RequestError(
            f"Input batch size did not match output batch size: {count} vs. {len(values)}"
        )
    if values.dtype != np.float32:
        raise RequestError(
            "Expected output Tensor of DT_FLOAT.  "
            f"Got: DT_{name_of(tf.as_dtype(values.dtype)).upper()}"
        )
    return write({"results": shorten(values.ravel()).tolist()})
