"""Tables of labelled texts: `read_table` reads one from many kinds of source, and checks it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

from keras_seqzoo.checks import warn
from keras_seqzoo.data.inputs import INPUTS, Input, text_columns
from keras_seqzoo.data.parts import TableParts
from keras_seqzoo.data.reading import QUOTING, encoding_of, shorten
from keras_seqzoo.data.rows import Column, Rows, Texts
from keras_seqzoo.data.sources import CLASSES, PARTS, as_frame, find_files, folder_parts, name_of
from keras_seqzoo.data.splitting import (
    check_seed,
    count_in_several,
    positions,
    rows_in,
    stratified_parts,
)
from keras_seqzoo.data.stream import (
    TextStream,
    balanced_weights,
    classes_of,
    describe_rows,
    encoded_frame,
    fingerprint,
    open_stream,
)
from keras_seqzoo.data.tags import SUFFIXES
from keras_seqzoo.data.targets import (
    TARGETS,
    Asked,
    Target,
    answer_numbers,
    ask,
    label_columns,
    learn_target,
)


@overload
def read_table(
    source: Mapping[str, Any],
    text: Texts = "text",
    label: Column | Sequence[Column] | None = "label",
    **options: Any,
) -> TableParts: ...


@overload
def read_table(
    source: Any,
    text: Texts = "text",
    label: Column | Sequence[Column] | None = "label",
    *,
    target: str | Target | None = None,
    label_sep: str | None = None,
    classes: Sequence[str] | None = None,
    na: str = "error",
    encoding: str | None = None,
    stream: bool = False,
    **read_options: Any,
) -> TextTable: ...


def read_table(
    source: Any,
    text: Texts = "text",
    label: Column | Sequence[Column] | None = "label",
    *,
    target: str | Target | None = None,
    label_sep: str | None = None,
    classes: Sequence[str] | None = None,
    na: str = "error",
    encoding: str | None = None,
    stream: bool = False,
    **read_options: Any,
) -> TextTable | TableParts:
    """Reads labelled texts, or pairs of texts, from files, a folder or a DataFrame.

    In CSV and Excel an empty field is missing; "NA", "null" and "None" are text.

    Every row has one class, or any number of labels, or numbers:

    - Classes are strings, whole numbers, booleans or a pandas categorical. The name of a string's
      class is its exact text, and all labels of text files are strings: "01", "1" and "1.0" are
      three classes (a number of a DataFrame, Parquet or JSON file, such as 1 or 1.0, is class
      "1"). Classes are sorted by name, or as numbers if all names are whole numbers written
      plainly.
    - Labels are columns of 0 and 1 (or booleans), named after the columns; or one column of lists,
      or of strings with a separator, named and sorted as classes. An empty list or string means
      that the row has no label.
    - Tagged pieces of a text (`target="tags"`) are spans `(start, end, type)` of characters, or
      tags of its words; see `data.tags.read_tagged` for the layouts of files.
    - Answers to questions (`target="answer"`) are parts of contexts: SQuAD's JSON, or columns of
      questions, contexts, answers and their starts; see `data.answers.read_answers`.
    - Numbers are one column or several. They are inferred if those in the first 16,384 rows have
      fractions, or if there are several columns and not all hold only 0 and 1.
      fractions, or where several columns are not of 0 and 1.

    Args:
        source: one of

            - a `.csv`, `.tsv`, `.jsonl`, `.parquet` or `.xlsx` file (the last with the extra
              `excel`; text formats also compressed, as in `.csv.gz`; any other suffix is read as
              CSV), a `.zip` file with one of these in it, or a pattern such as
              `"logs/part-*.csv"`, which is streamed;
            - an open file, or `"-"` for standard input; it is copied to a temporary file;
            - a folder with a sub-folder of `.txt` files for each class (one text in each file, at
              any depth; an empty one is missing), or with only `.txt` files, without labels
              (`label=None`). The folder `unsup` of the IMDB reviews is not a class and is left out;
            - a DataFrame of pandas, polars (a LazyFrame, too), pyarrow, DuckDB or anything else
              with `to_pandas` or Arrow's stream; or a `Dataset` of Hugging Face, whose numbered
              classes keep their names and order, and are missing if the number is -1;
            - the parts of a split: a mapping such as `{"train": "train.csv", "test": "test.csv"}`,
              a `DatasetDict`, or a folder of such folders named `train`, `test` or `validation`
              (or `valid`, `val`, `dev`).
        text: text column, by name or by position. A list such as `["title", "body"]` is joined to
            one text, with a line break between; missing parts are left out, and the text is missing
            if all parts are. A tuple of two such as `("sentence1", "sentence2")` is a pair.
        label: label column, by name or by position; a list of them for several labels or numbers;
            `None` for rows without labels.
        target: `"class"`, `"labels"`, `"number"`, `"tags"` or `"answer"`, if the
            default is not right: `"number"` for whole numbers that are not names, such as ratings;
            `"tags"` for files other than `.conll` and the like; `"answer"` always. To read a part
            of another table, its target, such as `train.target`.
        label_sep: the separator between the labels in a column of strings; `","` by default.
        classes: names of classes or labels in order, such as `train.classes` for a test file. By
            default those in the data. If the labels are 0, 1, … and these names are not numbers,
            the labels are positions in the names.
        na: `"error"`, or `"drop"` to leave out rows without text or label, and answers that are
            not in their context.
        encoding: codec of a text file. By default detected from the whole file.
        stream: whether to read the rows from the file again at every use, in constant memory. Then
            the result is a `TextStream`; for type checkers, use `stream_table`.
        **read_options: for `pandas.read_csv`, `read_json`, `read_parquet` or `read_excel`: `sep`,
            `quoting` (`"none"` if quotes are text, or a constant of `csv`), `names`,
            `sheet_name`, … (`names` means
            there is no header, unless `header` is given; `na_values` or `keep_default_na` replaces
            the rule above). A streamed parquet file passes them to
            `pyarrow.parquet.ParquetFile.iter_batches`.

    Returns:
        A `TextTable`; a `TextStream` with `stream=True` or for a pattern. For the parts of a split,
        `TableParts`, a dict of tables by name, whose `split` returns the three tables: the target
        is that of the training rows, and a part with no labels at all is read without labels.

    Raises:
        FileNotFoundError: no such file.
        ImportError: an Excel file, and openpyxl is not installed.
        TypeError: `source` is of another type.
        ValueError: an unsuitable argument, or a file that does not decode, does not parse, lacks
            a column or a value, has no rows, or has unsuitable texts or labels.

    Warns:
        UserWarning: the file is not UTF-8, its quotes seem to hide rows, the labels do not look
            like classes, numbers were inferred in a single column, or a folder, a sheet or the
            labels of a part were left out.

    Example:
        >>> frame = pd.DataFrame({"review": ["fine", "poor"], "sentiment": ["pos", "neg"]})
        >>> read_table(frame, text="review", label="sentiment").classes
        ('neg', 'pos')
    """
    is_path = isinstance(source, str | os.PathLike)
    if is_path and Path(source).expanduser().is_dir():
        source = folder_parts(Path(source).expanduser()) or source
    if isinstance(source, Mapping):
        options = {"na": na, "encoding": encoding, "stream": stream, **read_options}
        return _read_parts(source, text, label, target, label_sep, classes, options)
    if target is None and is_path and str(source).lower().endswith(SUFFIXES):
        target = "tags"
    frame = as_frame(source)
    if frame is not None and classes is None and target in (None, "class", "labels"):
        classes = frame.attrs.get(CLASSES, {}).get(label if isinstance(label, str) else None)
    asked = ask(target, classes, label_sep, label)
    if na not in ("error", "drop"):
        raise ValueError(f"na must be 'error' or 'drop'. Pass na='drop'. Received: na={na!r}")
    if pairs := [name for name in read_options if "pair" in name]:
        raise ValueError(
            'A pair of texts is a tuple of two columns, such as text=("question1", "question2"). '
            f"Received: {shorten(pairs)}"
        )
    owned = {"chunksize", "iterator"} & read_options.keys()
    if owned:
        raise ValueError(
            f"read_table sets these options itself. Pass stream=True for constant memory. "
            f"Received: {shorten(sorted(owned))}"
        )
    if isinstance(quoting := read_options.get("quoting"), str) and quoting not in QUOTING:
        raise ValueError(
            f"quoting must be one of {sorted(QUOTING)}, or a constant of the csv module. "
            f"Received: quoting={quoting!r}"
        )
    name = name_of(source)
    if asked.kind is not None and (read := TARGETS[asked.kind].read):
        if stream:
            raise ValueError(
                f"A table of the target {asked.kind!r} is read into memory, by read_table. Leave "
                f"`stream` out. Received: stream={stream}"
            )
        given = source if frame is None else frame
        frame = read(given, text, label, encoding, na == "drop", read_options)
        return _table(Rows(name, _texts(frame), "label", na == "drop", frame=frame), asked)
    if frame is not None:
        if stream or encoding is not None or read_options:
            raise ValueError(
                f"A DataFrame is read already. Leave stream, encoding and read options out, or "
                f"pass the file. Received: stream={stream}, encoding={encoding!r}, "
                f"options {shorten(list(read_options))}"
            )
        return _table(Rows(name, text, label, na == "drop", frame=frame), asked)
    files, is_pattern = find_files(source, encoding)
    encodings = tuple(encoding_of(file, encoding, read_options) for file in files)
    streamed = stream or is_pattern
    rows = Rows(
        name,
        text,
        label,
        na == "drop",
        files=tuple(files),
        encodings=encodings,
        options=read_options,
        stream=streamed,
        no_label_is_empty=asked.kind == "labels" and not asked.in_columns,
    )
    return cast(TextTable, open_stream(rows, asked)) if streamed else _table(rows, asked)


def stream_table(
    source: str | os.PathLike[str],
    text: Texts = "text",
    label: Column | Sequence[Column] | None = "label",
    **options: Any,
) -> TextStream:
    """Reads a table that is larger than memory: `read_table` with `stream=True`.

    Args:
        source: a file, or a pattern such as `"logs/part-*.csv"`.
        text: as in `read_table`.
        label: as in `read_table`.
        **options: as in `read_table`.

    Returns:
        A `TextStream`.

    Raises:
        ValueError: as `read_table`.
    """
    return cast(TextStream, read_table(source, text, label, **{**options, "stream": True}))


def _read_parts(
    parts: Mapping[str, Any],
    text: Any,
    label: Any,
    target: str | Target | None,
    label_sep: str | None,
    classes: Sequence[str] | None,
    options: dict[str, Any],
) -> TableParts:
    """Reads each part with the target of the training rows; a part with no labels, without it."""
    if not parts:
        raise ValueError(
            "There must be a part, such as {'train': 'train.csv', 'test': 'test.csv'}. Received: {}"
        )
    tables: dict[str, Any] = {}
    for name in sorted(parts, key=lambda name: PARTS.get(name) != "train"):
        frame = as_frame(parts[name])
        labels = None if frame is None or not isinstance(label, str) else frame.get(label)
        answers = {"label": label, "label_sep": label_sep, "target": target, "classes": classes}
        if labels is not None and np.all(pd.isna(labels)):
            warn(f"No row of the part {name!r} has a label: it is read without labels.")
            answers = {"label": None}
        try:
            table = read_table(parts[name] if frame is None else frame, text, **answers, **options)
        except ValueError as error:
            raise ValueError(f"{error}, in the part {name!r}") from error
        if table.target is not None:
            target, classes = table.target, None
        tables[name] = table
    return TableParts({name: tables[name] for name in parts})


def _texts(frame: pd.DataFrame) -> tuple[str, ...]:
    return tuple(str(name) for name in frame if name != "label")


def _table(rows: Rows, asked: Asked) -> TextTable:
    # The other columns of a block are not kept while the next block is read.
    blocks = [(block.texts, block.labels) for block in rows]
    texts = pd.concat([texts for texts, _ in blocks])
    learnt = None
    if rows.label is not None:
        untyped = rows.is_untyped(rows.label_columns[0])
        learnt = learn_target((labels for _, labels in blocks), asked, untyped, rows.name)
    numbers = texts.index.to_numpy()
    labels = pd.concat([labels for _, labels in blocks])
    return TextTable(
        encoded_frame(texts, labels, learnt).reset_index(drop=True),
        None if learnt is None else learnt.target,
        inputs=rows.inputs,
        encoding=rows.encoding,
        source=rows.name,
        row_numbers=numbers,
    )


class TextTable:
    """Texts and their labels in memory, over one pandas frame. Read one with `read_table`.

    Attributes:
        inputs: the input of a model: a text or a pair.
        target: the target to learn; `None` without labels.
        classes: names of classes or labels, in order; `()` for numbers and without labels.
        encoding: codec the file was decoded with; `None` if nothing was decoded.
        source: the path or other source of the rows, for messages.
        row_numbers: int `(rows,)`, the position of each row in the source: counted from 1, without
            the header, including rows that were left out. `take` and `split` keep them.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        target: Target | None,
        *,
        inputs: Input = INPUTS["text"],
        encoding: str | None = None,
        source: str = "texts",
        row_numbers: npt.NDArray[Any] | None = None,
    ) -> None:
        self.inputs = inputs
        self.target = target
        self.classes = classes_of(target)
        self.encoding = encoding
        self.source = source
        self.row_numbers = np.arange(1, len(frame) + 1) if row_numbers is None else row_numbers
        self._frame = frame

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[Any] | npt.NDArray[Any] | pd.Series | pd.DataFrame,
        labels: Sequence[Any] | npt.NDArray[Any] | pd.Series | pd.DataFrame | None = None,
        classes: Sequence[str] | None = None,
        target: str | Target | None = None,
    ) -> TextTable:
        """Makes a table from texts and their labels, if they have any.

        Args:
            texts: strings; or pairs of them, as a tuple `(firsts, seconds)` or as rows of two.
                Empty strings are kept.
            labels: one label for each text, as `read_table` takes them; lists of labels; or
                numbers (which may be 0 and 1), `(rows, names)`.
            classes: names of classes or labels in order, as in `read_table`; for columns, `"0"`,
                `"1"`, … by default.
            target: as in `read_table`.

        Raises:
            ValueError: as `read_table`, or `texts` and `labels` differ in length.
            TypeError: `texts` is a single string.
        """
        asked = ask(target, classes, None, None if labels is None else "label")
        if asked.kind is not None and (pair_up := TARGETS[asked.kind].pair_up):
            frame = pair_up(texts, labels)
            return _table(Rows("texts", _texts(frame), "label", False, frame=frame), asked)
        frame = pd.DataFrame(text_columns(texts))
        text = tuple(map(str, frame))
        if labels is None:
            return _table(Rows("texts", text, None, False, frame=frame), asked)
        columns, asked = label_columns(labels, asked)
        if len(columns) != len(frame):
            raise ValueError(
                f"Every text needs one label. Check how the two were made. "
                f"Received: {len(frame):,} texts, {len(columns):,} labels"
            )
        # By position: the names of label columns may be numbers.
        places = [place + len(text) for place in range(columns.shape[1])]
        frame = pd.concat([frame, columns.reset_index(drop=True)], axis=1)
        return _table(Rows("texts", text, places, False, frame=frame), asked)

    def __len__(self) -> int:
        return len(self._frame)

    def __repr__(self) -> str:
        rows = describe_rows(len(self), self.inputs)
        return f"TextTable({self.source!r}, {rows}, {self._describe_labels()})"

    def _describe_labels(self) -> str:
        if self.target is None or self.labels is None:
            return "no labels"
        names = [f"{name!r}: {rows:,}" for name, rows in self.class_counts.items()]
        if not self.target.classes:
            bounds = zip(self.labels.min(0), self.labels.max(0), strict=True) if len(self) else ()
            names = [f"{name!r}" for name in self.target.names]
            names = [
                f"{name}: {least:g} to {most:g}"
                for name, (least, most) in zip(names, bounds, strict=False)
            ] or names
        more = f", … {len(names) - 10:,} more" if len(names) > 10 else ""
        return f"{self.target.noun} {', '.join(names[:10])}{more}"

    @property
    def frame(self) -> pd.DataFrame:
        """A pandas frame: `text` (str), for pairs `text_pair` (str), then `target.columns`.

        These are `label` (int32) for classes, and `label_0`, … (float32) for labels and numbers.
        The frame shares its memory with the table until you write to it.
        """
        return self._frame.copy(deep=False)

    @cached_property
    def texts(self) -> npt.NDArray[np.object_]:
        """Texts as a read-only object array of str `(rows,)`, or `(rows, 2)` of pairs."""
        texts = self.inputs.texts(self._frame)
        texts.flags.writeable = False
        return texts

    @cached_property
    def labels(self) -> npt.NDArray[Any] | None:
        """Labels as a read-only array, or `None`.

        For classes, int32 `(rows,)`, positions in `classes`; for labels, float32 `(rows, names)` of
        0 and 1; for numbers, float32 `(rows, names)`.
        """
        if self.target is None:
            return None
        labels = self.target.labels(self._frame)
        labels.flags.writeable = False
        return labels

    @property
    def class_counts(self) -> dict[str, int]:
        """Rows of each class or label, by name and in order."""
        if self.target is None or self.labels is None:
            return {}
        counts = self.target.counts(self.labels)
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def class_weights(self) -> dict[int, float]:
        """Weights for `model.fit(class_weight=...)` that give all classes the same influence.

        Returns:
            `rows / (num_classes * class_rows)` by label, as scikit-learn's "balanced"; a class
            without rows has no weight.

        Raises:
            ValueError: the rows have no labels, or labels that are not classes.
        """
        return balanced_weights(self.target, self.class_counts)

    def fingerprint(self) -> str:
        """Returns 16 hex digits that identify texts, labels and target, in order."""
        return fingerprint([self._frame], self.target)

    def take(self, indices: Sequence[int] | npt.NDArray[Any]) -> TextTable:
        """Returns the rows at these positions, or those for which a mask `(rows,)` is true.

        Raises:
            ValueError: neither positions nor a mask as long as the table.
            IndexError: a position outside the table.
        """
        chosen = positions(indices, len(self))
        return TextTable(
            self._frame.iloc[chosen].reset_index(drop=True),
            self.target,
            inputs=self.inputs,
            encoding=self.encoding,
            source=self.source,
            row_numbers=self.row_numbers[chosen],
        )

    @property
    def questions(self) -> npt.NDArray[np.object_]:
        """Returns what a model's `predict` takes: the texts."""
        return self.texts

    def ids(self) -> npt.NDArray[np.uint64]:
        """Numbers rows `(rows,)`: equal if they differ only in case or surrounding space."""
        return self.inputs.ids(self._frame)

    def drop_duplicates(self) -> TextTable:
        """Keeps the first row of each text; case and surrounding space do not count.

        For pairs, keeps the first row of each two texts in their order.

        Warns:
            UserWarning: some texts occur with different labels.
        """
        ids = self.ids()
        if self.labels is not None:
            conflicts = count_in_several(ids, answer_numbers(self.labels))
            if conflicts:
                warn(
                    f"{conflicts:,} {self.inputs.noun} of {self.source} occur with different "
                    f"labels; each keeps the label of its first row. Check how these rows were "
                    f"labelled."
                )
        return self.take(~pd.Series(ids).duplicated().to_numpy())

    def split(
        self, valid: float = 0.1, test: float = 0.1, seed: int = 0
    ) -> tuple[TextTable, TextTable, TextTable]:
        """Splits the rows into training, validation and test tables with the same class shares.

        For labels, all parts have similar shares of each combination, as far as its rows allow; for
        numbers, similar shares of small and large ones.

        Args:
            valid: fraction below 1, or number of rows as an integer; 0 makes that table empty.
            test: as `valid`.
            seed: non-negative integer; the same seed gives the same split.

        Returns:
            `(train, valid, test)`, rows in random order, each with the target of the whole.

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
        if self.target is None or self.labels is None:
            order = stratified_parts(sizes, None, (), seed)
        else:
            order = self.target.draw(self.labels, sizes, seed)
        part_of = np.zeros(len(self), np.int8)
        for part, rows in enumerate(order):
            part_of[rows] = part
        shared = count_in_several(self.ids(), part_of)
        if shared:
            warn(
                f"{shared:,} {self.inputs.noun} of {self.source} are in more than one part of the "
                f"split: the model will have seen answers it is tested on. Drop them first: "
                f"table.drop_duplicates()."
            )
        train, validation, held_out = map(self.take, order)
        return train, validation, held_out
