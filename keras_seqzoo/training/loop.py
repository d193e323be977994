"""One step of training or testing on several replicas, and the loops that run it for `fit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

# The gradient of an embedding holds the rows of a batch; to sum it, every replica gathers the rows
# of all replicas. With more replicas than this, summing whole tables is cheaper: the numbers are in
# docs/scaling.md.
_GATHER_UP_TO = 8


class Loop:
    """Runs one execution of `fit` or `evaluate`: some steps on the next batches.

    Keras's own loop cannot reduce metrics over several workers (see `keras_defects`), and runs
    beyond the end of an epoch if `steps_per_execution` does not divide its steps. During an epoch,
    metrics are read on the first replica of this worker; at its end, over all replicas.

    Args:
        model: the model.
        step: its `train_step` or `test_step`.

    Attributes:
        steps: steps in an epoch; None if unknown.
        position: steps of the epoch that are done.
        skip: steps of the first epoch that an earlier run has done; they are skipped.
    """

    def __init__(self, model: Any, step: Callable[[Any], Mapping[str, Any]]):
        self._model = model
        self._step = step
        self._runs: dict[bool, Any] = {}
        self.steps: int | None = None
        self.position = 0
        self.skip = 0

    def begin(self, steps: int | None, skip: int = 0) -> Loop:
        """Prepares for another `fit` or `evaluate`; traced functions are kept."""
        self.steps, self.position, self.skip = steps, 0, skip
        return self

    def __call__(self, iterator: Any) -> Mapping[str, Any]:
        """Runs the steps of one execution, fewer at the end of an epoch."""
        count = self._model.steps_per_execution
        if self.steps:
            count = min(count, self.steps - self.position)
        if self.position < self.skip:
            logs: Mapping[str, Any] = {}
        else:
            kind = self._model.steps_per_execution == 1
            run = self._runs[kind] = self._runs.get(kind) or self._trace()
            logs = run(iterator, tf.constant(count))
        self.position += count
        if self.position == self.steps:
            self.position = self.skip = 0
        return logs

    def _trace(self) -> Callable[..., Any]:
        model = self._model
        strategy = model.distribute_strategy

        def one_step(data: Any) -> Any:
            outputs = strategy.run(self._step, args=(data,))
            return keras.tree.map_structure(
                lambda value: strategy.experimental_local_results(value)[0], outputs
            )

        if model.run_eagerly:
            return lambda iterator, count: [one_step(next(iterator)) for _ in range(count)][-1]
        one_step = tf.function(
            one_step, reduce_retracing=True, jit_compile=model.jit_compile, autograph=False
        )
        if model.steps_per_execution == 1:
            return tf.function(
                lambda iterator, count: one_step(next(iterator)),
                reduce_retracing=True,
                autograph=False,
            )

        @tf.function(reduce_retracing=True)
        def several(iterator: Any, count: tf.Tensor) -> Any:
            outputs = one_step(next(iterator))
            for _ in tf.range(count - 1):
                outputs = one_step(next(iterator))
            return outputs

        return several


def train_step(model: Any, data: Any) -> Mapping[str, Any]:
    """Trains on one replica's part of a batch; together the replicas take the step of one.

    Each replica's mean loss counts by its share of the rows (or weights), and gradients are summed
    before they are clipped.
    """
    x, y, weight, rows = _with_a_row(*keras.utils.unpack_x_y_sample_weight(data))
    share, size = _share(model, y, weight, rows)
    with tf.GradientTape() as tape:
        answer = model(x, training=True)
        loss = model.compute_loss(x, y, answer, weight, training=True)
        scaled = model.optimizer.scale_loss(loss * tf.cast(share, loss.dtype))
    weights = model.trainable_weights
    gradients = _sum_over_replicas(tape.gradient(scaled, weights))
    model.optimizer.apply_gradients(zip(gradients, weights, strict=True))
    return _metrics(model, loss, size, x, y, answer, weight, rows)


def test_step(model: Any, data: Any) -> Mapping[str, Any]:
    """Tests on one replica's part of a batch."""
    x, y, weight, rows = _with_a_row(*keras.utils.unpack_x_y_sample_weight(data))
    _, size = _share(model, y, weight, rows)
    answer = model(x, training=False)
    loss = model.compute_loss(x, y, answer, weight, training=False)
    return _metrics(model, loss, size, x, y, answer, weight, rows)


def _with_a_row(x: Any, y: Any, weight: Any) -> tuple[Any, Any, Any, tf.Tensor]:
    """Adds a row to an empty part, which would have no mean, and counts the real rows."""
    rows = tf.shape(keras.tree.flatten(x)[0])[0]
    missing = tf.cast(rows == 0, tf.int32)

    def fill(value: Any, content: int) -> Any:
        # It may lack tokens, too: then it gets one.
        lacks = [tf.cast(tf.shape(value)[axis] == 0, tf.int32) for axis in range(value.shape.rank)]
        ends = [[0, missing], *([0, lack * missing] for lack in lacks[1:])]
        of_strings = value.dtype == tf.string
        given = tf.constant("") if of_strings else tf.cast(content, value.dtype)
        filled = tf.pad(value, ends, constant_values=given)
        filled.set_shape([None] * value.shape.rank)
        return filled

    # Ones are an unmasked token, so a valid row; the label is the first class.
    x, y, weight = (
        None if part is None else keras.tree.map_structure(lambda v, c=content: fill(v, c), part)
        for part, content in ((x, 1), (y, 0), (weight, 1))
    )
    return x, y, weight, rows


def _share(model: Any, y: Any, weight: Any, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The factor for a replica's mean loss, and its weight in the mean."""
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    reduction = getattr(model.loss, "reduction", "sum_over_batch_size")
    if reduction == "sum":
        return tf.constant(float(replicas)), tf.cast(rows, tf.float32)
    if reduction == "mean_with_sample_weight" and weight is not None:
        size = tf.reduce_sum(tf.cast(weight, tf.float32))
    else:
        size = tf.cast(tf.size(keras.tree.flatten(y)[0]) if y is not None else rows, tf.float32)
    size = tf.where(rows == 0, 0.0, size)
    total = context.all_reduce(tf.distribute.ReduceOp.SUM, size)
    return replicas * tf.math.divide_no_nan(size, total), size


def _sum_over_replicas(gradients: list[Any]) -> list[Any]:
    context = tf.distribute.get_replica_context()
    present = [gradient for gradient in gradients if gradient is not None]
    if context.num_replicas_in_sync > _GATHER_UP_TO:
        present = [tf.convert_to_tensor(gradient) for gradient in present]
    summed = iter(context.all_reduce(tf.distribute.ReduceOp.SUM, present) if present else [])
    return [None if gradient is None else next(summed) for gradient in gradients]


def _metrics(
    model: Any, loss: Any, size: Any, x: Any, y: Any, answer: Any, weight: Any, rows: Any
) -> Mapping[str, Any]:
    """Updates the metrics with the real rows, and reads them."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    tracker = next(metric for metric in model.metrics if metric.name == "loss")
    tracker.update_state(loss * tf.cast(replicas, loss.dtype), sample_weight=size)
    x, y, answer, weight = (
        None if part is None else keras.tree.map_structure(lambda value: value[:rows], part)
        for part in (x, y, answer, weight)
    )
    return model.compute_metrics(x, y, answer, sample_weight=weight)
