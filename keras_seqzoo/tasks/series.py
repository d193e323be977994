"""The model over windows of numbers, for every task: Windows → encoder → last state → answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seqzoo.batches.series import series_batches
from keras_seqzoo.data.series import SeriesTable
from keras_seqzoo.preprocessing.windows import Windows
from keras_seqzoo.tasks import task_from_dict
from keras_seqzoo.tasks.base import Task
from keras_seqzoo.tasks.model import Predictor, ServingFunction, scores_of


@keras.saving.register_keras_serializable("keras_seqzoo")
class SeriesPredictor(Predictor):
    """A model that reads windows of numbers in the unit of the data.

    `fit`, `evaluate` and `predict` take a `SeriesTable`, windows float `(rows, window, columns)`,
    or what Keras takes, with `values` of that shape as its features. Missing values may be NaN.

    Args:
        encoder: functional model from normalised `values` `(batch, window, columns)` to
            `sequence_output` `(batch, window, hidden)` and `pooled_output` `(batch, hidden)`.
        preprocessor: normalises windows, inside this model.
        task: the task, or what its `as_dict` returned.
        pooling: `"last"`: the encoder's `pooled_output`.
        dropout: rate before every layer of the head.
        poolings: further values that `pooling` may have.
        head_dim: width of a ReLU layer before the last one; none if None.
        **kwargs: arguments of `keras.Model`.
    """

    preprocessor: Windows

    def __init__(
        self,
        encoder: keras.Model,
        preprocessor: Windows,
        task: Task | Mapping[str, Any],
        pooling: str = "last",
        dropout: float = 0.0,
        poolings: Sequence[str] = ("last",),
        head_dim: int | None = None,
        **kwargs: Any,
    ):
        task = task if isinstance(task, Task) else task_from_dict(task)
        shape = (preprocessor.sequence_length, len(preprocessor.columns))
        values = keras.Input(shape, name="values")
        x = encoder({"values": preprocessor(values)})["pooled_output"]
        outputs = task.output(scores_of(x, prod(task.row_shape), dropout, head_dim))
        if task.in_unit_of_inputs:
            outputs = preprocessor(values, answers=outputs)
        super().__init__({"values": values}, outputs, **kwargs)
        self.keep(encoder, preprocessor, task, pooling, dropout, poolings, head_dim)

    def check_table(self, table: Any) -> None:
        """Checks that the columns, the window and the target of a table are the model's.

        Raises:
            ValueError: they are not.
        """
        wanted = (self.preprocessor.columns, self.preprocessor.sequence_length)
        if table.inputs.name != "series" or (table.inputs.columns, table.window) != wanted:
            raise ValueError(
                "The table must have the inputs that the model was built for: windows of "
                f"{wanted[1]} steps of "
                f"{', '.join(wanted[0])}. Read the series with these, or build a model for it. "
                f"Received: {table!r}"
            )
        self._task.check_table(table)

    def own_dataset(
        self, table: Any, batch_size: int, shuffle: bool, seed: int | None
    ) -> tf.data.Dataset:
        """Batches of windows, see `batches.series`."""
        if not isinstance(table, SeriesTable):
            raise TypeError(
                "`table` must be a SeriesTable for this model. Use read_series(source) first. "
                f"Received: {type(table).__name__}"
            )
        self.check_table(table)
        return series_batches(table, batch_size, shuffle, seed)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the value columns of a window."""
        return self.preprocessor.columns

    @property
    def served_inputs(self) -> Mapping[str, tf.TensorSpec]:
        """`values`: float32 `(batch, window, columns)`."""
        shape = [None, self.preprocessor.sequence_length, len(self.preprocessor.columns)]
        return {"values": tf.TensorSpec(shape, tf.float32)}

    def serving_functions(self) -> Mapping[str, ServingFunction]:
        """`serving_default`: `values` to the answers of the task."""
        task = self.task

        def serving_default(values: tf.Tensor) -> Mapping[str, tf.Tensor]:
            return task.answer(self({"values": values}, training=False))

        return {"serving_default": ServingFunction(serving_default, self.served_inputs)}

    def samples(self, rows: Sequence[tuple[str, ...]]) -> dict[str, np.ndarray]:
        """Windows like those of training; the rows are not used."""
        return {"values": self.preprocessor.samples()}

    def vectors(self, features: Any) -> Any:
        """The last state of normalised windows: float32 `(batch, hidden)`."""
        normal = {"values": self.preprocessor(features["values"])}
        return tf.cast(self.encoder(normal, training=False)["pooled_output"], tf.float32)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        as_frame: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Computes the model's outputs, row by row, in the order of `x`."""
        if as_frame:
            return self.task.to_frame(self.predict(x, batch_size, verbose, **kwargs))
        x, _, _ = self._read(x, None, None, batch_size, labelled=False)
        if isinstance(x, Mapping) and len(x["values"]) == 0:
            return np.zeros((0, *self.output_shape[1:]), np.float32)
        return keras.Model.predict(self, x, batch_size=batch_size, verbose=verbose, **kwargs)

    def _features(self, x: Any) -> Any:
        is_symbolic = tf.is_tensor(x) or keras.utils.is_keras_tensor(x)
        if isinstance(x, Mapping):
            return x
        return {"values": x if is_symbolic else self.preprocessor.as_inputs(x)}

    def _read(
        self,
        x: Any,
        y: Any,
        sample_weight: Any,
        batch_size: int | None,
        shuffle: bool = False,
        labelled: bool = True,
    ) -> tuple[Any, Any, Any]:
        """Windows and labels as Keras takes them; see `TextModel._read`."""
        weights = None if sample_weight is None else np.asarray(sample_weight, np.float32)
        if isinstance(x, SeriesTable):
            if y is not None:
                raise ValueError(
                    "A table has its labels. Leave `y` out, or pass the windows, table.windows(), "
                    f"with it. Received: {x!r}, y of type {type(y).__name__}"
                )
            self.check_table(x)
            return {"values": x.windows()}, x.labels if labelled else None, weights
        y = None if y is None else self.encode_targets(y)
        is_for_keras = isinstance(x, (tf.data.Dataset, keras.utils.PyDataset)) or hasattr(
            x, "__next__"
        )
        return x if is_for_keras else self._features(x), y, weights
