"""Defects of Keras 3 under `tf.distribute`, and how the package's models work around them.

Keras itself does not change: a model overrides its own methods, and the optimizer compiled into it
gets some methods replaced, depending on the versions below. The workarounds for the other defects
(`loop.py`, `distributed.py`) are right with any version, and can be removed when the defects are
gone. Each defect names the version of Keras that fixed it, or None if there is none yet.
`tests/training/test_keras_defects.py` shows each defect in plain Keras, and fails when it is gone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

# `fit` with several workers: `_maybe_symbolic_build` passes a PerReplica batch to a function of
# tensors (github.com/keras-team/keras/issues/20585). If replicas have different padded lengths, the
# mean that it takes of them fails, too.
PER_REPLICA_BATCH_MENDED: str | None = None
# `fit` with several workers: `reduce_per_replica` takes the mean of scalars over axis 0 (the same
# issue).
SCALAR_REDUCTION_MENDED: str | None = None
# Optimizers clip and accumulate each replica's gradient before the sum, and check it for overflow:
# with `clipnorm` or `global_clipnorm`, two replicas take different steps than one.
CLIP_BEFORE_SUM_MENDED: str | None = None
# Gradient accumulation under MirroredStrategy: `merge_call` within `tf.cond` fails.
ACCUMULATION_MENDED: str | None = None
# The loss of a batch is the mean of the replicas' means, however many rows they have, and NaN if a
# replica has no rows.
MEAN_OF_MEANS_MENDED: str | None = None


def is_present(mended: str | None) -> bool:
    """Whether the running Keras still has a defect, given the version that fixed it."""
    if mended is None:
        return True
    running = tuple(int(part) for part in keras.__version__.split(".")[:2])
    return running < tuple(int(part) for part in mended.split(".")[:2])


def local_batch(strategy: tf.distribute.Strategy, batch: Any) -> Any:
    """One replica's part of a distributed batch, to build a model with."""
    return keras.tree.map_structure(
        lambda value: (
            strategy.experimental_local_results(value)[0]
            if isinstance(value, tf.distribute.DistributedValues)
            else value
        ),
        batch,
    )


def sum_first(optimizer: keras.optimizers.Optimizer) -> None:
    """Makes an optimizer accept gradients that are already summed over the replicas.

    It then clips, accumulates and checks the sum, as with one replica, and does not sum again.
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
    """Gradient accumulation with its condition outside the replicas, where it works."""
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
        # The optimizer itself does the same at the last of `steps` batches.
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
