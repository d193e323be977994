"""Small messages between workers, besides the gradients."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seqzoo.training.strategy import cluster_of


class Collectives:
    """Exchanges arrays between workers; all must make the same calls in the same order.

    Args:
        strategy: a strategy of several workers.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        cluster = cluster_of(strategy)
        if cluster is None:
            raise ValueError(f"There must be several workers. Received: strategy={strategy!r}")
        self.cluster = cluster
        self._strategy = strategy
        self._per_worker = strategy.num_replicas_in_sync // len(cluster.addresses)
        self._sum = tf.function(self._sum_over_replicas, reduce_retracing=True)

    def gather(self, row: np.ndarray) -> np.ndarray:
        """Every worker's row: int64 `(values,)` → `(workers, values)`."""
        rows = np.zeros((len(self.cluster.addresses), len(row)), np.int64)
        rows[self.cluster.index] = row
        return self._summed(rows)

    def from_chief(self, arrays: Mapping[str, np.ndarray] | None, text: str) -> tuple[Any, str]:
        """Sends the chief's arrays and text to every worker; those of the others are ignored."""
        arrays = dict(arrays or {}) if self.cluster.chief else {}
        kinds = {name: [str(a.dtype), a.shape] for name, a in arrays.items()}
        header = json.dumps([kinds, text]).encode() if self.cluster.chief else b""
        length = int(self.gather(np.array([len(header)]))[0, 0])
        spelt = np.zeros(length, np.int32)
        spelt[: len(header)] = np.frombuffer(header, np.uint8)
        kinds, text = json.loads(bytes(self._from_chief(spelt).astype(np.uint8)))
        received = {}
        for name, (dtype, shape) in kinds.items():
            array = arrays.get(name, np.zeros(shape, dtype))
            received[name] = self._from_chief(array)
        return received, text

    def _from_chief(self, array: np.ndarray) -> np.ndarray:
        return self._summed(array if self.cluster.chief else np.zeros_like(array))

    def _summed(self, array: np.ndarray) -> np.ndarray:
        """The sum over the workers; one replica of each adds the array."""
        total = self._sum(tf.constant(array))
        return self._strategy.experimental_local_results(total)[0].numpy().astype(array.dtype)

    def _sum_over_replicas(self, value: tf.Tensor) -> Any:
        def run(value: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            first = context.replica_id_in_sync_group % self._per_worker == 0
            value = tf.where(first, value, tf.zeros_like(value))
            return context.all_reduce(tf.distribute.ReduceOp.SUM, value)

        return self._strategy.run(run, args=(value,))

    def agree(self, facts: Mapping[str, str]) -> None:
        """Raises a ValueError with worker and fact if a fact differs from the chief's."""
        digests = [int(hashlib.sha256(v.encode()).hexdigest()[:15], 16) for v in facts.values()]
        rows = self.gather(np.array(digests, np.int64))
        wrong = [
            f"{name} of {self.cluster.name(index)}"
            for index in range(1, len(rows))
            for name, theirs, chiefs in zip(facts, rows[index], rows[0], strict=True)
            if theirs != chiefs
        ]
        if wrong:
            raise ValueError(
                "All workers must build the same model and read the same data. Give every host the "
                "same files and the same command. Received: different from the chief's: the "
                f"{', the '.join(wrong)}; here: {dict(facts)}"
            )
