"""Tables of labelled texts: `read_table` reads one from a file or a DataFrame, and checks it."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import infer_dtype
from sklearn.model_selection import train_test_split

from keras_seqzoo.data.reading import (
    NUMBER,
    READ_ROWS,
    choose_encoding,
    file_format,
    find_files,
    shorten,
)
from keras_seqzoo.data.stream import (
    Rows,
    TextStream,
    balanced_weights,
    check_seed,
    fingerprint,
)

_KINDS = {
    "string": "string",
    "integer": "number",
    "floating": "number",
    "mixed-integer-float": "number",
    "boolean": "boolean",
}


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

    In CSV an empty field is missing, and "NA", "null" or "None" are text. Labels may be strings,
    whole numbers (1.0 is class "1"), booleans or a pandas categorical.

    Args:
        source: a `.csv`, `.tsv`, `.jsonl` or `.parquet` file (text formats also compressed, as in
            `.csv.gz`; any other suffix is read as CSV), a DataFrame, or a pattern such as
            `"logs/part-*.csv"`, which is streamed.
        text: text column, by name or by position.
        label: label column, by name or by position; `None` for rows without labels.
        classes: class names in label order, such as `train.classes` for a test file. By default
            the sorted labels of the data. Where the labels are 0, 1, … and these names are not
            numbers, the labels are positions in them.
        na: `"error"`, or `"drop"` to leave rows without text or label out.
        encoding: codec of a text file. By default detected from the whole file.
        stream: read the rows anew from the file at every use, in constant memory. Type checkers
            need it for a pattern too.
        **read_options: for `pandas.read_csv`, `read_json` or `read_parquet`: `sep`, `quoting`,
            `names`, … (`names` means there is no header, unless `header` is given; `na_values` or
            `keep_default_na` replaces the rule above). A streamed parquet file passes them to
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
    return _stream(rows, classes) if streamed else _table(rows, classes)


def _table(rows: Rows, given: Sequence[str] | None) -> TextTable:
    frame = pd.concat(list(rows), ignore_index=True)
    if rows.label is None:
        return TextTable(frame, (), encoding=_encoding_name(rows), source=rows.name)
    known = Classes.learn([frame["label"]], given, rows.is_untyped(rows.label), rows.name)
    frame["label"] = known.encode(frame["label"])
    return TextTable(frame, known.names, encoding=_encoding_name(rows), source=rows.name)


def _stream(rows: Rows, given: Sequence[str] | None) -> TextStream:
    if rows.label is None:
        known, num_rows = Classes((), {}, {}), sum(len(frame) for frame in rows)
    else:
        labels = (frame["label"] for frame in rows)
        known = Classes.learn(labels, given, rows.is_untyped(rows.label), rows.name)
        num_rows = int(known.counts.sum())

    def frames() -> Iterator[pd.DataFrame]:
        rows_read = 0
        for frame in rows:
            if rows.label is not None:
                frame["label"] = known.encode(frame["label"])
            rows_read += len(frame)
            yield frame
        if rows_read != num_rows:
            raise ValueError(
                f"A file must not change while it is streamed. Call read_table again. "
                f"Received: {rows.name!r} with {rows_read:,} rows, not {num_rows:,} as before"
            )

    return TextStream(
        frames,
        num_rows=num_rows,
        classes=known.names,
        count_classes=lambda: known.counts,
        encoding=_encoding_name(rows),
        source=rows.name,
    )


def _encoding_name(rows: Rows) -> str | None:
    return ", ".join(sorted({name for name in rows.encodings if name})) or None


class TextTable:
    """Texts and their labels in memory, over one pandas frame. Read one with `read_table`.

    Attributes:
        classes: class names in label order; `()` without labels.
        encoding: codec the file was decoded with; `None` where there was none to decode.
        source: the path, or what else the rows came from, for messages.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        classes: tuple[str, ...],
        *,
        encoding: str | None = None,
        source: str = "texts",
    ) -> None:
        self.classes = classes
        self.encoding = encoding
        self.source = source
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
        return TextTable(frame, self.classes, encoding=self.encoding, source=self.source)

    def drop_duplicates(self) -> TextTable:
        """Keeps the first row of each text, where case and surrounding space do not count.

        Warns:
            UserWarning: some texts occur with different labels.
        """
        ids = _text_ids(self._frame["text"])
        if self.labels is not None:
            conflicts = _count_in_several(ids, self.labels)
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
        sizes = [self._rows_in("valid", valid), self._rows_in("test", test)]
        sizes.insert(0, len(self) - sum(sizes))
        if sizes[0] < 1:
            raise ValueError(
                f"valid and test must leave rows to train on. Make them smaller. "
                f"Received: valid={valid!r}, test={test!r} of {len(self):,} rows"
            )
        self._check_class_sizes(sizes)
        part_of = np.zeros(len(self), np.int8)
        rest = np.arange(len(self))
        order = [rest, rest[:0], rest[:0]]
        for part in (2, 1):
            if sizes[part]:
                rest, order[part] = self._draw(rest, sizes[part], seed)
                part_of[order[part]] = part
        order[0] = rest
        shared = _count_in_several(_text_ids(self._frame["text"]), part_of)
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

    def _rows_in(self, name: str, size: float) -> int:
        is_count = isinstance(size, int | np.integer) and not isinstance(size, bool)
        if is_count and size >= 0:
            return int(size)
        if isinstance(size, float) and 0 <= size < 1:
            return max(1, round(size * len(self))) if size else 0
        raise ValueError(
            f"{name} must be a fraction from 0 to below 1, or a number of rows as an integer. "
            f"Use {name}=0.1, or {name}=0 for none. Received: {name}={size!r}"
        )

    def _check_class_sizes(self, sizes: Sequence[int]) -> None:
        present = {name: rows for name, rows in self.class_counts.items() if rows}
        parts = [size for size in sizes if size]
        small = [f"{name} ({rows})" for name, rows in present.items() if rows < len(parts)]
        if small:
            raise ValueError(
                f"Each class needs a row for each of the {len(parts)} parts of a split. Merge or "
                f"drop the small classes, or pass valid=0 or test=0. "
                f"Received: classes {shorten(small)}"
            )
        if len(parts) > 1 and min(parts) < len(present):
            raise ValueError(
                f"Each part of a stratified split needs at least as many rows as there are "
                f"classes. Make valid and test larger, or 0. Received: parts of "
                f"{', '.join(map(str, sizes))} rows, {len(present)} classes"
            )

    def _draw(
        self, rows: npt.NDArray[np.intp], size: int, seed: int
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        strata = None if self.labels is None else self.labels[rows]
        if strata is not None:
            counts = np.bincount(strata, minlength=len(self.classes))
            single = [self.classes[label] for label in np.flatnonzero(counts == 1)]
            if single:
                raise ValueError(
                    f"Test rows must leave two rows of each class for training and validation. "
                    f"Make test smaller, or merge or drop the small classes. "
                    f"Received: one row left of {shorten(single)}"
                )
        rest, drawn = train_test_split(rows, test_size=size, random_state=seed, stratify=strata)
        return rest, drawn


def _text_ids(texts: pd.Series) -> npt.NDArray[np.uint64]:
    """Numbers texts so that those which differ in case or surrounding space only are equal.

    The numbers are 64-bit hashes, so that only they, not the folded texts, are in memory at once.
    """
    ids = np.zeros(len(texts), np.uint64)
    for start in range(0, len(texts), READ_ROWS):
        block = texts.iloc[start : start + READ_ROWS].str.strip().str.casefold()
        ids[start : start + READ_ROWS] = pd.util.hash_pandas_object(block, index=False)
    return ids


def _count_in_several(ids: npt.NDArray[np.uint64], groups: npt.NDArray[Any]) -> int:
    """Counts the ids that occur in more than one group."""
    pairs = pd.DataFrame({"id": ids, "group": groups}).drop_duplicates()
    return int(pairs.loc[pairs["id"].duplicated(), "id"].nunique())


class Classes:
    """Class names in label order, and the values in the data that stand for each.

    Attributes:
        names: class names.
        counts: int64 `(num_classes,)`, rows of each class.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        positions: Mapping[Hashable, int],
        rows: Mapping[Hashable, int],
    ) -> None:
        self.names = names
        self.counts = np.zeros(len(names), np.int64)
        for value, position in positions.items():
            self.counts[position] += rows[value]
        self._positions = positions

    @classmethod
    def learn(
        cls, labels: Iterable[pd.Series], given: Sequence[str] | None, untyped: bool, where: str
    ) -> Classes:
        """Reads all labels, a block at a time, and names their classes.

        Strings are sorted as strings, numbers as numbers, and `False` comes before `True`.

        Args:
            labels: the label column in blocks, no value missing.
            given: class names in label order, instead of sorting those in the data.
            untyped: whether strings that all look like numbers are numbers, as in CSV.
            where: the table's source, for messages.

        Raises:
            ValueError: labels of several or unsuitable types, fewer than two classes, or labels
                outside `given`.

        Warns:
            UserWarning: more than 50 classes, with fewer than two rows each on average.
        """
        known = None if given is None else _checked_names(given)
        rows: Counter[Hashable] = Counter()
        kinds: set[str] = set()
        for block in labels:
            kind = infer_dtype(block)
            kinds.add(_KINDS.get(kind, kind))
            if len(kinds) > 1 or kind not in _KINDS:
                raise ValueError(
                    f"Labels must be all strings, all whole numbers or all booleans. Convert the "
                    f"label column to str. Received: {where!r} with labels of type "
                    f"{' and '.join(sorted(kinds))}, such as {shorten(block.tolist(), 3)}"
                )
            rows.update(block.value_counts(sort=False).to_dict())
        keys = _class_keys(rows, kinds.pop(), untyped, known or (), where)
        if known is not None:
            return cls(known, _positions_in(known, keys, where), rows)
        ordered = sorted(set(keys.values()))
        if len(ordered) < 2:
            raise ValueError(
                f"A classifier needs at least two classes. Check the label column, or pass "
                f"classes= for a part of a larger table. "
                f"Received: {where!r} with one class, {shorten(ordered)}"
            )
        if len(ordered) > 50 and 2 * len(ordered) > rows.total():
            warnings.warn(
                f"{where} has {len(ordered):,} classes in {rows.total():,} rows: is label= the "
                f"right column? The first are {shorten(ordered, 3)}.",
                UserWarning,
                stacklevel=4,
            )
        places = {key: position for position, key in enumerate(ordered)}
        positions = {value: places[key] for value, key in keys.items()}
        return cls(tuple(map(str, ordered)), positions, rows)

    def encode(self, labels: pd.Series) -> npt.NDArray[np.int32]:
        """Maps labels, all of them learnt from, to int32 positions `(rows,)`."""
        codes, values = pd.factorize(labels)
        try:
            positions = [self._positions[value] for value in values]
        except KeyError as error:
            raise ValueError(
                f"A file must not change while it is streamed. Call read_table again. "
                f"Received: a label that was not there before, {error}"
            ) from error
        return np.array(positions, np.int32)[codes]


def _checked_names(given: Sequence[str]) -> tuple[str, ...]:
    names = () if isinstance(given, str) else tuple(given)
    if not names or len(set(names)) < len(names) or not all(isinstance(n, str) for n in names):
        raise ValueError(
            f"classes must be distinct names in label order, such as ['negative', 'positive']. "
            f"Pass a list of strings. Received: classes={given!r}"
        )
    return names


def _class_keys(
    values: Iterable[Any], kind: str, untyped: bool, known: Sequence[str], where: str
) -> dict[Hashable, Any]:
    """Maps each label value to what its class is sorted by; `str` of that is the class name."""
    values = list(values)
    if kind == "boolean":
        return {value: bool(value) for value in values}
    if kind == "string":
        numeric = untyped and all(NUMBER.fullmatch(value) for value in values)
        if not numeric or set(values) <= set(known):
            return {value: value for value in values}
    keys = {value: _whole_number(value) for value in values}
    fractions = [value for value, number in keys.items() if number is None]
    if fractions:
        raise ValueError(
            f"Labels must be classes, not measurements. Bin the numbers, for example with "
            f"pandas.cut, or pass another column; if they are names of classes, convert the "
            f"column to str. Received: {where!r} with labels such as {shorten(fractions, 3)}"
        )
    return keys


def _whole_number(value: Any) -> int | None:
    try:
        return int(str(value))  # exact; float would make one of two long identifiers
    except ValueError:
        number = float(value)
        return int(number) if number.is_integer() else None


def _positions_in(
    known: Sequence[str], keys: Mapping[Hashable, Any], where: str
) -> dict[Hashable, int]:
    places = {name: position for position, name in enumerate(known)}
    unknown = {key for key in keys.values() if str(key) not in places}
    numbers = all(type(key) is int and 0 <= key < len(known) for key in keys.values())
    if numbers and not any(NUMBER.fullmatch(name) for name in known):
        return dict(keys)
    if unknown:
        raise ValueError(
            f"Every label must be one of classes. Add the missing names to classes, or leave "
            f"those rows out. Received: {where!r} with unknown labels "
            f"{shorten(sorted(map(str, unknown)))}; classes={tuple(known)}"
        )
    return {value: places[str(key)] for value, key in keys.items()}
