"""Batches of a `SeriesTable`: the steps are held once, and each batch gathers its windows."""

from __future__ import annotations

import tensorflow as tf

from keras_seqzoo.batches.passes import (
    Passes,
    Share,
    batches_of_rows,
    digest_of,
    draw_seed,
    order_seed,
)
from keras_seqzoo.data.series import SeriesTable


def series_batches(
    table: SeriesTable, batch_size: int, shuffle: bool, seed: int | None
) -> tf.data.Dataset:
    """Makes the batches of a table, redrawn in every iteration.

    Args:
        table: the windows and their answers.
        batch_size: windows in each batch.
        shuffle: whether to draw the windows in random order.
        seed: seed of the orders; by default drawn from Python's `random`.

    Returns:
        Batches `({"values": windows}, labels)`, with windows float32 `(batch, window, columns)` and
        labels like `SeriesTable.labels`; the dataset carries its `Passes`.
    """
    steps, starts = table.steps()
    labels = table.labels
    columns = len(table.inputs.columns)

    def draw(
        seed: int, pass_number: tf.Tensor, first_batch: int | tf.Tensor, share: Share
    ) -> tf.data.Dataset:
        def of_table(steps: tf.Tensor, starts: tf.Tensor, labels: tf.Tensor) -> tf.data.Dataset:
            order = tf.range(tf.size(starts, tf.int64))
            if shuffle:
                order = tf.random.experimental.stateless_shuffle(
                    order, order_seed(seed, pass_number, tf.constant(0, tf.int64))
                )
            firsts = tf.range(0, tf.size(starts, tf.int64), batch_size)[first_batch:]

            def gather(chosen: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
                at = tf.gather(starts, chosen)[:, None] + tf.range(table.window, dtype=tf.int64)
                values = tf.ensure_shape(tf.gather(steps, at), [None, table.window, columns])
                return {"values": values}, tf.gather(labels, chosen)

            return batches_of_rows(order, firsts, batch_size, share, gather, spread=False)

        # from_tensors holds the arrays outside any graph.
        return tf.data.Dataset.from_tensors((steps, starts, labels)).flat_map(of_table)

    seed = draw_seed() if seed is None else seed
    return Passes(
        draw, len(table), batch_size, seed, lambda: digest_of([steps, starts, labels])
    ).dataset()
