"""Losses that Keras has not ready."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


@keras.saving.register_keras_serializable("keras_seqzoo")
class ScaledHuber(keras.losses.Loss):
    """Huber's loss (1964) of forecasts `(batch, horizon, columns)` over the scale of each column.

    Half the squared error up to one scale, and beyond the absolute error less a half.

    Args:
        scale: of each column, above 0.
        **kwargs: arguments of `keras.losses.Loss`.
    """

    def __init__(self, scale: Sequence[float], name: str = "scaled_huber", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.scale = [float(value) for value in scale]

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each row, `(batch,)`."""
        scale = keras.ops.convert_to_tensor(self.scale, dtype=y_pred.dtype)
        errors = keras.ops.abs(y_pred - keras.ops.cast(y_true, y_pred.dtype)) / scale
        near = keras.ops.minimum(errors, 1.0)
        return keras.ops.mean(near * (errors - near / 2), axis=(1, 2))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable("keras_seqzoo")
class ScaledSquaredError(keras.losses.Loss):
    """Squared error over the variance of the targets: 1 is as good as always saying their mean.

    Args:
        std: standard deviation of each number of the target, above 0.
        **kwargs: arguments of `keras.losses.Loss`.
    """

    def __init__(self, std: Sequence[float], name: str = "scaled_squared_error", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.std = [float(value) for value in std]

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each row, `(batch,)`."""
        scale = keras.ops.convert_to_tensor(self.std, dtype=y_pred.dtype)
        errors = (y_pred - keras.ops.cast(y_true, y_pred.dtype)) / scale
        return keras.ops.mean(keras.ops.square(errors), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "std": self.std}
