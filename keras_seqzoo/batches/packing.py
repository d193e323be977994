"""Running text for language models: documents end to end, cut into full rows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seqzoo.batches.passes import (
    Passes,
    Share,
    batches_of_rows,
    digest_of,
    draw_seed,
    order_seed,
)
from keras_seqzoo.batches.pipeline import text_windows
from keras_seqzoo.checks import check_whole
from keras_seqzoo.data.encoding import byte_order_mark
from keras_seqzoo.preprocessing.base import Preprocessor

# No token crosses the start of a line that begins with a word, so a text may be cut there.
_LINES = re.compile(r"(?<=\n)(?=\S)")
_PIECE_CHARACTERS = 4096


def read_corpus(source: Any) -> list[str]:
    """Reads the documents to learn from.

    Args:
        source: the path of a text file, UTF-8 or with a byte order mark, which is one document; a
            `TextTable` or `TextStream`, in which every text is a document; or a sequence of
            strings.

    Raises:
        FileNotFoundError: no such file.
        TypeError: any other source.
        ValueError: no text in it, or a file that is not UTF-8.
    """
    documents: list[Any]
    if isinstance(source, Mapping) or hasattr(source, "columns"):
        raise TypeError(
            "Documents come as a path, a list of strings, a table or a stream. For a DataFrame, "
            f"pass its column, frame['text']. Received: {type(source).__name__}"
        )
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.is_file():
            shown = str(source)[:80]
            raise FileNotFoundError(
                "A string is read as the path of a text file, and there is no such file. Check "
                f"the path; to pass a text itself, put it in a list: [text]. Received: {shown!r}"
            )
        with path.open("rb") as file:
            codec = byte_order_mark(file.read(4)) or "utf-8"
        try:
            documents = [path.read_text(encoding=codec)]
            if "\0" in documents[0]:
                raise ValueError("it holds NUL, as UTF-16 does")
        except ValueError as error:
            raise ValueError(
                "A text file must be UTF-8, or begin with a byte order mark. Convert it, such as "
                f"with iconv -f latin1 -t utf-8. Received: {path}, {error}"
            ) from error
    elif hasattr(source, "chunks"):
        documents = [text for texts, _ in source.chunks(16384) for text in texts]
    else:
        documents = []
        for document in source.texts if hasattr(source, "texts") else source:
            if not isinstance(
                document, (str, bytes)
            ):  # checked here, because the source may be endless
                raise TypeError(
                    "Documents are strings. Give a path, a list of strings, a table or a stream. "
                    f"Received: {str(document)[:80]!r} of type {type(document).__name__}"
                )
            documents.append(document)
    if not any(document.strip() for document in documents):
        raise ValueError(
            "There is no text to learn from. Check the file or the column. "
            f"Received: {str(source)[:80]!r}, {len(documents)} documents, all empty"
        )
    return documents


def pack_tokens(documents: Iterable[str], preprocessor: Preprocessor) -> np.ndarray:
    """Tokenizes documents and joins them end to end.

    Args:
        documents: the texts.
        preprocessor: turns them into ids; its `pad_id` comes before the first document and after
            each one.

    Returns:
        Int32 ids `(tokens,)`.
    """
    pieces: list[str] = []
    ends: list[int] = []
    for document in documents:
        pieces.extend(pieces_of(document))
        ends.append(len(pieces))
    windows = text_windows(pieces, preprocessor, {}, truncate=False)
    window = next(windows.as_numpy_iterator())
    at = window["splits"][ends]
    ids = np.insert(window["values"], at, preprocessor.pad_id)
    return np.concatenate([[preprocessor.pad_id], ids]).astype(np.int32)


def packed_batches(
    tokens: np.ndarray,
    length: int,
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Cuts running tokens into rows, each with the tokens that follow as targets.

    Args:
        tokens: int ids `(tokens,)`.
        length: tokens in each row.
        batch_size: rows in each batch.
        shuffle: whether to draw rows in a new random order in every epoch.
        seed: seed of these orders; drawn from Python's `random` by default.

    Returns:
        Batches `(features, targets, weights)`: the features of a preprocessor, int32
        `(batch, length)`; the next tokens, int32 `(batch, length)`; and float32 `(batch, length)`,
        0 where the last row is padded, 1 elsewhere. Every token but the first is a target once.
    """
    check_whole(length=length, batch_size=batch_size)
    rows = -(-(len(tokens) - 1) // length)
    padded = np.pad(tokens, (0, rows * length + 1 - len(tokens)))
    real = np.arange(rows * length) < len(tokens) - 1
    columns = {
        "token_ids": padded[:-1].reshape(rows, length),
        "targets": padded[1:].reshape(rows, length),
        "real": real.reshape(rows, length),
    }
    # The ids are kept outside the graph, which can hold at most two gigabytes.
    held = tf.data.Dataset.from_tensors(columns)

    def draw(
        seed: int, pass_number: tf.Tensor, first_batch: int | tf.Tensor, share: Share
    ) -> tf.data.Dataset:
        order = tf.range(rows, dtype=tf.int64)
        if shuffle:
            order = tf.random.experimental.stateless_shuffle(
                order, order_seed(seed, pass_number, tf.constant(0))
            )
        starts = tf.range(0, rows, batch_size, dtype=tf.int64)[first_batch:]

        def of_columns(columns: dict[str, tf.Tensor]) -> tf.data.Dataset:
            def gather(chosen: tf.Tensor) -> tuple[Any, ...]:
                ids = tf.gather(columns["token_ids"], chosen)
                is_real = tf.gather(columns["real"], chosen)
                features = {
                    "token_ids": ids,
                    "padding_mask": tf.cast(is_real, tf.int32),
                    "segment_ids": tf.zeros_like(ids),
                }
                return features, tf.gather(columns["targets"], chosen), tf.cast(is_real, tf.float32)

            return batches_of_rows(order, starts, batch_size, share, gather, spread=shuffle)

        return held.flat_map(of_columns)

    seed = draw_seed() if seed is None else seed
    return Passes(draw, rows, batch_size, seed, lambda: digest_of([tokens])).dataset()


def pieces_of(document: str | bytes) -> Sequence[str]:
    """Cuts a long document between tokens, so that all cores can tokenize it."""
    if len(document) <= _PIECE_CHARACTERS:
        return [document]  # type: ignore[list-item]
    text = document.decode("utf-8", "replace") if isinstance(document, bytes) else document
    pieces, held, size = [], [], 0
    for line in _LINES.split(text):
        held.append(line)
        size += len(line)
        if size >= _PIECE_CHARACTERS:
            pieces.append("".join(held))
            held, size = [], 0
    return [*pieces, "".join(held)] if held else pieces
