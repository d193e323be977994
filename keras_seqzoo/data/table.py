"""Tables of labelled texts: `read_table` reads one from a file or a DataFrame, and checks it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

from keras_seqzoo.data.encoding import choose_encoding
from keras_seqzoo.data.labels import Classes
from keras_seqzoo.data.reading import QUOTING, file_format, find_files, shorten
from keras_seqzoo.data.rows import Rows
from keras_seqzoo.data.splitting import (
    check_seed,
    count_in_several,
    rows_in,
    stratified_parts,
    text_ids,
)
from keras_seqzoo.data.stream import TextStream, balanced_weights, fingerprint, open_stream


@overload
def read_table(
    source: str | os.PathLike[str] | pd.DataFrame,
    text: str | int = "text",
    label: str | int | None = "label",
    *,
    classes: Sequence[str] | None = None,
    na: str = "error",
    encoding: str | None = None,
    stream: Literal[False] = False,
    **read_options: Any,
) -> TextTable: ...


@overload
def read_table(
    source: str | os.PathLike[str] | pd.DataFrame,
    text: str | int = "text",
    label: str | int | None = "label",
    *,
    classes: Sequence[str] | None = None,
    na: str = "error",
    encoding: str | None = None,
    stream: Literal[True],
    **read_options: Any,
) -> TextStream: ...


@overload
def read_table(
    source: str | os.PathLike[str] | pd.DataFrame,
    text: str | int = "text",
    label: str | int | None = "label",
    *,
    classes: Sequence[str] | None = None,
    na: str = "error",
    encoding: str | None = None,
    stream: bool,
    **read_options: Any,
) -> TextTable | TextStream: ...


def read_table(
    source: str | os.PathLike[str] | pd.DataFrame,
    text: str | int = "text",
    label: str | int | None = "label",
    *,
    classes: Sequence[str] | None = None,
    na: str = "error",
    encoding: str | None = None,
    stream: bool = False,
    **read_options: Any,
) -> TextTable | TextStream:
    """Reads labelled texts from a file, several files or a DataFrame.

    In CSV an empty field is missing, and "NA", "null" or "None" are text.

    Labels may be strings, whole numbers, booleans or a pandas categorical. The name of a string's
    class is its exact text, and all labels of text files are strings: "01", "1" and "1.0" are
    three classes (a number of a DataFrame, Parquet or JSON file, such as 1 or 1.0, is class "1").
    Classes are sorted by name; where all names are whole numbers written plainly, as numbers.

    Args:
        source: a `.csv`, `.tsv`, `.jsonl` or `.parquet` file (text formats also compressed, as in
            `.csv.gz`; any other suffix is read as CSV), a DataFrame, or a pattern such as
            `"logs/part-*.csv"`, which is streamed.
        text: text column, by name or by position.
        label: label column, by name or by position, with one class a row; `None` for rows without
            labels.
        classes: class names in label order, such as `train.classes` for a test file. By default
            those in the data. Where the labels are 0, 1, … and these names are not numbers, the
            labels are positions in them.
        na: `"error"`, or `"drop"` to leave rows without text or label out.
        encoding: codec of a text file. By default detected from the whole file.
        stream: read the rows anew from the file at every use, in constant memory. Type checkers
            need it for a pattern too.
        **read_options: for `pandas.read_csv`, `read_json` or `read_parquet`: `sep`, `quoting`
            (`"none"` where quotes are text, or a constant of `csv`), `names`, … (`names` means
            there is no header, unless `header` is given; `na_values` or `keep_default_na` replaces
            the rule above). A streamed parquet file passes them to
            `pyarrow.parquet.ParquetFile.iter_batches`.

    Returns:
        A `TextTable`, or a `TextStream` when streaming.

    Raises:
        FileNotFoundError: no such file.
        TypeError: `source` is neither a path nor a DataFrame.
        ValueError: an unsuitable argument, or a file that does not decode, does not parse, lacks
            a column or a value, has no rows, or has unsuitable texts or labels.

    Warns:
        UserWarning: the file is not UTF-8, its quotes seem to hide rows, or the labels hardly
            look like classes.

    Example:
        >>> frame = pd.DataFrame({"review": ["fine", "poor"], "sentiment": ["pos", "neg"]})
        >>> read_table(frame, text="review", label="sentiment").classes
        ('neg', 'pos')
    """
    if na not in ("error", "drop"):
        raise ValueError(f"na must be 'error' or 'drop'. Pass na='drop'. Received: na={na!r}")
    owned = {"chunksize", "iterator"} & read_options.keys()
    if owned:
        raise ValueError(
            f"Blocks are read by read_table itself. Pass stream=True for constant memory. "
            f"Received: {shorten(sorted(owned))}"
        )
    if isinstance(quoting := read_options.get("quoting"), str) and quoting not in QUOTING:
        raise ValueError(
            f"quoting must be one of {sorted(QUOTING)}, or a constant of the csv module. "
            f"Received: quoting={quoting!r}"
        )
    if isinstance(source, pd.DataFrame):
        if stream or encoding is not None or read_options:
            raise ValueError(
                f"A DataFrame is read already. Leave stream, encoding and read options out, or "
                f"pass the file. Received: stream={stream}, encoding={encoding!r}, "
                f"options {shorten(list(read_options))}"
            )
        return _table(Rows("DataFrame", text, label, na == "drop", frame=source), classes)
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            f"source must be a path, a pattern or a DataFrame. For lists of texts use "
            f"TextTable.from_texts. Received: {type(source).__name__}"
        )
    files, is_pattern = find_files(source)
    encodings = tuple(
        None if file_format(file) == "parquet" else choose_encoding(file, encoding, read_options)
        for file in files
    )
    streamed = stream or is_pattern
    rows = Rows(
        os.fspath(source),
        text,
        label,
        na == "drop",
        files=tuple(files),
        encodings=encodings,
        options=read_options,
        stream=streamed,
    )
    return open_stream(rows, classes) if streamed else _table(rows, classes)


def _table(rows: Rows, given: Sequence[str] | None) -> TextTable:
    frame = pd.concat(list(rows))
    numbers = frame.index.to_numpy()
    frame = frame.reset_index(drop=True)
    if rows.label is None:
        return TextTable(frame, (), encoding=rows.encoding, source=rows.name, row_numbers=numbers)
    known = Classes.learn([frame["label"]], given, rows.is_untyped(rows.label), rows.name)
    frame["label"] = known.encode(frame["label"])
    return TextTable(
        frame, known.names, encoding=rows.encoding, source=rows.name, row_numbers=numbers
    )


class TextTable:
    """Texts and their labels in memory, over one pandas frame. Read one with `read_table`.

    Attributes:
        classes: class names in label order; `()` without labels.
        encoding: codec the file was decoded with; `None` where there was none to decode.
        source: the path, or what else the rows came from, for messages.
        row_numbers: int `(rows,)`, where each row stands in the source: counted from 1, without the
            header, rows that were left out included. `take` and `split` keep them.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        classes: tuple[str, ...],
        *,
        encoding: str | None = None,
        source: str = "texts",
        row_numbers: npt.NDArray[Any] | None = None,
    ) -> None:
        self.classes = classes
        self.encoding = encoding
        self.source = source
        self.row_numbers = np.arange(1, len(frame) + 1) if row_numbers is None else row_numbers
        self._frame = frame

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[str] | npt.NDArray[Any] | pd.Series,
        labels: Sequence[Any] | npt.NDArray[Any] | pd.Series | None = None,
        classes: Sequence[str] | None = None,
    ) -> TextTable:
        """Makes a table from texts and, if there are any, their labels.

        Args:
            texts: strings; empty ones are kept.
            labels: one label for each text, as `read_table` takes them.
            classes: class names in label order, as in `read_table`.

        Raises:
            ValueError: as `read_table`, or `texts` and `labels` differ in length.
            TypeError: `texts` is a single string.
        """
        if isinstance(texts, str | bytes):
            raise TypeError(
                f"texts must be a sequence of strings. Put one text in a list. Received: {texts!r}"
            )
        # object: pandas would reject half of a surrogate pair before it could be explained.
        columns = {"text": pd.Series(list(texts), dtype=object)}
        if labels is not None:
            columns["label"] = pd.Series(list(labels))
            if len(columns["label"]) != len(columns["text"]):
                raise ValueError(
                    f"Every text needs one label. Check how the two were made. "
                    f"Received: {len(columns['text']):,} texts, {len(columns['label']):,} labels"
                )
        label = None if labels is None else "label"
        return _table(Rows("texts", "text", label, False, frame=pd.DataFrame(columns)), classes)

    def __len__(self) -> int:
        return len(self._frame)

    def __repr__(self) -> str:
        counts = [f"{name!r}: {rows:,}" for name, rows in self.class_counts.items()]
        more = f", … {len(counts) - 10:,} more" if len(counts) > 10 else ""
        classes = f"classes {', '.join(counts[:10])}{more}" if counts else "no labels"
        return f"TextTable({self.source!r}, {len(self):,} rows, {classes})"

    @property
    def frame(self) -> pd.DataFrame:
        """A pandas frame with `text` (str) and, with labels, `label` (int32).

        It shares its memory with the table until it is written to.
        """
        return self._frame.copy(deep=False)

    @cached_property
    def texts(self) -> npt.NDArray[np.object_]:
        """Texts as a read-only object array of str `(rows,)`, made at first use."""
        texts = self._frame["text"].to_numpy(dtype=object, copy=True)
        texts.flags.writeable = False
        return texts

    @cached_property
    def labels(self) -> npt.NDArray[np.int32] | None:
        """Labels as a read-only int32 array `(rows,)`: positions in `classes`; or `None`."""
        if "label" not in self._frame:
            return None
        labels = self._frame["label"].to_numpy(copy=True)
        labels.flags.writeable = False
        return labels

    @property
    def class_counts(self) -> dict[str, int]:
        """Rows of each class, by name and in label order."""
        if self.labels is None:
            return {}
        counts = np.bincount(self.labels, minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def class_weights(self) -> dict[int, float]:
        """Weights for `model.fit(class_weight=...)` that make classes count alike.

        Returns:
            `rows / (num_classes * class_rows)` by label, as scikit-learn's "balanced"; a class
            without rows has no weight.

        Raises:
            ValueError: the rows have no labels.
        """
        return balanced_weights(self.class_counts)

    def fingerprint(self) -> str:
        """Returns 16 hex digits that stand for texts, labels and classes, in order."""
        return fingerprint([self._frame], self.classes)

    def take(self, indices: Sequence[int] | npt.NDArray[Any]) -> TextTable:
        """Returns the rows at these positions, or where a boolean mask `(rows,)` is true.

        Raises:
            ValueError: neither positions nor a mask as long as the table.
            IndexError: a position outside the table.
        """
        chosen = np.asarray(indices)
        if chosen.dtype == bool and chosen.shape == (len(self),):
            chosen = np.flatnonzero(chosen)
        elif chosen.size == 0:
            chosen = chosen.astype(np.intp)
        elif chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            raise ValueError(
                f"indices must be row positions, or one boolean for each of the {len(self):,} "
                f"rows. Received: {chosen.dtype} of shape {chosen.shape}"
            )
        frame = self._frame.iloc[chosen].reset_index(drop=True)
        return TextTable(
            frame,
            self.classes,
            encoding=self.encoding,
            source=self.source,
            row_numbers=self.row_numbers[chosen],
        )

    def drop_duplicates(self) -> TextTable:
        """Keeps the first row of each text, where case and surrounding space do not count.

        Warns:
            UserWarning: some texts occur with different labels.
        """
        ids = text_ids(self._frame["text"])
        if self.labels is not None:
            conflicts = count_in_several(ids, self.labels)
            if conflicts:
                warnings.warn(
                    f"{conflicts:,} texts of {self.source} occur with different labels; each "
                    f"keeps the label of its first row. Check how these rows were labelled.",
                    UserWarning,
                    stacklevel=2,
                )
        return self.take(~pd.Series(ids).duplicated().to_numpy())

    def split(
        self, valid: float = 0.1, test: float = 0.1, seed: int = 0
    ) -> tuple[TextTable, TextTable, TextTable]:
        """Splits the rows into training, validation and test tables with the same class shares.

        Args:
            valid: fraction below 1, or number of rows as an integer; 0 makes that table empty.
            test: as `valid`.
            seed: non-negative integer; the same seed gives the same split.

        Returns:
            `(train, valid, test)`, rows in random order, each with the classes of the whole.

        Raises:
            ValueError: unsuitable sizes or seed, or a class with too few rows for these sizes.

        Warns:
            UserWarning: texts occur in more than one of the tables.
        """
        check_seed(seed)
        sizes = [rows_in(len(self), "valid", valid), rows_in(len(self), "test", test)]
        sizes.insert(0, len(self) - sum(sizes))
        if sizes[0] < 1:
            raise ValueError(
                f"valid and test must leave rows to train on. Make them smaller. "
                f"Received: valid={valid!r}, test={test!r} of {len(self):,} rows"
            )
        order = stratified_parts(sizes, self.labels, self.classes, seed)
        part_of = np.zeros(len(self), np.int8)
        for part, rows in enumerate(order):
            part_of[rows] = part
        shared = count_in_several(text_ids(self._frame["text"]), part_of)
        if shared:
            warnings.warn(
                f"{shared:,} texts of {self.source} are in more than one part of the split: the "
                f"model will have seen answers it is tested on. Split "
                f"table.drop_duplicates() instead.",
                UserWarning,
                stacklevel=2,
            )
        train, validation, held_out = map(self.take, order)
        return train, validation, held_out
