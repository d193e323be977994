"""Passes over the data: the order of the rows, and which of them a worker reads.

The order of a pass depends only on a seed and the number of the pass. So a training can resume in
the middle of a pass, and can be divided among workers without any exchange about rows.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf


class Share(NamedTuple):
    """The part of every batch that this process reads.

    Attributes:
        first: number of the first replica that this process feeds.
        parts: number of replicas that it feeds.
        replicas: number of all replicas, over which a batch is divided.
    """

    first: int = 0
    parts: int = 1
    replicas: int = 1


WHOLE = Share()

Draw = Callable[[int, tf.Tensor, int | tf.Tensor, Share], tf.data.Dataset]


@dataclass(frozen=True, eq=False)
class Passes:
    """Makes the batches of every pass; a dataset of `make_dataset` carries one.

    Several models may read the same passes, so they do not change; each model knows its own place.

    Attributes:
        draw: makes the batches of a pass, from a batch number on: `(seed, pass, batch, share)`.
            If the share has several replicas, elements are parts of a batch, in the replicas'
            order.
        rows: rows in a pass.
        batch_size: rows in each batch, over all replicas.
        seed: seed of the orders.
        digest: identifies the rows; for a stream, its first window.
        file_rows: rows of each file of a stream.
        draw_files: makes `draw` for some of these files only, and another batch size.
    """

    draw: Draw
    rows: int
    batch_size: int
    seed: int
    digest: Callable[[], str]
    file_rows: Sequence[int] = ()
    draw_files: Callable[[slice, int], Draw] | None = None

    @property
    def steps(self) -> int:
        """Batches in a pass."""
        return -(-self.rows // self.batch_size)

    def steps_over(self, workers: int) -> int:
        """Batches in a pass that is divided among workers.

        Workers that divide files have different numbers of rows. A worker that has read all of its
        rows continues with empty parts of batches until the last worker is done.
        """
        if not self._divides_files(workers):
            return self.steps
        most = max(sum(self.file_rows[worker::workers]) for worker in range(workers))
        return -(-most // (self.batch_size // workers))

    def _divides_files(self, workers: int) -> bool:
        """Whether each worker reads files of its own, instead of its share of every batch."""
        enough = len(self.file_rows) >= workers > 1 and self.batch_size % workers == 0
        return self.draw_files is not None and enough

    def dataset(self) -> tf.data.Dataset:
        """One pass, a new one in every iteration. It carries these passes as `passes`."""
        number = tf.data.Dataset.random(seed=self.seed, rerandomize_each_iteration=True).take(1)
        batches = number.flat_map(lambda number: self.draw(self.seed, number, 0, WHOLE))
        batches = batches.apply(tf.data.experimental.assert_cardinality(self.steps))
        batches = untuned(batches.prefetch(tf.data.AUTOTUNE))
        batches.passes = self
        return batches

    def stream(self, position: int, share: Share = WHOLE) -> tf.data.Dataset:
        """Endless passes, from batch number `position` of all passes on."""
        workers, worker = share.replicas // share.parts, share.first // share.parts
        steps = self.steps_over(workers)
        first_pass, first_batch = divmod(position, max(steps, 1))
        draw, by_file = self.draw, self._divides_files(workers)
        if by_file and self.draw_files is not None:
            draw = self.draw_files(slice(worker, None, workers), self.batch_size // workers)
            share = Share(0, share.parts, share.parts)

        def batches(number: tf.Tensor) -> tf.data.Dataset:
            skipped = tf.where(number == first_pass, tf.constant(first_batch, tf.int64), 0)
            drawn = draw(self.seed, number, skipped, share)
            if not by_file:
                return drawn
            return drawn.concatenate(_without_rows(drawn)).take((steps - skipped) * share.parts)

        endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        numbers = tf.data.Dataset.range(first_pass, tf.int64.max)
        return untuned(numbers.flat_map(batches).apply(endless).prefetch(tf.data.AUTOTUNE))


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the dataset without tf.data's tuning in the background, whose thread sleeps too long.

    The thread wakes after 10 ms, 20 ms and so on, up to a minute. To release an iterator before its
    end often waits until then: `fit` of 2.5 s would take 5.1 s. A dataset whose options set the
    tuning does not change.
    """
    options = tf.data.Options()
    if dataset.options().autotune.enabled is not None:
        return dataset
    options.autotune.enabled = False
    return dataset.with_options(options)


def _without_rows(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns endless elements of the same form without rows."""
    empty = tf.nest.map_structure(
        lambda spec: tf.zeros([size or 0 for size in spec.shape], spec.dtype), dataset.element_spec
    )
    return tf.data.Dataset.from_tensors(empty).repeat()


def passes_of(dataset: Any) -> Passes | None:
    """Returns the passes that a dataset of `make_dataset` carries; None for any other dataset."""
    return getattr(dataset, "passes", None)


def draw_seed() -> int:
    """Draws a seed from Python's `random`, which `keras.utils.set_random_seed` governs."""
    return random.randrange(2**31)


def digest_of(arrays: Iterable[np.ndarray]) -> str:
    """Returns hex digits that identify arrays."""
    digest = sha256()
    for array in arrays:
        # For objects such as strings, the bytes of the array would be addresses.
        content = array.tolist() if array.dtype == object else None
        digest.update(str(content).encode() if content else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def order_seed(seed: int, pass_number: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """Returns the seed, int64 `(2,)`, of the random order of a window in a pass."""
    of_window = seed + tf.cast(window, tf.int64) * 2**32
    return tf.stack([of_window, tf.cast(pass_number, tf.int64)])


def batches_of_rows(
    order: tf.Tensor,
    starts: tf.Tensor,
    batch_size: int,
    share: Share,
    make: Callable[[tf.Tensor], Any],
    *,
    spread: bool,
) -> tf.data.Dataset:
    """Makes batches, or a share of each, from row numbers.

    Args:
        order: row numbers, int64 `(rows,)`.
        starts: the start of each batch in that order, int64 `(batches,)`.
        batch_size: rows in each batch.
        share: the replicas that read here. If a batch has fewer rows than replicas, some get an
            element without rows.
        make: makes an element from row numbers.
        spread: whether replicas take rows in turn, which gives them similar lengths if rows are
            sorted by length. Otherwise each takes a run of rows, in order.
    """

    def element(start: tf.Tensor, replica: tf.Tensor) -> Any:
        chosen = order[start : start + batch_size]
        if share.replicas > 1 and spread:
            chosen = chosen[replica :: share.replicas]
        elif share.replicas > 1:
            size = tf.size(chosen, tf.int64)
            first = size * replica // share.replicas
            chosen = chosen[first : size * (replica + 1) // share.replicas]
        return make(chosen)

    replicas = tf.range(share.first, share.first + share.parts, dtype=tf.int64)
    pairs = (
        tf.repeat(starts, share.parts),
        tf.tile(replicas, [tf.size(starts)]),
    )
    return tf.data.Dataset.from_tensor_slices(pairs).map(
        element, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
