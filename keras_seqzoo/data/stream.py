"""Checked rows of a frame or of files, and tables larger than memory that read them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import infer_dtype

from keras_seqzoo.data.reading import (
    READ_ROWS,
    declares_type,
    file_format,
    pick_column,
    read_frames,
    separator,
    shorten,
)

# Backed by pyarrow where it is installed: a text takes its bytes, not a Python object.
TEXT_DTYPE = pd.StringDtype(na_value=np.nan)
_SHOWN_ROWS = 5
# Rows that share one random generator. Another value would split every stream differently.
_DRAW_ROWS = 16_384


@dataclass(frozen=True)
class Rows:
    """The checked rows of a frame or of files; can be iterated any number of times.

    Iterating gives frames in the order of the rows: column `"text"` (str) and, unless `label` is
    `None`, `"label"` with the values as they were read. A fault is raised where it is found,
    missing values after the last row, when all of them have been counted.

    Attributes:
        name: what the user passed, for messages.
        text, label: column names or positions.
        drop_missing: leave rows without text or label out; otherwise they are an error.
        frame: the rows, or `None` to read `files`.
        files, encodings: the files in order, and the codec of each.
        options: the user's options for the pandas reader.
        stream: whether memory must stay constant.
    """

    name: str
    text: str | int
    label: str | int | None
    drop_missing: bool
    frame: pd.DataFrame | None = None
    files: tuple[Path, ...] = ()
    encodings: tuple[str | None, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False

    def is_untyped(self, column: str | int | None) -> bool:
        """Returns whether the column comes as written in CSV, where "2" may be a number."""
        return (
            self.frame is None
            and file_format(self.files[0]) == "csv"
            and not declares_type(self.options, column)
        )

    def __iter__(self) -> Iterator[pd.DataFrame]:
        tally = _Tally()
        likely: str | None = None
        for whole, picked in self._blocks():
            block = whole.reindex(columns=picked) if self.files else whole[picked]
            block = tally.without_missing(block)
            if block.empty:
                continue
            likely = _likely_text_column(whole, picked) if likely is None else likely
            columns = {"text": self._as_text(block.iloc[:, 0], likely)}
            if self.is_untyped(self.text):
                tally.look_at(columns["text"])
            if self.label is not None:
                columns["label"] = _without_categories(block.iloc[:, 1])
            yield pd.DataFrame(columns)
        self._check(tally, likely or "")

    def _check(self, tally: _Tally, likely: str) -> None:
        complete = tally.rows - tally.missing
        if complete and tally.only_numbers and self.is_untyped(self.text):
            raise self._not_text("only numbers", likely)
        if tally.missing and not self.drop_missing:
            raise ValueError(
                f"Every row must have a text{'' if self.label is None else ' and a label'}. Pass "
                f"na='drop' to leave the others out. Received: {self.name!r}, where "
                f"{tally.missing:,} of {tally.rows:,} rows are incomplete: row "
                f"{shorten(tally.first_missing)}{', …' if tally.missing > _SHOWN_ROWS else ''} "
                f"(counted from 1, without the header)"
            )
        if not complete:
            raise ValueError(
                f"A table needs at least one row. Check the file, and its header. "
                f"Received: {self.name!r} with {tally.rows:,} rows, {tally.missing:,} of them "
                f"incomplete"
            )
        by_tabs = bool(self.files) and separator(self.files[0], self.options) == "\t"
        if tally.merged and by_tabs and "quoting" not in self.options:
            warnings.warn(
                f"{tally.merged:,} texts of {self.name} hold tabs and line breaks: a quotation "
                f"mark has probably hidden the rows after it. If quotes are part of the texts "
                f"pass quoting=3; if such texts are right pass quoting=0.",
                UserWarning,
                stacklevel=5,
            )

    def _blocks(self) -> Iterator[tuple[pd.DataFrame, list[Hashable]]]:
        if self.frame is not None:
            yield self.frame, self._pick(list(self.frame.columns), self.name)
            return
        shared: list[Hashable] | None = None
        for path, encoding in zip(self.files, self.encodings, strict=True):
            pick = partial(self._pick, where=str(path))
            picked: list[Hashable] | None = None
            for columns, frame in read_frames(path, pick, encoding, self.options, self.stream):
                shared = columns if shared is None else shared
                # JSON lines may leave keys out, so that two files rarely have the same columns.
                if columns != shared and file_format(path) != "json":
                    raise ValueError(
                        f"All files of a table must have the same columns in the same order. "
                        f"Write them alike, or narrow the pattern. Received: {str(path)!r} with "
                        f"{shorten(columns)}; the files before it have {shorten(shared)}"
                    )
                picked = pick(columns) if picked is None else picked
                yield frame, picked

    def _pick(self, columns: Sequence[Hashable], where: str) -> list[Hashable]:
        picked = [pick_column(columns, self.text, "text", where)]
        if self.label is not None:
            picked.append(pick_column(columns, self.label, "label", where))
            if picked[0] == picked[1]:
                raise ValueError(
                    f"Text and label must be two columns. Pass label=None for rows without "
                    f"labels. Received: text={self.text!r}, label={self.label!r}"
                )
        return picked

    def _as_text(self, values: pd.Series, likely: str) -> pd.Series:
        values = _without_categories(values)
        kind = "string" if values.dtype == TEXT_DTYPE else infer_dtype(values)
        if kind != "string":
            raise self._not_text(f"{kind} values such as {shorten(values.tolist(), 3)}", likely)
        try:
            return values.astype(TEXT_DTYPE)
        except UnicodeEncodeError as error:
            raise ValueError(
                f"Texts must be valid Unicode. Replace halves of surrogate pairs, as in "
                f"text.encode('utf-8', 'replace').decode(). Received: {self.name!r}: {error}"
            ) from error

    def _not_text(self, found: str, likely: str) -> ValueError:
        return ValueError(
            f"The text column must hold strings. {likely}If these are texts, convert the column "
            f"to str (for a CSV file pass dtype={{{self.text!r}: str}}). "
            f"Received: text={self.text!r} of {self.name!r} with {found}"
        )


def _without_categories(values: pd.Series) -> pd.Series:
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.astype(values.dtype.categories.dtype)
    return values


def _all_numbers(texts: pd.Series) -> bool:
    # Nearly every column shows within a few rows that it is not one of numbers.
    return all(
        bool(pd.to_numeric(part, errors="coerce").notna().all()) for part in (texts[:32], texts)
    )


def _likely_text_column(frame: pd.DataFrame, picked: Sequence[Hashable]) -> str:
    """Suggests the column with the longest strings for a message; empty if there is none."""
    best, longest = "", 0.0
    for position, name in enumerate(frame.columns):
        values = frame.iloc[:100, position].dropna()
        if name in picked or infer_dtype(values) != "string" or _all_numbers(values):
            continue
        length = float(values.str.len().mean())
        if length > longest:
            best, longest = f"Did you mean text={name!r}? ", length
    return best


class _Tally:
    """What one pass over the rows has found."""

    def __init__(self) -> None:
        self.rows = 0
        self.missing = 0
        self.first_missing: list[int] = []
        self.only_numbers = True
        self.merged = 0

    def without_missing(self, block: pd.DataFrame) -> pd.DataFrame:
        """Counts the rows of a block, and returns those that are complete."""
        absent = block.isna().any(axis=1).to_numpy()
        found = np.flatnonzero(absent)
        room = _SHOWN_ROWS - len(self.first_missing)
        self.first_missing += (self.rows + 1 + found[:room]).tolist()
        self.missing += len(found)
        self.rows += len(block)
        return block[~absent] if len(found) else block

    def look_at(self, texts: pd.Series) -> None:
        """Looks for texts that are numbers, and for texts that hold the rows after them."""
        self.only_numbers = self.only_numbers and _all_numbers(texts)
        with_tabs = texts[texts.str.contains("\t", regex=False)]
        self.merged += int(with_tabs.str.contains("\n", regex=False).sum())


class TextStream:
    """Labelled texts that are read from files again and again, in constant memory.

    Made by `read_table(..., stream=True)` or from a glob pattern.

    Attributes:
        classes: class names in label order; `()` without labels.
        num_rows: number of rows, also `len(stream)`.
        encoding: codec the files were decoded with (several are joined by ", "), or `None`.
        source: the path or pattern, for messages.
    """

    def __init__(
        self,
        frames: Callable[[], Iterator[pd.DataFrame]],
        *,
        num_rows: int,
        classes: tuple[str, ...],
        count_classes: Callable[[], npt.NDArray[np.int64]],
        encoding: str | None,
        source: str,
        depth: int = 0,
    ) -> None:
        self.num_rows = num_rows
        self.classes = classes
        self.encoding = encoding
        self.source = source
        self._frames = frames
        self._count_classes = count_classes
        self._depth = depth

    def __len__(self) -> int:
        return self.num_rows

    def __repr__(self) -> str:
        classes = f"classes {shorten(self.classes)}" if self.classes else "no labels"
        return f"TextStream({self.source!r}, {self.num_rows:,} rows, {classes})"

    @cached_property
    def class_counts(self) -> dict[str, int]:
        """Rows of each class. For a part of a split, the first use reads the files once."""
        return dict(zip(self.classes, self._count_classes().tolist(), strict=True))

    def chunks(
        self, rows: int | None = None
    ) -> Iterator[tuple[npt.NDArray[np.object_], npt.NDArray[np.int32] | None]]:
        """Reads the rows in order, from the start at every call.

        Args:
            rows: rows in each chunk but the last. Default 16,384.

        Yields:
            `(texts, labels)`: an object array of str `(rows,)`, and int32 `(rows,)` or `None`
            without labels.

        Raises:
            ValueError: `rows` is not a positive integer, or the files have changed.
        """
        rows = READ_ROWS if rows is None else rows
        if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
            raise ValueError(f"rows must be a positive integer. Leave it out. Received: {rows!r}")
        return map(_arrays, _regroup(self._frames(), rows) if self.num_rows else iter(()))

    def class_weights(self) -> dict[int, float]:
        """Weights for `model.fit(class_weight=...)` that make classes count alike.

        Returns:
            `rows / (num_classes * class_rows)` by label, as scikit-learn's "balanced"; a class
            without rows has no weight.

        Raises:
            ValueError: the rows have no labels.
        """
        return balanced_weights(self.class_counts)

    def split(
        self, valid: float = 0.1, test: float = 0.1, seed: int = 0
    ) -> tuple[TextStream, TextStream, TextStream]:
        """Splits the rows at random into training, validation and test streams.

        Where a row goes depends on `seed` and its position alone. The fractions and the share of
        each class are therefore met on average only, closely where there are many rows; for an
        exact, stratified split read the file as a table.

        Args:
            valid: fraction of the rows; 0 makes that stream empty.
            test: as `valid`.
            seed: non-negative integer.

        Returns:
            `(train, valid, test)`, each with the classes of the whole.

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
                partial(parts.frames, part),
                num_rows=int(parts.sizes[part]),
                classes=self.classes,
                count_classes=partial(parts.count_classes, part),
                encoding=self.encoding,
                source=self.source,
                depth=self._depth + 1,
            )
            for part in range(3)
        )
        return train, validation, held_out

    def fingerprint(self) -> str:
        """Reads all rows and returns 16 hex digits that stand for texts, labels and classes.

        A `TextTable` of the same rows has the same fingerprint.
        """
        return fingerprint(self._frames() if self.num_rows else (), self.classes)


class _Parts:
    """Assigns the rows of a stream to three parts, by one random number a row.

    Attributes:
        sizes: int64 `(3,)`, rows in each part.
    """

    def __init__(
        self, whole: TextStream, bounds: tuple[float, float], seed: int, depth: int
    ) -> None:
        self._whole = whole
        self._bounds = bounds
        # The depth keeps the parts of a part from repeating the draw that made it.
        self._key = (seed, depth)
        self.sizes = np.zeros(3, np.int64)
        for start in range(0, whole.num_rows, _DRAW_ROWS):
            stop = min(start + _DRAW_ROWS, whole.num_rows)
            self.sizes += np.bincount(self._assign(start, stop), minlength=3)

    def _assign(self, start: int, stop: int) -> npt.NDArray[np.intp]:
        first, last = start // _DRAW_ROWS, (stop - 1) // _DRAW_ROWS
        draws = [
            np.random.default_rng((*self._key, block)).random(_DRAW_ROWS)
            for block in range(first, last + 1)
        ]
        offset = first * _DRAW_ROWS
        numbers = np.concatenate(draws)[start - offset : stop - offset]
        return np.searchsorted(self._bounds, numbers, side="right")

    def _assigned_frames(self) -> Iterator[tuple[pd.DataFrame, npt.NDArray[np.intp]]]:
        start = 0
        for frame in self._whole._frames():
            yield frame, self._assign(start, start + len(frame))
            start += len(frame)

    def frames(self, part: int) -> Iterator[pd.DataFrame]:
        for frame, parts in self._assigned_frames():
            chosen = frame[parts == part]
            if len(chosen):
                yield chosen

    def count_classes(self, part: int) -> npt.NDArray[np.int64]:
        return self._class_counts[part]

    @cached_property
    def _class_counts(self) -> npt.NDArray[np.int64]:
        num_classes = len(self._whole.classes)
        counts = np.zeros((3, num_classes), np.int64)
        if num_classes:
            for frame, parts in self._assigned_frames():
                np.add.at(counts, (parts, frame["label"].to_numpy()), 1)
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


def _arrays(
    frame: pd.DataFrame,
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int32] | None]:
    labels = frame["label"].to_numpy() if "label" in frame else None
    return frame["text"].to_numpy(dtype=object), labels


def balanced_weights(class_counts: Mapping[str, int]) -> dict[int, float]:
    """Returns `rows / (num_classes * class_rows)` by label, for the classes that have rows.

    The formula of `sklearn.utils.class_weight.compute_class_weight("balanced", ...)`, from counts
    alone.

    Raises:
        ValueError: there are no classes.
    """
    if not class_counts:
        raise ValueError(
            "Class weights need labels. Read the table with label=. Received: no labels"
        )
    present = {label: rows for label, rows in enumerate(class_counts.values()) if rows}
    total = sum(present.values())
    return {label: total / (len(present) * rows) for label, rows in present.items()}


def check_seed(seed: int) -> None:
    """Raises ValueError unless `seed` is an integer that NumPy and scikit-learn both take."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(
            f"seed must be an integer from 0 to 2**32 - 1. Use seed=0. Received: {seed!r}"
        )


def fingerprint(frames: Iterable[pd.DataFrame], classes: tuple[str, ...]) -> str:
    """Returns 16 hex digits that stand for the classes and the rows in their order."""
    digest = sha256(repr(classes).encode())
    for frame in _regroup(frames, READ_ROWS):  # hashing makes Python objects of all the texts
        digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]
