"""The checked rows of a frame or of files: texts that are text, and nothing missing."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from keras_seqzoo.checks import warn
from keras_seqzoo.data.inputs import INPUTS, Input
from keras_seqzoo.data.reading import (
    declares_type,
    file_format,
    layout_hint,
    pick_column,
    read_frames,
    separator,
    shorten,
)

# Uses pyarrow if it is installed: then a text costs only its bytes, not a Python object.
TEXT_DTYPE = pd.StringDtype(na_value=np.nan)
_SHOWN_ROWS = 5


Column = str | int
"""A column of the source, by its name or by its position."""

Texts = Column | list[Column] | tuple[Column | list[Column], ...]
"""The column of a text; a list of columns to join; or, for pairs, a tuple of two of these."""

_BETWEEN = "\n"  # between columns that are joined to one text


class Block(NamedTuple):
    """Some checked rows; the index counts the rows of the source from 1.

    Attributes:
        file: number of the file that the rows come from.
        whole: the rows with all columns that were read.
        texts: the columns of an `Input`, str.
        labels: the label columns with the values as they were read, by their names in the source;
            no columns without labels.
    """

    file: int
    whole: pd.DataFrame
    texts: pd.DataFrame
    labels: pd.DataFrame


@dataclass(frozen=True)
class Rows:
    """The checked rows of a frame or of files; can be iterated any number of times.

    Iterating yields blocks in the order of the rows. An error is raised where the fault is found;
    for missing values, after the last row, so that all of them are counted.

    Attributes:
        name: the source that the user passed, for messages.
        text: the column of the texts, or a list of columns to join; for pairs, a tuple of two of
            these.
        label: label column, several, or `None` for rows without labels.
        drop_missing: whether to leave out rows without text or label; otherwise they are an error.
        no_label_is_empty: whether an empty label field of a CSV file means that the row has no
            label, instead of a missing one.
        frame: the rows, or `None` to read `files`.
        files, encodings: the files in order, and the codec of each.
        options: the user's options for the pandas reader.
        stream: whether memory must stay constant.
        whole: whether these are all the rows, at least one; False for one file of several.
        every_column: whether to read all columns of a parquet file, not only the needed ones.
    """

    name: str
    text: Texts
    label: Column | Sequence[Column] | None
    drop_missing: bool
    frame: pd.DataFrame | None = None
    files: tuple[Path, ...] = ()
    encodings: tuple[str | None, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False
    whole: bool = True
    every_column: bool = False
    no_label_is_empty: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.sides) <= 2 or not all(self.sides):
            raise ValueError(
                "A row has one text, or a pair of two. Pass text='column', text=['title', 'body'] "
                "for columns that are joined, or text=('first', 'second') for a pair. "
                f"Received: text={self.text!r}"
            )
        if self.label is not None and not self.label_columns:
            raise ValueError(
                "There must be a label column. Pass label=None for rows without labels. "
                "Received: label=[]"
            )

    @property
    def sides(self) -> tuple[tuple[Column, ...], ...]:
        """The columns of each text of a row, as the user names them."""
        sides = self.text if isinstance(self.text, tuple) else (self.text,)
        return tuple(map(_several, sides))

    @property
    def text_columns(self) -> tuple[Column, ...]:
        """The columns of the texts, as the user names them."""
        return tuple(chain.from_iterable(self.sides))

    @property
    def label_columns(self) -> tuple[Column, ...]:
        """The columns of the labels, as the user names them; () without labels."""
        return () if self.label is None else _several(self.label)

    @property
    def inputs(self) -> Input:
        """The input of a model: a text or a pair."""
        return INPUTS["text" if len(self.sides) == 1 else "pair"]

    @property
    def encoding(self) -> str | None:
        """The codecs of the files, joined by ", "; None if they have none."""
        return ", ".join(sorted({name for name in self.encodings if name})) or None

    def is_untyped(self, column: Column) -> bool:
        """Returns whether the column has the strings of a CSV file, where "2" may be a number."""
        return (
            self.frame is None
            and file_format(self.files[0]) == "csv"
            and not declares_type(self.options, column)
        )

    def file(self, number: int) -> Rows:
        """Returns the rows of one of the files; they count as checked."""
        files, encodings = self.files[number : number + 1], self.encodings[number : number + 1]
        return replace(self, name=str(files[0]), files=files, encodings=encodings, whole=False)

    def __iter__(self) -> Iterator[Block]:
        tally = _Tally()
        likely: str | None = None
        for number, whole, picked in self._blocks():
            block = whole.reindex(columns=picked) if self.files else whole[picked]
            if self.no_label_is_empty:
                block = block.fillna(dict.fromkeys(self._untyped_labels(picked), ""))
            likely = _likely_text_column(whole, picked) if likely is None else likely
            if len(self.text_columns) > len(self.sides):
                block = self._joined(block, likely)
            block = tally.without_missing(block)
            if block.empty:
                continue
            texts = {}
            for place, name in enumerate(self.inputs.columns):
                column = self.sides[place][0]
                texts[name] = self._as_text(block.iloc[:, place], column, likely)
                if self.is_untyped(column):
                    tally.look_at(texts[name], place)
            names = picked[len(self.text_columns) :]
            labels = {name: _without_categories(block[name]) for name in names}
            kept = whole.iloc[block.index - 1 - (tally.rows - len(whole))]
            yield Block(number, kept, pd.DataFrame(texts), pd.DataFrame(labels))
        if self.whole:
            self._check(tally, likely or "")

    def _untyped_labels(self, picked: Sequence[Hashable]) -> list[Hashable]:
        columns = zip(picked[len(self.text_columns) :], self.label_columns, strict=True)
        return [name for name, column in columns if self.is_untyped(column)]

    def _check(self, tally: _Tally, likely: str) -> None:
        complete = tally.rows - tally.missing
        for place, (column, *_) in enumerate(self.sides):
            if complete and place not in tally.with_words and self.is_untyped(column):
                raise self._not_text("only numbers", column, likely)
        if tally.missing and not self.drop_missing:
            parts = "a text" if len(self.sides) == 1 else "both texts of a pair"
            if self.label is not None:
                parts += " and a label" if len(self.label_columns) == 1 else " and all labels"
            raise ValueError(
                f"Every row must have {parts}. Pass "
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
            warn(
                f"{tally.merged:,} texts of {self.name} hold tabs and line breaks: a quotation "
                f"mark has probably hidden the rows after it. If quotes are part of the texts "
                f"pass quoting='none'; if such texts are right pass quoting='minimal'."
            )

    def _blocks(self) -> Iterator[tuple[int, pd.DataFrame, list[Hashable]]]:
        if self.frame is not None:
            yield 0, self.frame, self._pick(list(self.frame.columns), self.name)
            return
        shared: list[Hashable] | None = None
        for number, path in enumerate(self.files):
            encoding = self.encodings[number]
            hint = partial(layout_hint, path, encoding, self.options)
            pick = partial(
                self._pick, where=str(path), hint=hint if file_format(path) == "csv" else str
            )
            picked: list[Hashable] | None = None
            wanted = list if self.every_column else pick
            for columns, frame in read_frames(path, wanted, encoding, self.options, self.stream):
                shared = columns if shared is None else shared
                # JSON lines may leave out keys, so two files rarely have the same columns.
                if columns != shared and file_format(path) != "json":
                    raise ValueError(
                        f"All files of a table must have the same columns in the same order. "
                        "Give them the same columns, or narrow the pattern. Received: "
                        f"{str(path)!r} with "
                        f"{shorten(columns)}; the files before it have {shorten(shared)}"
                    )
                picked = pick(columns) if picked is None else picked
                yield number, frame, picked

    def _pick(
        self, columns: Sequence[Hashable], where: str, hint: Callable[[], str] = str
    ) -> list[Hashable]:
        texts = [pick_column(columns, c, "text", where, hint) for c in self.text_columns]
        labels = [pick_column(columns, c, "label", where, hint) for c in self.label_columns]
        if len(set(texts)) < len(texts):
            raise ValueError(
                "A text must be made of different columns. Name each once. Received: "
                f"text={self.text!r}"
            )
        if set(texts) & set(labels):
            raise ValueError(
                f"Text and label must be two columns. Pass label=None for rows without "
                f"labels. Received: text={self.text!r}, label={self.label!r}"
            )
        if len(set(labels)) < len(labels):
            raise ValueError(
                f"Each label column must be named once. Leave the repeated names out. Received: "
                f"label={self.label!r}"
            )
        return texts + labels

    def _joined(self, block: pd.DataFrame, likely: str) -> pd.DataFrame:
        """Joins the columns of a text to one; the text is missing if all of them are."""
        columns, start = [], 0
        for names in self.sides:
            side = block.iloc[:, start : start + len(names)].apply(_without_categories)
            start += len(names)
            for place, name in enumerate(names):
                if len(there := side.iloc[:, place].dropna()):
                    self._as_text(there, name, likely)
            rows = side.astype(object).where(side.notna(), "").itertuples(index=False, name=None)
            texts = pd.Series([_BETWEEN.join(filter(None, row)) for row in rows], block.index)
            columns.append(texts.astype(object).where(side.notna().any(axis=1), None))
        return pd.concat([*columns, block.iloc[:, start:]], axis=1)

    def _as_text(self, values: pd.Series, column: Column, likely: str) -> pd.Series:
        values = _without_categories(values)
        kind = "string" if values.dtype == TEXT_DTYPE else infer_dtype(values)
        if kind != "string":
            if pd.api.types.is_list_like(values.iloc[0]):
                raise ValueError(
                    "A text is one string. Join lists of words first, as in "
                    "frame['text'].str.join(' '). "
                    f"Received: text={column!r} of {self.name!r} with "
                    f"{shorten([values.iloc[0]])}"
                )
            found = f"{kind} values such as {shorten(values.tolist(), 3)}"
            raise self._not_text(found, column, likely)
        try:
            return values.astype(TEXT_DTYPE)
        except UnicodeEncodeError as error:
            raise ValueError(
                f"Texts must be valid Unicode. Replace halves of surrogate pairs, as in "
                f"text.encode('utf-8', 'replace').decode(). Received: {self.name!r}: {error}"
            ) from error

    def _not_text(self, found: str, column: Column, likely: str) -> ValueError:
        return ValueError(
            f"The text column must hold strings. {likely}If these are texts, convert the column "
            f"to str (for a CSV or Excel file pass dtype={{{column!r}: 'str'}}). "
            f"Received: text={column!r} of {self.name!r} with {found}"
        )


def _several(columns: Column | Sequence[Column]) -> tuple[Column, ...]:
    return (
        (columns,)
        if isinstance(columns, str) or not isinstance(columns, Sequence)
        else tuple(columns)
    )


def _without_categories(values: pd.Series) -> pd.Series:
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.astype(values.dtype.categories.dtype)
    return values


def _all_numbers(texts: pd.Series) -> bool:
    # In nearly every column, the first few rows show that it does not hold numbers.
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
    """The findings of one pass over the rows."""

    def __init__(self) -> None:
        self.rows = 0
        self.missing = 0
        self.first_missing: list[int] = []
        self.with_words: set[int] = set()
        self.merged = 0

    def without_missing(self, block: pd.DataFrame) -> pd.DataFrame:
        """Counts and numbers the rows of a block, and returns the complete ones."""
        block = block.set_axis(range(self.rows + 1, self.rows + len(block) + 1))
        absent = block.isna().any(axis=1).to_numpy()
        found = np.flatnonzero(absent)
        room = _SHOWN_ROWS - len(self.first_missing)
        self.first_missing += (self.rows + 1 + found[:room]).tolist()
        self.missing += len(found)
        self.rows += len(block)
        return block[~absent] if len(found) else block

    def look_at(self, texts: pd.Series, place: int) -> None:
        """Looks for texts that are numbers, and for texts that contain the rows after them."""
        if place not in self.with_words and not _all_numbers(texts):
            self.with_words.add(place)
        with_tabs = texts[texts.str.contains("\t", regex=False)]
        self.merged += int(with_tabs.str.contains("\n", regex=False).sum())
