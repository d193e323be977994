"""Checks of arguments that many functions share."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PACKAGE = f"{Path(__file__).parent}{os.sep}"


def check_whole(**values: Any) -> None:
    """Raises unless every value is an int of at least 1.

    Raises:
        ValueError: names the first value that is not.
    """
    _check_least(1, values)


def check_not_negative(**values: Any) -> None:
    """Raises unless every value is an int of at least 0.

    Raises:
        ValueError: names the first value that is not.
    """
    _check_least(0, values)


def _check_least(least: int, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(
                f"`{name}` must be a whole number, at least {least}. Received: {name}={value!r}"
            )


def check_rate(**values: Any) -> None:
    """Raises unless every value is a number in [0, 1).

    Raises:
        ValueError: names the first value that is not.
    """
    for name, value in values.items():
        if not isinstance(value, (int, float)) or not 0 <= value < 1:
            raise ValueError(
                f"`{name}` must be a rate, at least 0 and below 1. Received: {name}={value!r}"
            )


def check_between(**values: Any) -> None:
    """Raises unless every value is a number above 0 and below 1.

    Raises:
        ValueError: names the first value that is not.
    """
    for name, value in values.items():
        if not isinstance(value, (int, float)) or not 0 < value < 1:
            raise ValueError(
                f"`{name}` must be a number above 0 and below 1. Received: {name}={value!r}"
            )


def check_positive(**values: Any) -> None:
    """Raises unless every value is a number above 0.

    Raises:
        ValueError: names the first value that is not.
    """
    for name, value in values.items():
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
            raise ValueError(f"`{name}` must be a number above 0. Received: {name}={value!r}")


def check_flag(**values: Any) -> None:
    """Raises unless every value is `True` or `False`, because the string `"false"` would be true.

    Raises:
        ValueError: names the first value that is not.
    """
    for name, value in values.items():
        if not isinstance(value, bool):
            raise ValueError(f"`{name}` must be True or False. Received: {name}={value!r}")


def check_dtype(dtype: Any) -> Any:
    """Returns the Keras dtype policy; `None` is the global one.

    Raises:
        ValueError: no such policy.
    """
    import keras

    if dtype is None:
        return keras.config.dtype_policy()
    try:
        return keras.dtype_policies.get(dtype)
    except (ValueError, TypeError) as error:
        raise ValueError(
            "`dtype` must be a Keras dtype policy, such as 'float32', 'mixed_bfloat16' or "
            f"'mixed_float16'. Received: dtype={dtype!r}"
        ) from error


def warn(message: str) -> None:
    """Issues a UserWarning at the line outside the package that called it."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)
