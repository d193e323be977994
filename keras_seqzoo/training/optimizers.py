"""The optimizers, for fine-tuning transformers and for models that learn word vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

NO_DECAY = ("bias", "norm", "beta", "gamma")


@keras.saving.register_keras_serializable("keras_seqzoo")
class RowAdam(keras.optimizers.Adam):
    """Adam that changes only the rows of an embedding table that occur in the batch ("lazy" Adam).

    So the cost of a step depends on the words of the batch, not on the vocabulary. The moments of
    the other rows do not change until a batch has the row again; plain Adam would let them decay,
    and move the row meanwhile. If gradients are accumulated, or replicas sum whole tables, it is
    plain Adam. For other variables it uses TensorFlow's single Adam operation, while Keras uses a
    dozen operations.

    Args:
        learning_rate: learning rate of every step.
        row_clipnorm: largest norm of the gradient of a variable. Keras's `clipnorm` does the same,
            but turns the gradient of a table into a dense one.
        **kwargs: further arguments of `keras.optimizers.Adam`.
    """

    def __init__(self, learning_rate: Any = 1e-3, row_clipnorm: float | None = 1.0, **kwargs: Any):
        super().__init__(learning_rate, **kwargs)
        self.row_clipnorm = row_clipnorm

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Changes a variable, or some of its rows."""
        is_rows = isinstance(gradient, tf.IndexedSlices) and not self.amsgrad
        if is_rows:
            rows, is_used, gradient = _summed_rows(gradient)
        gradient = tf.cast(tf.convert_to_tensor(gradient), variable.dtype)
        if self.row_clipnorm is not None:
            gradient = tf.clip_by_norm(gradient, self.row_clipnorm)
        if self.amsgrad:
            super().update_step(gradient, variable, learning_rate)
            return
        rate = tf.cast(learning_rate, variable.dtype)
        step = tf.cast(self.iterations + 1, variable.dtype)
        powers = {"beta1_power": self.beta_1**step, "beta2_power": self.beta_2**step}
        at = self._get_variable_index(variable)
        m, v = (moments[at].value for moments in (self._momentums, self._velocities))
        decay = self.decay_of(at) * rate
        if not is_rows:
            if self.decay_of(at):
                variable.assign_sub(variable * decay)
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=m.handle,
                v=v.handle,
                **powers,
                lr=rate,
                beta1=tf.cast(self.beta_1, variable.dtype),
                beta2=tf.cast(self.beta_2, variable.dtype),
                epsilon=tf.cast(self.epsilon, variable.dtype),
                grad=gradient,
            )
            return
        old_m, old_v = tf.gather(m, rows), tf.gather(v, rows)
        more_m = is_used * (gradient - old_m) * (1 - self.beta_1)
        more_v = is_used * (tf.square(gradient) - old_v) * (1 - self.beta_2)
        rate *= tf.sqrt(1 - powers["beta2_power"]) / (1 - powers["beta1_power"])
        change = rate * (old_m + more_m) / (tf.sqrt(old_v + more_v) + self.epsilon)
        if self.decay_of(at):
            change += decay * tf.gather(variable, rows)
        self.assign_add(m, tf.IndexedSlices(more_m, rows))
        self.assign_add(v, tf.IndexedSlices(more_v, rows))
        self.assign_sub(variable, tf.IndexedSlices(is_used * change, rows))

    def decay_of(self, at: int) -> float:
        """The weight decay of a variable, by its number; a step multiplies it by the rate."""
        return 0.0

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "row_clipnorm": self.row_clipnorm}


@keras.saving.register_keras_serializable("keras_seqzoo")
class TransformerAdamW(RowAdam):
    """AdamW without weight decay of biases and layer norms, like BERT's own optimizer.

    Source: Devlin et al. (2019), BERT, appendix A.2 (decay 0.01, beta_2 0.999, epsilon 1e-6,
    gradients clipped to a global norm of 1 in the released code). `keras.optimizers.AdamW` can
    exclude variables, too, but forgets which when a model is saved; this one keeps them in its
    config. In an embedding table, it changes and decays only the rows that occur in the batch: see
    `RowAdam`.

    Args:
        learning_rate: peak rate.
        weight_decay: share of a weight that a step subtracts, times the learning rate.
        epsilon: added to the square root of the second moment.
        global_clipnorm: largest norm of all gradients together.
        no_decay: variables with one of these parts in their name have no weight decay.
        row_clipnorm: largest norm of the gradient of a variable; none by default.
        **kwargs: further arguments of `keras.optimizers.Adam`.
    """

    def __init__(
        self,
        learning_rate: Any = 5e-5,
        weight_decay: float = 0.01,
        epsilon: float = 1e-6,
        global_clipnorm: float | None = 1.0,
        no_decay: Sequence[str] = NO_DECAY,
        row_clipnorm: float | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            learning_rate,
            row_clipnorm,
            weight_decay=weight_decay,
            epsilon=epsilon,
            global_clipnorm=global_clipnorm,
            **kwargs,
        )
        self.no_decay = tuple(no_decay)
        self._decays: tuple[bool, ...] = ()

    def build(self, variables: Sequence[Any]) -> None:
        """Creates the moments, and records which variables have no weight decay."""
        if not self.built:
            self._decays = tuple(
                not any(part in v.path.lower() for part in self.no_decay) for v in variables
            )
            self.exclude_from_weight_decay(var_list=variables)  # Keras's, of whole tables
        super().build(variables)

    def decay_of(self, at: int) -> float:
        """The weight decay of a variable, 0 for an excluded one."""
        return float(self.weight_decay or 0.0) * self._decays[at]

    def _clip_gradients(self, grads: Sequence[Any]) -> Sequence[Any]:
        """Clips as Keras does, but sums the gradients of repeated words first."""
        if not self.global_clipnorm or self.clipnorm:
            return super()._clip_gradients(grads)
        summed = [_once(g) if isinstance(g, tf.IndexedSlices) else g for g in grads]
        return tf.clip_by_global_norm(summed, self.global_clipnorm)[0]

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "no_decay": list(self.no_decay)}


def _once(gradient: tf.IndexedSlices) -> tf.IndexedSlices:
    """The same gradient with each row once; unused entries add zeros to the first row."""
    rows, _, sums = _summed_rows(gradient)
    return tf.IndexedSlices(sums, rows, gradient.dense_shape)


def _summed_rows(gradient: tf.IndexedSlices) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Each row once, 1.0 if the entry is used, and its sum; as many entries as before, for XLA."""
    order = tf.argsort(gradient.indices)
    indices = tf.gather(gradient.indices, order)
    is_first = tf.concat([tf.zeros([1], tf.bool), indices[1:] != indices[:-1]], axis=0)
    place, count = tf.cumsum(tf.cast(is_first, tf.int32)), tf.size(indices)
    values = tf.gather(gradient.values, order)
    sums = tf.math.unsorted_segment_sum(values, place, count)
    last = tf.math.unsorted_segment_max(indices, place, count)
    rows = tf.maximum(last, tf.reduce_min(indices))  # unused entries point to the first row
    is_used = tf.cast(tf.range(count) <= place[-1], values.dtype)
    return rows, is_used[:, tf.newaxis], sums
