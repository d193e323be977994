"""`DistributedModel`: a Keras model that trains the same way on one replica and on many."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np
import tensorflow as tf

from keras_seqzoo.batches.passes import Passes, Share, passes_of
from keras_seqzoo.training import loop
from keras_seqzoo.training.cluster import Cluster
from keras_seqzoo.training.collectives import Collectives
from keras_seqzoo.training.keras_defects import local_batch, sum_first
from keras_seqzoo.training.recovery import Recovery, WorkerLostError, facts_of
from keras_seqzoo.training.strategy import cluster_of

# Errors that TensorFlow raises in a collective if a peer is gone.
_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)


class DistributedModel(keras.Model):
    """Feeds `fit` and `evaluate` under every `tf.distribute` strategy, and resumes trainings.

    A batch of `make_dataset` is divided among the replicas; each row goes to one of them. Together
    the replicas take the same step as a single one. With several workers, each reads only its own
    rows, only the chief writes files, and `predict` computes the whole answer on every worker.
    """

    _loops: dict[str, loop.Loop]
    _looping: loop.Loop | None = None
    _testing: loop.Loop | None = None
    collectives: Collectives | None = None
    _is_resumed = False
    train_function: Any
    test_function: Any

    def compile(self, *args: Any, **kwargs: Any) -> None:
        with self.distribute_strategy.scope():
            super().compile(*args, **kwargs)
        self._loops = {}

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        *,
        callbacks: Any = None,
        validation_data: Any = None,
        class_weight: Any = None,
        epochs: int = 1,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        given = listed(callbacks)
        recovery = next((c for c in given if isinstance(c, Recovery)), None)
        passes = passes_of(x)
        if passes is not None and passes.rows:
            pass_steps = passes.steps_over(self._workers)
            steps = steps_per_epoch or pass_steps
            done = self._done.get(passes, 0)
            origin = done * pass_steps - initial_epoch * steps if done else 0
            skip = 0
            self._check(passes)
            if recovery is not None:
                # It runs last, after the others have handled the end of an epoch.
                callbacks = [*(c for c in given if c is not recovery), recovery]
                recovery.companions = callbacks
                state = recovery.restore(self, passes, epochs) or {}
                self._is_resumed = bool(state)
                initial_epoch = state.get("epoch", initial_epoch)
                skip = state.get("step", 0)
                recovery.origin = origin = state.get("origin", origin)
            position = origin + initial_epoch * steps + skip
            read = passes if recovery is None else replace(passes, seed=recovery.seed)
            x, class_weight = self._feed(read, position, class_weight), None
            steps_per_epoch = steps
            looping: loop.Loop | None = self._loop("train").begin(steps, skip)
        else:
            self._check_foreign(x, recovery)
            looping = self._loop("train").begin(None) if self._is_spread else None
        valid = passes_of(validation_data)
        if self._is_spread and valid is not None and valid.rows:
            validation_steps = validation_steps or valid.steps_over(self._workers)
            validation_data = self._feed(valid, 0)
        self._looping = looping
        try:
            history = super().fit(
                x,
                y,
                callbacks=callbacks,
                validation_data=validation_data,
                class_weight=class_weight,
                epochs=epochs,
                initial_epoch=initial_epoch,
                steps_per_epoch=steps_per_epoch,
                validation_steps=validation_steps,
                **kwargs,
            )
        except _LOST as error:
            if self.cluster is None:
                raise
            raise _lost(error, self.cluster) from error
        finally:
            self._looping = None
            self._is_resumed = False
            if recovery is not None:
                recovery.release()
        if passes is not None and passes.rows:
            ended = history.epoch[-1] + 1 if history.epoch else initial_epoch
            self._done[passes] = -(-(origin + ended * steps) // pass_steps)
        return history

    def evaluate(
        self, x: Any = None, y: Any = None, *, steps: int | None = None, **kwargs: Any
    ) -> Any:
        passes = passes_of(x)
        if self._is_spread and passes is not None and passes.rows:
            steps = steps or passes.steps_over(self._workers)
            x = self._feed(passes, 0)
        self._testing = self._loop("test").begin(steps) if self._is_spread else None
        try:
            return super().evaluate(x, y, steps=steps, **kwargs)
        except _LOST as error:
            if self.cluster is None:
                raise
            raise _lost(error, self.cluster) from error
        finally:
            self._testing = None

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: Any = "auto", **kwargs: Any
    ) -> Any:
        if self.cluster is None:
            return super().predict(x, batch_size=batch_size, verbose=verbose, **kwargs)
        # Every worker computes the whole answer: no worker waits for another.
        steps = kwargs.pop("steps", None)
        if kwargs:
            raise ValueError(
                "With several workers, `predict` takes texts or features, batch_size and steps. "
                f"Leave the rest out. Received: {', '.join(kwargs)}"
            )
        if not isinstance(x, tf.data.Dataset):
            x = tf.data.Dataset.from_tensor_slices(x).batch(batch_size or 32)
        x = x if steps is None else x.take(steps)
        batches = (b[0] if isinstance(b, tuple) else b for b in x)
        answers = [keras.tree.map_structure(np.asarray, self._answer_here(b)) for b in batches]
        return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *answers)

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves the model, as Keras does; with several workers, only on the chief."""
        if self.is_chief:
            super().save(filepath, *args, **kwargs)

    def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves the weights, as Keras does; with several workers, only on the chief."""
        if self.is_chief:
            super().save_weights(filepath, *args, **kwargs)

    def train_step(self, data: Any) -> Any:
        return loop.train_step(self, data) if self._is_spread else super().train_step(data)

    def test_step(self, data: Any) -> Any:
        return loop.test_step(self, data) if self._is_spread else super().test_step(data)

    def make_train_function(self, force: bool = False) -> Any:
        if self._looping is None:
            if isinstance(self.train_function, loop.Loop):
                self.train_function = None
            return super().make_train_function(force)
        if self._is_spread:
            sum_first(self.optimizer)
        self.train_function = self._looping
        return self.train_function

    def make_test_function(self, force: bool = False) -> Any:
        if self._testing is None:
            if isinstance(self.test_function, loop.Loop):
                self.test_function = None
            return super().make_test_function(force)
        self.test_function = self._testing
        return self.test_function

    @property
    def cluster(self) -> Cluster | None:
        """The workers, if there are several; else None."""
        return cluster_of(self.distribute_strategy)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the files."""
        return self.cluster is None or self.cluster.chief

    @cached_property
    def _done(self) -> WeakKeyDictionary[Passes, int]:
        """How many passes over each dataset `fit` has read; the next pass has this number."""
        return WeakKeyDictionary()

    @property
    def _workers(self) -> int:
        return len(self.cluster.addresses) if self.cluster else 1

    @property
    def _is_spread(self) -> bool:
        return self.distribute_strategy.num_replicas_in_sync > 1

    def _loop(self, name: str) -> loop.Loop:
        if self._is_spread and self.jit_compile is True:
            raise ValueError(
                "XLA compiles the work of one device, and a step of several replicas sums "
                "gradients among them. Leave XLA out (jit_compile, --xla), or train on one "
                "device. Received: jit_compile=True, "
                f"{self.distribute_strategy.num_replicas_in_sync} replicas"
            )
        if name not in self._loops:
            step = self.train_step if name == "train" else self.test_step
            self._loops[name] = loop.Loop(self, step)
        return self._loops[name]

    def _feed(self, passes: Passes, position: int, class_weight: Any = None) -> Any:
        """The batches from a position on; every replica gets its share of each."""
        strategy = self.distribute_strategy
        replicas = strategy.num_replicas_in_sync
        if self.cluster is not None:
            # If no seed is given, each worker has drawn its own: use the chief's.
            seeds = self._among_workers(self.cluster, lambda c: c.gather(np.array([passes.seed])))
            passes = replace(passes, seed=int(seeds[0, 0]))

        def weighted(dataset: tf.data.Dataset) -> tf.data.Dataset:
            return dataset if not class_weight else dataset.map(_weigher(class_weight))

        if replicas == 1:
            return weighted(passes.stream(position))

        def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            count = replicas // context.num_input_pipelines
            share = Share(context.input_pipeline_id * count, count, replicas)
            return weighted(passes.stream(position, share))

        return strategy.distribute_datasets_from_function(of_worker)

    def _check(self, passes: Passes) -> None:
        """Raises if a batch cannot be divided, or workers have different models or data."""
        replicas = self.distribute_strategy.num_replicas_in_sync
        if passes.batch_size < replicas:
            raise ValueError(
                "A batch is divided among all replicas, and each must get a row. Choose a "
                f"batch_size of {replicas} or more, or fewer devices. "
                f"Received: batch_size={passes.batch_size}, {replicas} replicas"
            )
        if self.cluster is not None:
            facts = facts_of(self, passes)
            self._among_workers(self.cluster, lambda c: c.agree(facts))

    def _among_workers(self, cluster: Cluster, do: Callable[[Collectives], Any]) -> Any:
        if self.collectives is None:
            self.collectives = Collectives(self.distribute_strategy)
        try:
            return do(self.collectives)
        except _LOST as error:
            raise _lost(error, cluster) from error

    def _check_foreign(self, x: Any, recovery: Recovery | None) -> None:
        if recovery is not None:
            raise ValueError(
                "`Recovery` must know which rows were read. Pass raw text with labels, a table, or "
                f"a dataset as make_dataset returned it. Received: x of {type(x).__name__}"
            )
        if self.cluster is not None and not isinstance(x, tf.data.Dataset):
            raise ValueError(
                "Several workers must read the same rows in the same order. Pass raw text, a "
                f"table, or a dataset. Received: x of {type(x).__name__}"
            )

    @tf.function(reduce_retracing=True)
    def _answer_here(self, features: Any) -> Any:
        return self(features, training=False)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        if iterator is not None and (self._is_spread or self._is_resumed):
            _, _, batches = next(iter(iterator))
            data_batch = local_batch(self.distribute_strategy, next(batches))
            iterator = None
        if self._is_resumed:
            # Metrics must exist before they are restored; Keras makes them in the first step.
            with self.distribute_strategy.scope():
                self._symbolic_build(data_batch=data_batch)
            return
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)


def _lost(error: Any, cluster: Cluster) -> WorkerLostError:
    return WorkerLostError(
        f"Another worker was lost, and {cluster.name(cluster.index)} cannot continue alone. Start "
        "all workers again, resuming. Received: "
        f"{type(error).__name__}: {str(error.message).splitlines()[0][:200]}"
    )


def listed(callbacks: Any) -> list[Any]:
    """Turns the `callbacks` of `fit` into a list."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return list(callbacks.callbacks)
    if isinstance(callbacks, (list, tuple)):
        return [callback for callback in callbacks if callback is not None]
    return [] if callbacks is None else [callbacks]


def _weigher(class_weight: Mapping[int, float]) -> Any:
    """A map from `(features, labels)` to `(features, labels, weights)`."""
    known = [float(class_weight.get(label, 1.0)) for label in range(max(class_weight) + 1)]

    def weigh(features: Any, labels: tf.Tensor, *weights: tf.Tensor) -> Any:
        if weights:
            raise ValueError(
                "The rows already have weights. Pass class_weight or sample_weight, not both."
            )
        is_one_hot = labels.shape.rank == 2
        numbers = tf.argmax(labels, axis=-1, output_type=tf.int32) if is_one_hot else labels
        inside = numbers < len(known)
        found = tf.gather(tf.constant(known), tf.where(inside, numbers, 0))
        return features, labels, tf.where(inside, found, 1.0)

    return weigh
