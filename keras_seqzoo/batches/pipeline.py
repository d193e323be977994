"""The tf.data pipeline: tokenize once, keep the ids, shuffle, bucket by length, pack, prefetch.

Texts pass through in *windows* of ids: a table is one window, a stream many. Each epoch draws, for
every window, the batches as lists of row numbers; one op for each batch gathers and pads them.
No Python runs for each row.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from keras_seqzoo.batches.passes import (
    Draw,
    Passes,
    Share,
    batches_of_rows,
    digest_of,
    draw_seed,
    order_seed,
    untuned,
)
from keras_seqzoo.checks import check_whole
from keras_seqzoo.data.stream import TextStream
from keras_seqzoo.data.table import TextTable
from keras_seqzoo.files import whole
from keras_seqzoo.preprocessing.base import Preprocessor

if TYPE_CHECKING:
    from keras_seqzoo.tasks.model import TextModel

# Rows are sorted by length within pools of this many batches: enough to make the lengths in a
# batch nearly equal, few enough that batches still differ from epoch to epoch.
_POOL_BATCHES = 64
_STREAM_WINDOW_ROWS = 65_536
LENGTH_MULTIPLE = 8
_SIZES = "sizes.json"


def make_dataset(
    table: Any,
    model: TextModel | Preprocessor,
    batch_size: int = 32,
    shuffle: bool = False,
    seed: int | None = None,
    cache: bool | str | os.PathLike[str] = True,
    *,
    bucket: bool | None = None,
) -> tf.data.Dataset:
    """Makes the dataset that `fit`, `evaluate` and `predict` read.

    Args:
        table: a `TextTable`, or a `TextStream`, of which only some windows of rows are in memory
            at a time. For a model of the task `generate` also a text file or a list of strings:
            all texts are joined end to end and cut into full rows, with the next tokens as labels.
            For `fill_mask` the same sources, with each text cut into passages with hidden tokens.
        model: the model, or its preprocessor, whose vocabulary turns the texts into ids.
        batch_size: rows in each batch, over all replicas if there are several.
        shuffle: whether to draw rows in a new random order in every epoch. A stream is shuffled
            within windows of about 65,000 rows.
        seed: makes the orders of all epochs repeatable. By default it is drawn from Python's
            `random`, so `keras.utils.set_random_seed` governs it.
        cache: `True` keeps a table's ids in memory (those of a stream are made again in every
            epoch, since they may not fit). `False` keeps nothing. A folder keeps them on disk,
            under a name that depends on the rows, the preprocessor and, for a stream, the
            `batch_size`. Incomplete files there are made again.
        bucket: whether rows of similar length share a batch, which saves padding. Defaults to
            `shuffle`: without shuffling, the rows keep the order of the table.

    Returns:
        Batches `(features, labels)`, or `(features,)` for a table without labels. `features` is a
        dict of int32 `token_ids`, `padding_mask` and `segment_ids`, each `(batch, length)`, with
        `length` that of the longest row, rounded up to a multiple of 8; `labels` is int32
        `(batch,)`.

        `fit` reads this dataset pass after pass; each model starts at the first pass. It can resume
        and be divided among workers. A dataset that `.take`, `.map` and other methods make from it
        is read like any `tf.data.Dataset`: in a new order in every epoch, without `Recovery`, and
        with several workers only if you give a `seed`.

    Raises:
        TypeError: `table` is neither a `TextTable` nor a `TextStream`.
        ValueError: a `batch_size` below 1, or classes that are not those of the model.

    Example:
        >>> import keras_seqzoo as sz
        >>> table = sz.TextTable.from_texts(["good film", "bad"], ["pos", "neg"])
        >>> model = sz.build_model("gru", table, units=4)
        >>> features, labels = next(iter(sz.make_dataset(table, model, batch_size=2)))
        >>> features["token_ids"].shape, labels.numpy().tolist()
        (TensorShape([2, 8]), [1, 0])
    """
    check_whole(batch_size=batch_size)
    if not isinstance(model, Preprocessor):
        own = model.own_dataset(table, batch_size, shuffle, seed)
        if own is not None:
            return own
    if not isinstance(table, TextTable | TextStream):
        raise TypeError(
            "`table` must be a TextTable or a TextStream. Use read_table(source) first. "
            f"Received: {type(table).__name__}"
        )
    preprocessor = model if isinstance(model, Preprocessor) else model.preprocessor
    if not isinstance(model, Preprocessor):
        model.check_table(table)
    window_rows = None
    if isinstance(table, TextStream):
        window_rows = max(1, _STREAM_WINDOW_ROWS // batch_size) * batch_size
        windows = _stream_windows(table, preprocessor, window_rows, slice(None))
    else:
        columns = {} if table.labels is None else {"labels": table.labels}
        windows = text_windows(table.texts, preprocessor, columns, keep=cache is True)
    if not isinstance(cache, bool):
        name = f"ids-{table.fingerprint()}-{preprocessor.fingerprint()}"
        # A table, which is one window, has the fingerprint of a stream of its rows.
        name = name if window_rows is None else f"{name}-{window_rows}"
        windows = _kept_on_disk(windows, Path(cache) / name)
    bucket = shuffle if bucket is None else bucket
    dataset = window_batches(
        windows,
        preprocessor,
        batch_size,
        rows=len(table),
        window_rows=window_rows,
        shuffle=shuffle,
        bucket=bucket,
        seed=seed,
    )
    if isinstance(table, TextStream) and isinstance(cache, bool):

        def draw_files(files: slice, size: int) -> Draw:
            rows = max(1, _STREAM_WINDOW_ROWS // size) * size
            own = _stream_windows(table, preprocessor, rows, files)
            return _drawing(own, preprocessor, size, rows, shuffle, bucket)

        files = [file.rows for file in table.files]
        dataset.passes = replace(dataset.passes, file_rows=files, draw_files=draw_files)
    return dataset


def text_windows(
    texts: Any,
    preprocessor: Preprocessor,
    columns: Mapping[str, Any],
    *,
    keep: bool = True,
    truncate: bool = True,
) -> tf.data.Dataset:
    """Makes one window of ids from texts that are in memory.

    Args:
        texts: texts that the preprocessor's `as_inputs` takes.
        preprocessor: turns them into ids.
        columns: further arrays `(rows, …)`, such as `labels`, in the order that batches must have.
        keep: whether to make the ids now and keep them; otherwise every iteration makes them again.
        truncate: whether to drop ids that `pack` would not read.

    Returns:
        A dataset of one element: a dict of `values`, `splits` and the columns.
    """
    strings = preprocessor.as_inputs(texts)
    source = tf.data.Dataset.from_tensors((strings, dict(columns)))
    windows = source.map(lambda texts, columns: _window(texts, columns, preprocessor, truncate))
    if not keep:
        return windows
    # In parts, so that all cores tokenize; from_tensors then holds the ids outside any graph.
    parts = tf.data.Dataset.from_tensor_slices(strings).batch(4096)
    parts = parts.map(
        lambda texts: _window(texts, {}, preprocessor, truncate),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    values, lengths = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
    for part in untuned(parts).as_numpy_iterator():
        values.append(part["values"])
        lengths.append(np.diff(part["splits"]))
    splits = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    kept = {"values": np.concatenate(values), "splits": splits, **columns}
    return tf.data.Dataset.from_tensors(kept)


def window_batches(
    windows: tf.data.Dataset,
    preprocessor: Preprocessor,
    batch_size: int,
    *,
    rows: int,
    window_rows: int | None = None,
    shuffle: bool = False,
    bucket: bool = False,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Makes the batches of all windows, redrawn in every iteration.

    Args:
        windows: elements as `text_windows` makes them.
        preprocessor: packs the ids.
        batch_size: rows in each batch; all windows but the last hold a multiple of it.
        rows: rows in all windows together.
        window_rows: rows in each window but the last; not needed for a single window.
        shuffle: whether to draw rows in random order.
        bucket: whether to sort rows by length; with `shuffle`, within pools.
        seed: seed of the random orders.

    Returns:
        Batches `(features, *columns)`; the dataset carries its `Passes`.
    """
    draw = _drawing(windows, preprocessor, batch_size, window_rows, shuffle, bucket)

    def digest() -> str:
        return digest_of(a for w in windows.take(1).as_numpy_iterator() for a in w.values())

    seed = draw_seed() if seed is None else seed
    return Passes(draw, rows, batch_size, seed, digest).dataset()


def _drawing(
    windows: tf.data.Dataset,
    preprocessor: Preprocessor,
    batch_size: int,
    window_rows: int | None,
    shuffle: bool,
    bucket: bool,
) -> Draw:
    """Returns the function that draws the batches of a pass from windows."""

    def draw(
        seed: int, pass_number: tf.Tensor, first_batch: int | tf.Tensor, share: Share
    ) -> tf.data.Dataset:
        def of_window(number: tf.Tensor, window: dict[str, tf.Tensor]) -> tf.data.Dataset:
            tokens = tf.RaggedTensor.from_row_splits(
                window["values"], window["splits"], validate=False
            )
            columns = [column for key, column in window.items() if key not in ("values", "splits")]
            random_seed = order_seed(seed, pass_number, number)
            order, starts = plan_pass(
                tokens.row_lengths(), batch_size, shuffle, bucket, random_seed
            )
            before = number * (window_rows or 0) // batch_size
            skipped = tf.maximum(tf.cast(first_batch, tf.int64) - before, 0)

            def pack(chosen: tf.Tensor) -> tuple[Any, ...]:
                features = preprocessor.pack(tf.gather(tokens, chosen), multiple=LENGTH_MULTIPLE)
                return (features, *(tf.gather(column, chosen) for column in columns))

            return batches_of_rows(order, starts[skipped:], batch_size, share, pack, spread=shuffle)

        return windows.enumerate().flat_map(of_window)

    return draw


def plan_pass(
    lengths: tf.Tensor, batch_size: int, shuffle: bool, bucket: bool, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws an epoch: row numbers in order, and the start of each batch in that order."""
    order = tf.range(tf.size(lengths, tf.int64))
    if shuffle:
        order = tf.random.experimental.stateless_shuffle(order, seed)
    if bucket:
        pool_rows = _POOL_BATCHES * batch_size if shuffle else tf.int64.max
        pool = tf.range(tf.size(order, tf.int64)) // pool_rows
        longest = tf.reduce_max(tf.concat([lengths, [0]], 0))
        key = pool * (longest + 1) + tf.gather(lengths, order)
        order = tf.gather(order, tf.argsort(key, stable=True))
    starts = tf.range(0, tf.size(order, tf.int64), batch_size)
    if shuffle:
        starts = tf.random.experimental.stateless_shuffle(starts, seed + 1)
    return order, starts


def _window(
    texts: tf.Tensor,
    columns: Mapping[str, tf.Tensor],
    preprocessor: Preprocessor,
    truncate: bool = True,
) -> dict[str, tf.Tensor]:
    tokens = preprocessor.encode(texts)
    if truncate:
        tokens = preprocessor.truncate(tokens)
    return {
        "values": tokens.flat_values,
        "splits": tf.cast(tokens.row_splits, tf.int64),
        **columns,
    }


def _stream_windows(
    stream: TextStream, preprocessor: Preprocessor, window_rows: int, files: slice
) -> tf.data.Dataset:
    def chunks() -> Iterator[tuple[Any, ...]]:
        for texts, labels in stream.chunks(window_rows, files):
            inputs = preprocessor.as_inputs(texts)
            yield (inputs,) if labels is None else (inputs, labels)

    texts = tf.TensorSpec([None, 2] if preprocessor.pair else [None], tf.string)
    target = stream.target
    labels = [] if target is None else [tf.TensorSpec([None, *target.shape], target.dtype)]
    signature = (texts, *labels)
    source = tf.data.Dataset.from_generator(chunks, output_signature=signature)
    return source.map(
        lambda texts, *labels: _window(texts, {"labels": labels[0]} if labels else {}, preprocessor)
    ).prefetch(1)


def _kept_on_disk(windows: tf.data.Dataset, kept: Path) -> tf.data.Dataset:
    """Writes the windows once, completely or not at all, and reads them from then on."""
    if not _is_whole(kept):
        kept.parent.mkdir(parents=True, exist_ok=True)
        try:
            with whole(kept) as unfinished:
                unfinished.mkdir()
                windows.save(str(unfinished))
                (unfinished / _SIZES).write_text(json.dumps(_sizes(unfinished)))
                if not _is_whole(kept):
                    shutil.rmtree(kept, ignore_errors=True)
        except OSError:
            if not _is_whole(kept):  # unless another process has written it meanwhile
                raise
    return tf.data.Dataset.load(str(kept), element_spec=windows.element_spec)


def _is_whole(kept: Path) -> bool:
    """Whether all written files exist, with the sizes they had."""
    try:
        return bool(json.loads((kept / _SIZES).read_text()) == _sizes(kept))
    except (OSError, ValueError):
        return False


def _sizes(folder: Path) -> dict[str, int]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != _SIZES)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
