"""Tables of labelled texts that are larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from keras_seqzoo.data.inputs import Input
from keras_seqzoo.data.reading import READ_ROWS, shorten
from keras_seqzoo.data.rows import Block, Rows
from keras_seqzoo.data.splitting import check_seed
from keras_seqzoo.data.targets import Asked, Learnt, OneOf, Target, learn_target

# Rows that share one random generator. Another value would change the split of every stream.
_DRAW_ROWS = 16_384


class StreamFile(NamedTuple):
    """A file of a stream: a function that reads it from the start, and its number of rows."""

    frames: Callable[[], Iterator[pd.DataFrame]]
    rows: int


class TextStream:
    """Labelled texts that are read from files again and again, in constant memory.

    Made by `stream_table`, by `read_table(..., stream=True)` or from a glob pattern.

    Attributes:
        files: the files with the rows, in order.
        inputs: the input of a model: a text or a pair.
        target: the target to learn; `None` without labels.
        classes: names of classes or labels, in order; `()` for numbers and without labels.
        num_rows: number of rows, also `len(stream)`.
        encoding: codec the files were decoded with (several are joined by ", "), or `None`.
        source: the path or pattern, for messages.
    """

    def __init__(
        self,
        files: Sequence[StreamFile],
        *,
        inputs: Input,
        target: Target | None,
        count_classes: Callable[[], npt.NDArray[np.int64]],
        encoding: str | None,
        source: str,
        depth: int = 0,
        rows: Rows | None = None,
    ) -> None:
        self.files = tuple(files)
        self.num_rows = sum(file.rows for file in files)
        self.inputs = inputs
        self.target = target
        self.classes = classes_of(target)
        self.encoding = encoding
        self.source = source
        self._count_classes = count_classes
        self._depth = depth
        self._rows = rows

    def __len__(self) -> int:
        return self.num_rows

    def __repr__(self) -> str:
        names = "no labels" if self.target is None else f"{self.target.noun} "
        names += "" if self.target is None else shorten(self.target.names)
        rows = describe_rows(self.num_rows, self.inputs)
        return f"TextStream({self.source!r}, {rows}, {names})"

    @cached_property
    def class_counts(self) -> dict[str, int]:
        """Rows of each class or label. For a part of a split, the first use reads the files."""
        return dict(zip(self.classes, self._count_classes().tolist(), strict=True))

    def chunks(
        self, rows: int | None = None, files: slice = slice(None)
    ) -> Iterator[tuple[npt.NDArray[np.object_], npt.NDArray[Any] | None]]:
        """Reads the rows in order, from the start at every call.

        Args:
            rows: rows in each chunk but the last. Default 16,384.
            files: those to read; all by default.

        Yields:
            `(texts, labels)`: an object array of str `(rows,)`, or `(rows, 2)` for pairs; and the
            answers that `target` encodes, int32 `(rows,)` for classes, float32 `(rows, names)` for
            others, or `None` without labels.

        Raises:
            ValueError: `rows` is not a positive integer, or the files have changed.
        """
        rows = READ_ROWS if rows is None else rows
        if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
            raise ValueError(f"rows must be a positive integer. Leave it out. Received: {rows!r}")
        return map(self._arrays, _regroup(self._frames(files), rows))

    def _arrays(
        self, frame: pd.DataFrame
    ) -> tuple[npt.NDArray[np.object_], npt.NDArray[Any] | None]:
        labels = None if self.target is None else self.target.labels(frame)
        return self.inputs.texts(frame), labels

    def blocks(self) -> Iterator[tuple[pd.DataFrame, npt.NDArray[np.object_]]]:
        """Reads the rows in order with all of their columns, as pandas gives them, and their texts.

        The texts are the same as those of `chunks`.

        Raises:
            ValueError: the stream is part of a split, or the files have changed.
        """
        if self._rows is None:
            raise ValueError(
                "Rows are read whole before they are split. Read the table again. "
                f"Received: a part of {self.source!r}"
            )
        rows = replace(self._rows, every_column=True)
        return ((block.whole, self.inputs.texts(block.texts)) for block in rows)

    def _frames(self, files: slice = slice(None)) -> Iterator[pd.DataFrame]:
        for file in self.files[files]:
            if file.rows:
                yield from file.frames()

    def class_weights(self) -> dict[int, float]:
        """Weights for `model.fit(class_weight=...)` that give all classes the same influence.

        Returns:
            `rows / (num_classes * class_rows)` by label, as scikit-learn's "balanced"; a class
            without rows has no weight.

        Raises:
            ValueError: the rows have no labels, or labels that are not classes.
        """
        return balanced_weights(self.target, self.class_counts)

    def split(
        self, valid: float = 0.1, test: float = 0.1, seed: int = 0
    ) -> tuple[TextStream, TextStream, TextStream]:
        """Splits the rows at random into training, validation and test streams.

        The part of a row depends only on `seed` and the row's position. So the fractions and the
        share of each class are met only on average, closely if there are many rows. For an exact,
        stratified split, read the file as a table.

        Args:
            valid: fraction of the rows; 0 makes that stream empty.
            test: as `valid`.
            seed: non-negative integer.

        Returns:
            `(train, valid, test)`, each with the target of the whole.

        Raises:
            ValueError: fractions outside [0, 1) or with a sum of 1 or more, or a bad seed.
        """
        check_seed(seed)
        for name, share in (("valid", valid), ("test", test)):
            if isinstance(share, bool) or not 0 <= share < 1:
                raise ValueError(
                    f"A stream is split by fractions from 0 to below 1. Use a fraction, or read "
                    f"the file as a table to split by row counts. Received: {name}={share!r}"
                )
        if valid + test >= 1:
            raise ValueError(
                f"valid and test must leave rows to train on. Make them sum to less than 1. "
                f"Received: valid={valid!r}, test={test!r}"
            )
        parts = _Parts(self, (1 - valid - test, 1 - test), seed, self._depth + 1)
        train, validation, held_out = (
            TextStream(
                [
                    StreamFile(partial(parts.frames, part, number), int(sizes[part]))
                    for number, sizes in enumerate(parts.sizes)
                ],
                inputs=self.inputs,
                target=self.target,
                count_classes=partial(parts.count_classes, part),
                encoding=self.encoding,
                source=self.source,
                depth=self._depth + 1,
            )
            for part in range(3)
        )
        return train, validation, held_out

    def fingerprint(self) -> str:
        """Reads all rows and returns 16 hex digits that identify texts, labels and target.

        A `TextTable` of the same rows has the same fingerprint.
        """
        return fingerprint(self._frames(), self.target)


def open_stream(rows: Rows, asked: Asked) -> TextStream:
    """Reads all rows once, checks and counts them, and learns their target."""
    counts = [0] * len(rows.files)

    def counted() -> Iterator[Block]:
        for block in rows:
            counts[block.file] += len(block.texts)
            yield block

    learnt: Learnt | None = None
    if rows.label is None:
        for _ in counted():
            pass
    else:
        labels = (block.labels for block in counted())
        learnt = learn_target(labels, asked, rows.is_untyped(rows.label_columns[0]), rows.name)
    class_counts = np.zeros(0, np.int64) if learnt is None else learnt.counts
    return TextStream(
        [
            StreamFile(partial(_file_frames, rows.file(number), learnt, count), count)
            for number, count in enumerate(counts)
        ],
        inputs=rows.inputs,
        target=None if learnt is None else learnt.target,
        count_classes=lambda: class_counts,
        encoding=rows.encoding,
        source=rows.name,
        rows=rows,
    )


def _file_frames(rows: Rows, learnt: Learnt | None, expected: int) -> Iterator[pd.DataFrame]:
    rows_read = 0
    for block in rows:
        rows_read += len(block.texts)
        yield encoded_frame(block.texts, block.labels, learnt)
    if rows_read != expected:
        raise ValueError(
            f"A file must not change while it is streamed. Call read_table again. "
            f"Received: {rows.name!r} with {rows_read:,} rows, not {expected:,} as before"
        )


def encoded_frame(texts: pd.DataFrame, labels: pd.DataFrame, learnt: Learnt | None) -> pd.DataFrame:
    """Puts the encoded answers after the texts, as in a table's frame."""
    if learnt is None:
        return texts
    encoded = learnt.encode(labels).reshape(len(texts), -1)
    columns = dict(zip(learnt.target.columns, encoded.T, strict=True))
    return pd.concat([texts, pd.DataFrame(columns, index=texts.index)], axis=1)


def classes_of(target: Target | None) -> tuple[str, ...]:
    """Returns the names of classes or labels; () for numbers and without labels."""
    return () if target is None else target.classes


def describe_rows(rows: int, inputs: Input) -> str:
    """Describes the number of rows, and whether they are pairs."""
    return f"{rows:,} {'rows' if inputs.name == 'text' else inputs.noun}"


class _Parts:
    """Assigns the rows of a stream to three parts, by one random number for each row.

    Attributes:
        sizes: int64 `(files, 3)`, rows of each file in each part.
    """

    def __init__(
        self, whole: TextStream, bounds: tuple[float, float], seed: int, depth: int
    ) -> None:
        self._whole = whole
        self._bounds = bounds
        # With the depth, a split of a part does not repeat the draw that made the part.
        self._key = (seed, depth)
        self._starts = np.cumsum([0, *(file.rows for file in whole.files)])
        self.sizes = np.zeros((len(whole.files), 3), np.int64)
        for number, file in enumerate(whole.files):
            first = int(self._starts[number])
            for start in range(first, first + file.rows, _DRAW_ROWS):
                stop = min(start + _DRAW_ROWS, first + file.rows)
                self.sizes[number] += np.bincount(self._assign(start, stop), minlength=3)

    def _assign(self, start: int, stop: int) -> npt.NDArray[np.intp]:
        first, last = start // _DRAW_ROWS, (stop - 1) // _DRAW_ROWS
        draws = [
            np.random.default_rng((*self._key, block)).random(_DRAW_ROWS)
            for block in range(first, last + 1)
        ]
        offset = first * _DRAW_ROWS
        numbers = np.concatenate(draws)[start - offset : stop - offset]
        return np.searchsorted(self._bounds, numbers, side="right")

    def _assigned_frames(self, number: int) -> Iterator[tuple[pd.DataFrame, npt.NDArray[np.intp]]]:
        start = int(self._starts[number])
        for frame in self._whole.files[number].frames():
            yield frame, self._assign(start, start + len(frame))
            start += len(frame)

    def frames(self, part: int, number: int) -> Iterator[pd.DataFrame]:
        for frame, parts in self._assigned_frames(number):
            chosen = frame[parts == part]
            if len(chosen):
                yield chosen

    def count_classes(self, part: int) -> npt.NDArray[np.int64]:
        return self._class_counts[part]

    @cached_property
    def _class_counts(self) -> npt.NDArray[np.int64]:
        target = self._whole.target
        counts = np.zeros((3, len(self._whole.classes)), np.int64)
        if target is not None and target.classes:
            for number in range(len(self.sizes)):
                for frame, parts in self._assigned_frames(number):
                    labels = target.labels(frame)
                    for part in range(3):
                        counts[part] += target.counts(labels[parts == part])
        return counts


def _regroup(frames: Iterable[pd.DataFrame], rows: int) -> Iterator[pd.DataFrame]:
    """Cuts frames of any length into frames of `rows` rows; the last may be shorter."""
    waiting: list[pd.DataFrame] = []
    room = rows
    for frame in frames:
        start = 0
        while start < len(frame):
            piece = frame.iloc[start : start + room]
            waiting.append(piece)
            start += len(piece)
            room -= len(piece)
            if not room:
                yield pd.concat(waiting) if len(waiting) > 1 else piece
                waiting, room = [], rows
    if waiting:
        yield pd.concat(waiting)


def balanced_weights(target: Target | None, class_counts: Mapping[str, int]) -> dict[int, float]:
    """Returns `rows / (num_classes * class_rows)` by label, for the classes that have rows.

    The formula of `sklearn.utils.class_weight.compute_class_weight("balanced", ...)`, from the
    counts only.

    Raises:
        ValueError: there are no classes.
    """
    if target is None:
        raise ValueError(
            "Class weights need labels. Read the table with label=. Received: no labels"
        )
    if not isinstance(target, OneOf):
        raise ValueError(
            "Class weights need one class for each row. Leave them out. Received: a table of "
            f"{target.noun} {shorten(target.names)}"
        )
    present = {label: rows for label, rows in enumerate(class_counts.values()) if rows}
    total = sum(present.values())
    return {label: total / (len(present) * rows) for label, rows in present.items()}


def fingerprint(frames: Iterable[pd.DataFrame], target: Target | None) -> str:
    """Returns 16 hex digits that identify the target and the rows in their order."""
    story: tuple[Any, ...] = classes_of(target)
    if target is not None and not isinstance(target, OneOf):
        story = (target.kind, target.names)
    digest = sha256(repr(story).encode())
    for frame in _regroup(frames, READ_ROWS):  # hashing turns all the texts into Python objects
        digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]
