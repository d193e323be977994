"""Losses that Keras does not have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


@keras.saving.register_keras_serializable("keras_seqzoo")
class ScaledHuber(keras.losses.Loss):
    """Huber's loss (1964) of forecasts `(batch, horizon, columns)` over the scale of each column.

    The loss is half the squared error up to one scale, and beyond it the absolute error minus half.

    Args:
        scale: scale of each column, above 0.
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
    """Squared error over the variance of the targets: 1 is as good as always predicting the mean.

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


@keras.saving.register_keras_serializable("keras_seqzoo")
class SoftenedCrossEntropy(keras.losses.Loss):
    """The loss by which a student learns a teacher's classes (Hinton et al. 2015, section 2).

    It is the cross-entropy of the teacher's probabilities at a temperature, which are the targets
    `(batch, classes)`, and the student's, which come at temperature 1 and are converted to it;
    times the temperature's square, which keeps gradients at one scale. As the temperature rises, it
    becomes half the squared error of the scores, less their means, over the classes (section 2.1).

    For targets `(batch,)`, which are positions of classes, it is the cross-entropy at temperature
    1: validation on labels is not softened.

    Args:
        temperature: the temperature, above 0.
        **kwargs: arguments of `keras.losses.Loss`.
    """

    def __init__(
        self, temperature: float = 1.0, name: str = "softened_cross_entropy", **kwargs: Any
    ):
        super().__init__(name=name, **kwargs)
        self.temperature = float(temperature)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each row, `(batch,)`."""
        logs = keras.ops.log(keras.ops.maximum(y_pred, keras.config.epsilon()))
        if _is_positions(y_true, y_pred):
            shares = keras.ops.one_hot(keras.ops.cast(_flat(y_true), "int32"), y_pred.shape[-1])
            return -keras.ops.sum(shares * logs, axis=-1)
        softened = keras.ops.log_softmax(logs / self.temperature, axis=-1)
        return -(self.temperature**2) * keras.ops.sum(y_true * softened, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable("keras_seqzoo")
def same_class(y_true: Any, y_pred: Any) -> Any:
    """Whether the likeliest class `(batch,)` is that of the targets: probabilities or positions."""
    said = keras.ops.argmax(y_pred, axis=-1)
    is_hard = _is_positions(y_true, y_pred)
    true = _flat(y_true) if is_hard else keras.ops.argmax(y_true, axis=-1)
    return keras.ops.cast(keras.ops.equal(said, keras.ops.cast(true, said.dtype)), "float32")


@keras.saving.register_keras_serializable("keras_seqzoo")
def same_labels(y_true: Any, y_pred: Any) -> Any:
    """Share of the labels `(batch,)` that both or neither put above one half."""
    same = keras.ops.equal(y_true > 0.5, y_pred > 0.5)
    return keras.ops.mean(keras.ops.cast(same, "float32"), axis=-1)


def _is_positions(y_true: Any, y_pred: Any) -> bool:
    """Whether targets are positions of classes, `(batch,)` or `(batch, 1)`, not probabilities."""
    return len(y_true.shape) < len(y_pred.shape) or y_true.shape[-1] == 1


def _flat(y_true: Any) -> Any:
    """Returns targets as `(batch,)`."""
    return keras.ops.reshape(y_true, (-1,))
