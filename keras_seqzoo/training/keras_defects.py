"""What Keras 3 does wrong under `tf.distribute`, and how the package's models get round it.

Nothing of Keras itself is changed: a model overrides its own methods, and an optimizer that is
compiled into one has methods of its own replaced, those that the versions below guard. What gets
round the other defects (`loop.py`, `distributed.py`) is right with any version, and may go when
they are gone. Each defect names the version of Keras that has mended it, None as long as there is
none; `tests/training/test_keras_defects.py` shows each in plain
Keras, and fails when it is gone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

# `fit` under several workers: `_maybe_symbolic_build` gives a PerReplica batch to a function of
# tensors (github.com/keras-team/keras/issues/20585); under replicas of different padded lengths the
# mean that it takes of them fails too.
PER_REPLICA_BATCH_MENDED: str | None = None
# `fit` under several workers: `reduce_per_replica` takes the mean of scalars over axis 0 (the same
# issue).
SCALAR_REDUCTION_MENDED: str | None = None
# Optimizers clip and accumulate each replica's gradient before they are summed, and check it for
# overflow: with `clipnorm` or `global_clipnorm`, two replicas take other steps than one.
CLIP_BEFORE_SUM_MENDED: str | None = None
# Gradient accumulation under MirroredStrategy: `merge_call` within `tf.cond` fails.
ACCUMULATION_MENDED: str | None = None
# The loss of a batch is the mean of the replicas' means, whatever rows they have, and NaN for a
# replica without rows.
MEAN_OF_MEANS_MENDED: str | None = None


def is_present(mended: str | None) -> bool:
    """Whether the running Keras still has a defect, given the version that mended it."""
    if mended is None:
        return True
    running = tuple(int(part) for part in keras.__version__.split(".")[:2])
    return running < tuple(int(part) for part in mended.split(".")[:2])


def local_batch(strategy: tf.distribute.Strategy, batch: Any) -> Any:
    """A replica's part of a distributed batch, to build from."""
    return keras.tree.map_structure(
        lambda value: (
            strategy.experimental_local_results(value)[0]
            if isinstance(value, tf.distribute.DistributedValues)
            else value
        ),
        batch,
    )


def sum_first(optimizer: keras.optimizers.Optimizer) -> None:
    """Lets an optimizer take gradients that are summed over the replicas already.

    It then clips, accumulates and checks the sum, as with one replica, and sums no more.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if getattr(inner, "_sums_first", False) or not is_present(CLIP_BEFORE_SUM_MENDED):
        return
    inner._sums_first = True
    inner._all_reduce_sum_gradients = list
    if is_present(ACCUMULATION_MENDED):
        inner._backend_apply_gradients = functools.partial(
            _apply_or_accumulate, inner, inner._backend_apply_gradients
        )


def _apply_or_accumulate(
    optimizer: Any, apply: Callable[..., None], grads: Any, variables: Any
) -> None:
    """Gradient accumulation with its condition outside the replicas, where it can stand."""
    steps = optimizer.gradient_accumulation_steps
    context = tf.distribute.get_replica_context()
    if not steps or context is None or _no_merge_call():
        apply(grads, variables)
        return
    sums = [optimizer._accumulated_gradients[optimizer._get_variable_index(v)] for v in variables]

    def accumulate(grads: Any) -> None:
        for total, grad in zip(sums, grads, strict=True):
            total.assign_add(grad)

    def update(grads: Any) -> None:
        # What the optimizer itself does at the last of `steps` batches.
        mean = [(grad + total.value) / steps for grad, total in zip(grads, sums, strict=True)]
        mean = optimizer._clip_gradients(mean)
        optimizer._apply_weight_decay(variables)
        optimizer._backend_update_step(mean, variables, optimizer.learning_rate)
        for total in sums:
            total.assign(tf.zeros_like(total.value))

    def across(strategy: Any, grads: Any) -> None:
        last = (optimizer._iterations + 1) % steps == 0
        run = strategy.extended.call_for_each_replica
        tf.cond(
            tf.cast(last, tf.bool),
            lambda: _nothing(run(update, args=(grads,))),
            lambda: _nothing(run(accumulate, args=(grads,))),
        )

    context.merge_call(across, args=(grads,))


def _nothing(_result: Any) -> tf.Tensor:
    return tf.constant(0)


def _no_merge_call() -> bool:
    return tf.__internal__.distribute.strategy_supports_no_merge_call()
