"""Windows of numbers: missing values are carried forward, then all values are scaled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_seqzoo.data.series import SeriesTable
from keras_seqzoo.preprocessing.base import Preprocessor

SCALES = ("window", "training")
_LEAST_SPREAD = 1e-3  # least spread of a window, in standard deviations of the training steps


@keras.saving.register_keras_serializable("keras_seqzoo")
class Windows(Preprocessor):
    """Normalises windows of numbers, in the graph of the model.

    A value that is not finite counts as missing. The last known value before it replaces it; at the
    start of a window, the first known one; and in a window without known values, the training mean.

    Args:
        columns: names of the value columns.
        window: number of steps of a window.
        mean: mean of the steps of the training part, by column.
        std: their standard deviation, by column, above 0.
        scale: `"window"` uses each window's own mean and standard deviation (but at least a
            thousandth of `std`), so that a series may drift away from its level in training;
            `"training"` uses `mean` and `std`, so that a model sees how high a value is.
        **kwargs: arguments of `keras.layers.Layer`.
    """

    unit = "steps"

    def __init__(
        self,
        columns: Sequence[str],
        window: int,
        mean: Sequence[float],
        std: Sequence[float],
        scale: str = "training",
        **kwargs: Any,
    ):
        super().__init__(window, **kwargs)
        self.dtype_policy = keras.DTypePolicy("float32")
        if scale not in SCALES:
            raise ValueError(f"`scale` must be one of {SCALES}. Received: scale={scale!r}")
        self.columns = tuple(columns)
        self.mean = tuple(map(float, mean))
        self.std = tuple(map(float, std))
        self.scale = scale

    @classmethod
    def learn(cls, table: SeriesTable, scale: str = "training") -> Windows:
        """Learns mean and standard deviation of the steps that training windows cover.

        Args:
            table: the training part.
            scale: see the class.

        Raises:
            ValueError: no windows, or a column that does not change in this part.
        """
        steps = np.concatenate([*table.covered.values(), np.zeros((0, len(table.inputs.columns)))])
        if len(steps) == 0:
            raise ValueError(f"A scale is learnt from windows. Received: {table!r}")
        std = np.nanstd(steps, axis=0)
        if not (std > 0).all():
            raise ValueError(
                "Every column must change in the training part, else it has no scale. Leave it "
                f"out, or use more steps. Received: standard deviations {std.tolist()} of "
                f"{table.inputs.columns}"
            )
        return cls(
            table.inputs.columns,
            table.window,
            np.nanmean(steps, axis=0).tolist(),
            std.tolist(),
            scale,
        )

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Always `()`: numbers have no vocabulary."""
        return ()

    def check_vocabulary(self) -> None:
        """Does nothing: numbers have no vocabulary."""

    def samples(self, rows: int = 4) -> np.ndarray:
        """Returns waves that look like the training part, float32 `(rows, window, columns)`."""
        steps = np.arange(self.sequence_length)[None, :, None] / 3 + np.arange(rows)[:, None, None]
        return (np.sin(steps) * self.std + self.mean).astype(np.float32)

    __call__ = keras.layers.Layer.__call__  # unlike ids, numbers are computed within the model

    def call(self, values: Any, answers: Any = None) -> Any:
        """Normalises windows, or converts answers back to their unit.

        Args:
            values: windows in the unit of the data, float `(batch, window, columns)`.
            answers: `(batch, steps, columns)`: the distance from the last value, in the scale of
                these windows.

        Returns:
            The windows, normalised; with `answers`, the answers in the unit of the data.
        """
        values = self._filled(values)
        level, spread = self._scale_of(values)
        if answers is None:
            return (values - level) / spread
        return answers * spread + values[:, -1:]

    def _filled(self, values: Any) -> Any:
        """Fills in missing values; see the class."""
        ops = keras.ops
        known = ops.isfinite(values)
        steps = ops.arange(self.sequence_length, dtype="int32")[None, :, None]
        latest, reach = ops.where(known, steps, -1), 1
        while reach < self.sequence_length:  # the latest known step, among twice as many each time
            before = ops.pad(latest[:, :-reach], [[0, 0], [reach, 0], [0, 0]], constant_values=-1)
            latest, reach = ops.maximum(latest, before), 2 * reach
        first = ops.min(ops.where(known, steps, self.sequence_length), axis=1, keepdims=True)
        at = ops.where(latest < 0, first, latest)
        clear = ops.where(known, values, 0.0)
        found = ops.take_along_axis(clear, ops.minimum(at, self.sequence_length - 1), axis=1)
        return ops.where(at < self.sequence_length, found, self._row(self.mean))

    def _scale_of(self, values: Any) -> tuple[Any, Any]:
        std = self._row(self.std)
        if self.scale == "training":
            return self._row(self.mean), std
        level = keras.ops.mean(values, axis=1, keepdims=True)
        spread = keras.ops.std(values, axis=1, keepdims=True)
        return level, keras.ops.maximum(spread, _LEAST_SPREAD * std)

    def _row(self, numbers: Sequence[float]) -> Any:
        return keras.ops.convert_to_tensor(np.array(numbers, np.float32))[None, None]

    def as_inputs(self, x: Any) -> np.ndarray:
        """Checks windows, and returns them as float32 `(rows, window, columns)`.

        Args:
            x: an array of numbers, lists of them, or a `SeriesTable`. NaN is a missing value.

        Raises:
            TypeError: not numbers.
            ValueError: another shape.
        """
        if isinstance(x, SeriesTable):
            return x.windows()
        try:
            values = np.asarray(x, np.float32)
        except (TypeError, ValueError) as error:
            raise TypeError(
                "Windows are numbers, (rows, window, columns). Pass an array of floats, or a table "
                f"of read_series. Received: {x!r:.80} of type {type(x).__name__}"
            ) from error
        if values.shape[1:] != (self.sequence_length, len(self.columns)):
            raise ValueError(
                f"Windows must have the shape (rows, {self.sequence_length}, {len(self.columns)}): "
                f"steps of {', '.join(self.columns)}. For one window, pass values[None]. "
                f"Received: shape {values.shape}"
            )
        return values

    def fingerprint(self) -> str:
        """Returns a digest of everything that affects the features."""
        config = {k: v for k, v in self.get_config().items() if k != "name"}
        return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            "name": self.name,
            "columns": list(self.columns),
            "window": self.sequence_length,
            "mean": list(self.mean),
            "std": list(self.std),
            "scale": self.scale,
        }
