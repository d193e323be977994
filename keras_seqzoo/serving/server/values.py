"""JSON values to arrays and back: which value fits which dtype, and how it is written."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seqzoo.serving.protocol import shorten
from keras_seqzoo.serving.server.errors import RequestError

TOO_BIG = "JSON Parse error: Number too big to be stored in double."

_DEBUG_LENGTH = 256
_FLOATS = (tf.float32, tf.float64)
_INTEGERS: Mapping[tf.DType, Any] = {
    tf.int8: np.iinfo(np.int32),
    tf.uint8: np.iinfo(np.int32),
    tf.int16: np.iinfo(np.int32),
    tf.int32: np.iinfo(np.int32),
    tf.int64: np.iinfo(np.int64),
    tf.uint32: np.iinfo(np.uint32),
    tf.uint64: np.iinfo(np.uint64),
}
# TensorFlow's C++ names where they differ from those in Python.
_NAMES = {"float16": "half", "float32": "float", "float64": "double"}


def shape_of(value: Any) -> list[int]:
    """Returns the shape of nested lists, judged by the first of each."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def read_values(value: Any, shape: Sequence[int], dtype: tf.DType) -> list[Any]:
    """Reads nested lists into a flat one, strings as bytes.

    Args:
        value: the lists, or a single value.
        shape: what `shape_of` says of it.
        dtype: of the input.

    Raises:
        RequestError: lists that make no array, or a value that is not of the dtype.
    """
    values: list[Any] = []
    _collect(value, 0, shape, dtype, values)
    return values


def _collect(
    value: Any, level: int, shape: Sequence[int], dtype: tf.DType, values: list[Any]
) -> None:
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise RequestError(
                f"JSON Value: {debug(value)} found at incorrect level: {level + 1} in the JSON "
                f"DOM. Expected at level: {rank}"
            )
        values.append(_read_value(value, dtype))
        return
    if level >= rank:
        raise RequestError(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise RequestError(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    if level == rank - 1 and _are_numbers(value, dtype):
        values += value
        return
    for item in value:
        _collect(item, level + 1, shape, dtype, values)


def _are_numbers(values: list[Any], dtype: tf.DType) -> bool:
    """Tells quickly of a long list whether each value fits."""
    kinds = set(map(type, values))
    if dtype in _FLOATS:
        return kinds <= {float, int}
    limits = _INTEGERS.get(dtype)
    return (
        limits is not None
        and kinds == {int}
        and limits.min <= min(values)
        and max(values) <= limits.max
    )


def _read_value(value: Any, dtype: tf.DType) -> Any:
    kind = type(value)
    if dtype == tf.string:
        if kind is str:
            return encode(value)
        if kind is dict:
            return read_base64(value)
    elif dtype in _FLOATS or dtype in _INTEGERS:
        if _are_numbers([value], dtype):
            return value
    elif dtype == tf.bool:
        if kind is bool:
            return value
    elif kind is not dict:
        raise RequestError(
            f"Conversion of JSON Value: {debug(value)} to type: {name_of(dtype)}", "UNIMPLEMENTED"
        )
    raise RequestError(
        f"JSON Value: {debug(value)} Type: {json_type(value)} is not of expected type: "
        f"{name_of(dtype)}"
    )


def to_array(values: list[Any], shape: Sequence[int], dtype: tf.DType) -> np.ndarray:
    """Makes an array of what `read_values` gave.

    Raises:
        RequestError: a whole number that a double cannot hold, or more dimensions than an array
            can have.
    """
    # A number that int8, uint8 or int16 cannot hold wraps around, as in TensorFlow Serving.
    wide = np.int64 if dtype in (tf.int8, tf.uint8, tf.int16) else dtype.as_numpy_dtype
    try:
        with np.errstate(over="ignore"):
            return np.array(values, wide).reshape(shape).astype(dtype.as_numpy_dtype)
    except OverflowError as error:
        raise RequestError(TOO_BIG) from error
    except ValueError as error:  # NumPy's arrays have at most 64 dimensions
        raise RequestError(f"The list is nested too deeply: {error}") from error


def is_base64(value: Any) -> bool:
    """Tells whether a value is `{"b64": "…"}`."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def read_base64(value: Mapping[str, Any]) -> bytes:
    """Decodes `{"b64": "…"}`; the padding may be missing.

    Raises:
        RequestError: another object, or not base64.
    """
    if not is_base64(value):
        raise RequestError(f"JSON Value: {debug(value)} not formatted correctly for base64 data")
    digits = "".join(value["b64"].split())
    if "=" not in digits:
        digits += "=" * (-len(digits) % 4)
    try:
        return base64.b64decode(digits, validate=True)
    except ValueError as error:  # binascii.Error, or not ASCII
        raise RequestError("Unable to base64 decode") from error


def encode(text: str) -> bytes:
    """Returns the bytes of a string of a request, as they were sent.

    Raises:
        RequestError: half a surrogate pair.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise RequestError("JSON Parse error: The surrogate pair in string is invalid.") from error


def decode(value: bytes) -> str:
    """Returns a string of an output as text."""
    return value.decode("utf-8", "replace")


def json_type(value: Any) -> str:
    """Names the JSON type of a value."""
    if isinstance(value, bool):
        return str(value)
    kinds = {dict: "Object", list: "Array", str: "String", type(None): "Null"}
    return kinds.get(type(value), "Number")


def debug(value: Any) -> str:
    """Writes a value for an error message, cut after 256 characters."""
    text = ""
    try:
        for part in json.JSONEncoder(ensure_ascii=False).iterencode(value):
            text += part[:_DEBUG_LENGTH]
            if len(text) >= _DEBUG_LENGTH:
                break
    except RecursionError:
        text += "…"
    return text[:_DEBUG_LENGTH]


def name_of(dtype: tf.DType) -> str:
    """Names a dtype as TensorFlow's C++ does."""
    return _NAMES.get(dtype.name, dtype.name)


def to_lists(name: str, array: np.ndarray) -> Any:
    """Makes nested lists of an output: strings as text, or as base64 if it is named `…_bytes`.

    Raises:
        RequestError: a dtype that JSON does not have.
    """
    dtype = tf.as_dtype(array.dtype)
    if dtype == tf.string:
        nested = np.empty(array.size, object)
        for place, value in enumerate(array.ravel().tolist()):
            nested[place] = _say_base64(value) if name.endswith("_bytes") else decode(value)
        return nested.reshape(array.shape).tolist()
    if dtype == tf.float32:
        return shorten(array).tolist()
    if dtype in _INTEGERS or dtype in (tf.float64, tf.bool):
        return array.tolist()
    raise RequestError(f"Failed to write JSON value for tensor type: {name_of(dtype)}")


def _say_base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}
