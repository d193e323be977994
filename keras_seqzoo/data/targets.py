"""The answer of a row: one class, any labels, numbers, tagged pieces, or a piece of the text.

A target has names. It defines how answers are stored: as positions of classes `(rows,)`, or as
numbers `(rows, names)`, with a column for each name. `learn_target` finds it from label columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import infer_dtype, is_list_like

from keras_seqzoo.checks import warn
from keras_seqzoo.data.answers import TEXTS, answer_frame, read_answers, read_written
from keras_seqzoo.data.naming import Naming, checked_names, fractions, label_numbers
from keras_seqzoo.data.reading import NUMBER, shorten
from keras_seqzoo.data.splitting import spread_parts, stratified_parts
from keras_seqzoo.data.tags import read_tagged, span_lists, tagged_frame

_FLAGS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
_NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal", "string")


@dataclass(frozen=True)
class Target(ABC):
    """The kind of answer of each row.

    Attributes:
        names: names of the classes, labels or numbers, in order.
    """

    names: tuple[str, ...]

    kind: ClassVar[str]
    noun: ClassVar[str]
    dtype: ClassVar[str] = "float32"
    # Make a frame of `text` (and `text_pair`) and `label`: the first from the source that
    # `read_table` was given, the second from texts and labels.
    read: ClassVar[Callable[..., pd.DataFrame] | None] = None
    texts: ClassVar[tuple[str, ...]] = ("text",)  # the usual names of its text columns
    pair_up: ClassVar[Callable[..., pd.DataFrame] | None] = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", checked_names(self.names))

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of classes or labels; `()` for numbers."""
        return self.names

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a table's frame that hold the encoded answers."""
        return tuple(f"label_{place}" for place in range(len(self.names)))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a row's encoded answer."""
        return (len(self.names),)

    @classmethod
    @abstractmethod
    def learn(
        cls, blocks: Iterable[pd.DataFrame], asked: Asked, untyped: bool, where: str
    ) -> Learnt:
        """Reads all label columns, a block at a time; see `learn_target`."""

    def encode(self, labels: Any) -> npt.NDArray[Any]:
        """Encodes labels as a user writes them.

        Args:
            labels: for classes, values that `data.naming.label_numbers` takes. For labels, lists of
                names, or 0 and 1, `(rows, names)`. For numbers, `(rows,)` or `(rows, names)`.

        Raises:
            ValueError: they do not fit the target.
        """
        columns, asked = label_columns(labels, Asked(self.kind, self.names, is_part=True))
        return self.learn([columns], asked, False, "labels").encode(columns)

    def labels(self, frame: pd.DataFrame) -> npt.NDArray[Any]:
        """Returns the encoded answers that a table's frame holds."""
        return np.stack([frame[name].to_numpy() for name in self.columns], axis=1)

    @abstractmethod
    def fits(self, encoded: npt.NDArray[Any]) -> bool:
        """Returns whether an array, from any file, holds encoded answers of this target."""

    def counts(self, encoded: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Counts the rows of each of `classes`: int64 `(classes,)`."""
        return encoded.sum(axis=0).astype(np.int64)

    def strata(self, encoded: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """Numbers rows `(rows,)`: similar answers have close numbers."""
        return answer_numbers(encoded)

    def draw(
        self, encoded: npt.NDArray[Any], sizes: Sequence[int], seed: int
    ) -> list[npt.NDArray[np.intp]]:
        """Draws the rows of the parts of a split at random, with similar shares of answers in each.

        Args:
            encoded: all answers.
            sizes: rows in each part; their sum is all rows.
            seed: seed of the draw.

        Returns:
            Row positions of each part, in random order.
        """
        return spread_parts(sizes, self.strata(encoded), seed)

    def as_dict(self) -> dict[str, Any]:
        """Returns plain lists and strings; `target_from_dict` makes the target from them."""
        return {"kind": self.kind, "names": list(self.names)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Target:
        """Makes the target from the result of `as_dict`."""
        return cls(values.get("names", ()))


@dataclass(frozen=True)
class OneOf(Target):
    """One class for each row: int32 `(rows,)`, its position in `names`.

    Attributes:
        horizon: steps after a window at which its direction is predicted; None if rows are not
            windows.
    """

    horizon: int | None = None

    kind = "class"
    noun = "classes"
    dtype = "int32"
    shape = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of a table's frame that holds the classes."""
        return ("label",)

    @classmethod
    def learn(
        cls, blocks: Iterable[pd.DataFrame], asked: Asked, untyped: bool, where: str
    ) -> Learnt:
        """Names the classes; see `data.naming`."""
        if asked.in_columns:
            raise ValueError(
                "Classes must be in one label column. Pass that column alone, or target='labels' "
                f"if each column says whether a row has one of the labels. Received: {where!r} "
                "with "
                "target='class' and a list of columns"
            )
        values = (block.iloc[:, 0] for block in blocks)
        naming = Naming.learn(values, asked.names, untyped, where)
        return Learnt(
            cls(naming.names), naming.counts, lambda block: naming.encode(block.iloc[:, 0])
        )

    def encode(self, labels: Any) -> npt.NDArray[np.int32]:
        """Encodes labels as a user writes them; see `data.naming.label_numbers`."""
        return label_numbers(labels, self.names)

    def as_dict(self) -> dict[str, Any]:
        """Adds the horizon, if there is one."""
        return super().as_dict() | ({} if self.horizon is None else {"horizon": self.horizon})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OneOf:
        """Makes the target from the result of `as_dict`."""
        return cls(values.get("names", ()), values.get("horizon"))

    def labels(self, frame: pd.DataFrame) -> npt.NDArray[np.int32]:
        """Returns the encoded answers that a table's frame holds."""
        return frame["label"].to_numpy(copy=True)

    def fits(self, encoded: npt.NDArray[Any]) -> bool:
        """Returns whether these are positions of classes."""
        whole = encoded.ndim == 1 and encoded.dtype.kind in "iu"
        return whole and bool(((encoded >= 0) & (encoded < len(self.names))).all())

    def counts(self, encoded: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Counts the rows of each class: int64 `(classes,)`."""
        return np.bincount(encoded, minlength=len(self.names))

    def draw(
        self, encoded: npt.NDArray[Any], sizes: Sequence[int], seed: int
    ) -> list[npt.NDArray[np.intp]]:
        """Draws parts with the same share of each class.

        Raises:
            ValueError: a class has too few rows for these sizes.
        """
        return stratified_parts(sizes, encoded, self.names, seed)


@dataclass(frozen=True)
class AnyOf(Target):
    """Any number of labels for each row, or none: float32 `(rows, names)` of 0 and 1."""

    kind = "labels"
    noun = "labels"

    @classmethod
    def learn(
        cls, blocks: Iterable[pd.DataFrame], asked: Asked, untyped: bool, where: str
    ) -> Learnt:
        """Names the labels: columns of 0 and 1 by their names, labels in lists as for classes."""
        if asked.in_columns:
            return cls._learn_columns(blocks, asked, where)

        are_numbers = bool(asked.names) and all(map(NUMBER.fullmatch, asked.names or ()))

        def items() -> Iterator[pd.Series]:
            for block in blocks:
                is_flags = len(block) and _flags(block.iloc[:, 0]) is not None
                if is_flags and not are_numbers and asked.separator is None:
                    columns = list(asked.names or block.columns)
                    raise ValueError(
                        "A column of 0 and 1 says whether a row has one label. Pass the "
                        f"columns of all labels as a list, label={columns}. Received: {where!r} "
                        f"with the label column {block.columns[0]!r} alone"
                    )
                if flat := list(chain.from_iterable(_lists(block, asked, where))):
                    yield pd.Series(flat)

        naming = Naming.learn(items(), asked.names, False, where, "labels")

        def encode(block: pd.DataFrame) -> npt.NDArray[np.float32]:
            lists = _lists(block, asked, where)
            rows = np.repeat(np.arange(len(lists)), [len(row) for row in lists])
            encoded = np.zeros((len(lists), len(naming.names)), np.float32)
            if len(rows):
                encoded[rows, naming.encode(pd.Series(list(chain.from_iterable(lists))))] = 1
            return encoded

        return Learnt(cls(naming.names), naming.counts, encode)

    @classmethod
    def _learn_columns(cls, blocks: Iterable[pd.DataFrame], asked: Asked, where: str) -> Learnt:
        first, blocks = _peek(blocks)
        found = [str(name) for name in first.columns]
        names = asked.names or tuple(found)
        if sorted(names) != sorted(found):
            raise ValueError(
                "There must be one label column for each label. Pass label= with the columns of "
                "all of "
                f"them, or leave classes out. Received: {where!r} with columns {shorten(found)}, "
                f"labels {shorten(names)}"
            )
        order = [found.index(name) for name in names]

        def encode(block: pd.DataFrame) -> npt.NDArray[np.float32]:
            columns = []
            for place in order:
                if (flags := _flags(block.iloc[:, place])) is None:
                    raise _no_flags(block.iloc[:, place], where)
                columns.append(flags)
            return np.stack(columns, axis=1)

        counts = np.zeros(len(names), np.int64)
        for block in blocks:
            counts += encode(block).sum(axis=0).astype(np.int64)
        return Learnt(cls(names), counts, encode)

    def fits(self, encoded: npt.NDArray[Any]) -> bool:
        """Returns whether these are 0 and 1, with a column for each label."""
        return _is_matrix(encoded, self.names) and bool(np.isin(encoded, (0, 1)).all())


@dataclass(frozen=True)
class Number(Target):
    """One or several numbers for each row: float32 `(rows, names)`."""

    kind = "number"
    noun = "numbers"

    @property
    def classes(self) -> tuple[str, ...]:
        """Always `()`: numbers have no classes."""
        return ()

    @classmethod
    def learn(
        cls, blocks: Iterable[pd.DataFrame], asked: Asked, untyped: bool, where: str
    ) -> Learnt:
        """Reads the numbers and names them after their columns.

        Raises:
            ValueError: a value that is not a finite number, or the same number in all rows of a
                whole table.
        """
        first, blocks = _peek(blocks)
        names = asked.names or tuple(map(str, first.columns))
        if len(names) != first.shape[1]:
            raise ValueError(
                "There is a label column for each number. Pass label= with all of them, in order. "
                f"Received: {where!r} with columns {shorten(list(first.columns))} for the numbers "
                f"{shorten(names)}"
            )
        least, most = np.full((2, len(names)), [[np.inf], [-np.inf]], np.float32)

        def encode(block: pd.DataFrame) -> npt.NDArray[np.float32]:
            return np.stack([_numbers(values, where) for _, values in block.items()], axis=1)

        for block in blocks:
            numbers = encode(block)
            least, most = np.minimum(least, numbers.min(0)), np.maximum(most, numbers.max(0))
        constant = np.flatnonzero(least == most)
        if len(constant) and not asked.is_part:
            raise ValueError(
                "Numbers to learn must differ from row to row. Check the label column, or pass "
                "target=train.target for a part of a larger table. Received: "
                f"{where!r}, where {names[constant[0]]!r} is {least[constant[0]]:g} in all rows"
            )
        return Learnt(cls(names), np.zeros(0, np.int64), encode)

    def fits(self, encoded: npt.NDArray[Any]) -> bool:
        """Returns whether these are finite numbers, with a column for each name."""
        return _is_matrix(encoded, self.names) and bool(np.isfinite(encoded).all())

    def counts(self, encoded: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Returns no counts: numbers have no classes."""
        return np.zeros(0, np.int64)

    def strata(self, encoded: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """Numbers rows `(rows,)` by size; several numbers, by the sum of their ranks."""
        ranks = [np.unique(column, return_inverse=True)[1] for column in encoded.T]
        return np.sum(ranks, axis=0, dtype=np.intp)


@dataclass(frozen=True)
class Future(Target):
    """The next steps of a series: float32 `(rows, horizon, names)`.

    Attributes:
        names: names of the value columns.
        horizon: number of steps.
    """

    horizon: int = 1

    kind = "future"
    noun = "columns"

    @property
    def classes(self) -> tuple[str, ...]:
        """Always `()`: values have no classes."""
        return ()

    @classmethod
    def learn(
        cls, blocks: Iterable[pd.DataFrame], asked: Asked, untyped: bool, where: str
    ) -> Learnt:
        """Raises an error: rows of a table have no future.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "The target 'future' needs a series. Read it with read_series(source, time=…, "
            "value=…). "
            f"Received: {where!r} with target='future'"
        )

    def encode(self, labels: Any) -> npt.NDArray[np.float32]:
        """Checks the values that follow the windows.

        Raises:
            ValueError: another shape than `(rows, horizon, names)`, or values that are not finite.
        """
        values = np.asarray(labels, np.float32)
        if not self.fits(values):
            raise ValueError(
                f"The values to forecast must be finite numbers, (rows, {self.horizon}, "
                f"{len(self.names)}): steps of "
                f"{', '.join(self.names)}. Pass table.labels, or leave windows without it out. "
                f"Received: shape {values.shape}, {int((~np.isfinite(values)).sum())} not finite"
            )
        return values

    def fits(self, encoded: npt.NDArray[Any]) -> bool:
        """Returns whether these are finite numbers of the right shape."""
        shape = (self.horizon, len(self.names))
        return encoded.shape[1:] == shape and bool(np.isfinite(encoded).all())

    def counts(self, encoded: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Returns no counts: values have no classes."""
        return np.zeros(0, np.int64)

    def as_dict(self) -> dict[str, Any]:
        """Adds the horizon."""
        return {**super().as_dict(), "horizon": self.horizon}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Future:
        """Makes the target from the result of `as_dict`."""
        return cls(tuple(values.get("names", ())), int(values.get("horizon", 1)))


@dataclass(frozen=True)
class Tags(Target):
    """Pieces of a text, each with a type: int32 `(rows, most, 3)`.

    A piece is the position of its first character, the position after its last, and the place of
    its type in `names`. After the last piece of a row come -1s. A table's frame holds pieces as
    text, `"0 5 2;9 12 0"`.
    """

    kind = "tags"
    noun = "types"
    dtype = "int32"
    shape = (None, 3)  # type: ignore[assignment]
    read = staticmethod(read_tagged)
    pair_up = staticmethod(tagged_frame)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of a table's frame that holds the pieces."""
        return ("label",)

    @classmethod
    def learn(
        cls, blocks: Iterable[pd.DataFrame], asked: Asked, untyped: bool, where: str
    ) -> Learnt:
        """Names the types in the data, sorted.

        Raises:
            ValueError: no piece in any row, or a type that is not in the given names.
        """
        found = Counter(kind for block in blocks for row in block.iloc[:, 0] for *_, kind in row)
        if asked.names is None and not found:
            raise ValueError(
                "Some rows must have a tagged piece. Check the column of tags or spans, or pass "
                f"target=train.target for a part of a larger table. Received: {where!r} with none"
            )
        target = cls(asked.names or tuple(sorted(found)))
        if unknown := sorted(found.keys() - set(target.names)):
            raise ValueError(
                "Every piece must have one of the known types. Add the missing types to classes, "
                f"or leave those pieces out. Received: {where!r} with "
                f"{shorten(unknown)}, types {shorten(target.names)}"
            )
        places = {name: place for place, name in enumerate(target.names)}

        def encode(block: pd.DataFrame) -> npt.NDArray[Any]:
            rows = block.iloc[:, 0]
            told = (";".join(f"{s} {e} {places[kind]}" for s, e, kind in row) for row in rows)
            return np.array([*told, None], object)[:-1]

        return Learnt(target, np.array([found[n] for n in target.names], np.int64), encode)

    def encode(self, labels: Any) -> npt.NDArray[np.int32]:
        """Encodes one list of spans `(start, end, type)` for each row; keeps encoded arrays.

        Raises:
            ValueError: any other value, or an unknown type.
        """
        if isinstance(labels, np.ndarray) and labels.dtype.kind == "i" and self.fits(labels):
            return labels.astype(np.int32)
        block = pd.DataFrame({"label": pd.Series(span_lists(labels), dtype=object)})
        learnt = self.learn([block], Asked(self.kind, self.names, is_part=True), False, "labels")
        return self.labels(pd.DataFrame({"label": learnt.encode(block)}))

    def labels(self, frame: pd.DataFrame) -> npt.NDArray[np.int32]:
        """Returns the pieces that a table's frame holds."""
        rows = [
            [[*map(int, piece.split())] for piece in row.split(";") if piece]
            for row in frame["label"]
        ]
        encoded = np.full((len(rows), max([1, *map(len, rows)]), 3), -1, np.int32)
        for place, row in enumerate(rows):
            encoded[place, : len(row)] = np.reshape(row, (-1, 3))
        return encoded

    def spans(self, encoded: npt.NDArray[Any]) -> list[list[tuple[int, int, str]]]:
        """Returns the pieces of each row, `(start, end, type)` in order."""
        return [
            [(int(s), int(e), self.names[kind]) for s, e, kind in row if kind >= 0]
            for row in encoded
        ]

    def fits(self, encoded: npt.NDArray[Any]) -> bool:
        """Returns whether these are pieces."""
        is_shape = encoded.ndim == 3 and encoded.shape[2] == 3 and encoded.dtype.kind in "iu"
        return is_shape and bool((encoded[..., 2] < len(self.names)).all())

    def counts(self, encoded: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Counts the pieces of each type: int64 `(types,)`."""
        kinds = encoded[..., 2].ravel()
        return np.bincount(kinds[kinds >= 0], minlength=len(self.names)).astype(np.int64)

    def strata(self, encoded: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """Numbers rows by the types that they have."""
        return answer_numbers((encoded[:, :, 2, None] == np.arange(len(self.names))).any(axis=1))


@dataclass(frozen=True)
class Answers(Target):
    """The places of the answers to a question in its context: str `(rows,)`, JSON of all of them.

    An answer is the position of its first character, the position after its last, and its text. If
    there are several, each is right; a context may have none, `[]`.

    Attributes:
        names: two names: of rows with an answer, and of those without.
    """

    names: tuple[str, ...] = ("answer", "no answer")

    kind = "answer"
    noun = "answers"
    dtype = "string"
    shape = ()
    read = staticmethod(read_answers)
    texts = TEXTS
    pair_up = staticmethod(answer_frame)

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of a table's frame that holds the answers."""
        return ("label",)

    @classmethod
    def learn(
        cls, blocks: Iterable[pd.DataFrame], asked: Asked, untyped: bool, where: str
    ) -> Learnt:
        """Counts rows with an answer, and rows without."""
        target = cls()
        labels = [label for block in blocks for label in block.iloc[:, 0]]

        def encode(block: pd.DataFrame) -> npt.NDArray[Any]:
            return block.iloc[:, 0].to_numpy(dtype=object)

        return Learnt(target, target.counts(np.array(labels, object)), encode)

    def encode(self, labels: Any) -> npt.NDArray[np.object_]:
        """Checks answers as a table encodes them.

        Raises:
            ValueError: any other value.
        """
        encoded = np.array([*np.asarray(labels, object), None], object)[:-1]
        self.spans(encoded)
        return encoded

    def labels(self, frame: pd.DataFrame) -> npt.NDArray[np.object_]:
        """Returns the answers that a table's frame holds."""
        return frame["label"].to_numpy(dtype=object, copy=True)

    def spans(self, encoded: Any) -> list[list[tuple[int, int, str]]]:
        """Returns the answers of each row, `(start, end, text)`; a model learns the first."""
        return [read_written(label) for label in encoded]

    def fits(self, encoded: npt.NDArray[Any]) -> bool:
        """Returns whether these are answers."""
        try:
            self.spans(encoded)
        except ValueError:
            return False
        return encoded.ndim == 1

    def counts(self, encoded: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Counts rows with an answer, and rows without: int64 `(2,)`."""
        return np.bincount(self.strata(encoded), minlength=2).astype(np.int64)

    def strata(self, encoded: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """Numbers rows `(rows,)`: 0 with an answer, 1 without."""
        return np.array([not answers for answers in self.spans(encoded)], np.intp)


TARGETS: dict[str, type[Target]] = {
    "class": OneOf,
    "labels": AnyOf,
    "number": Number,
    "future": Future,
    "tags": Tags,
    "answer": Answers,
}


def target_from_dict(values: Mapping[str, Any]) -> Target:
    """Makes the target whose `as_dict` returned these values.

    Raises:
        ValueError: an unknown kind, or names that are not valid.
    """
    kind = values.get("kind")
    if kind not in TARGETS:
        raise ValueError(
            f"The kind of a target must be one of {tuple(TARGETS)}. Received: {kind!r}"
        )
    return TARGETS[kind].from_dict(values)


@dataclass(frozen=True)
class Asked:
    """The user's arguments about the target.

    Attributes:
        kind: a key of `TARGETS`; None: it depends on the labels.
        names: names in order; None: those in the data.
        separator: the separator between the labels of a row; None: a comma, if they are not lists.
        is_part: whether the rows are part of a larger table, whose target is known.
        in_columns: whether there is a list of label columns, even a list of one.
    """

    kind: str | None = None
    names: tuple[str, ...] | None = None
    separator: str | None = None
    is_part: bool = False
    in_columns: bool = False


def ask(
    target: str | Target | None, classes: Sequence[str] | None, separator: str | None, label: Any
) -> Asked:
    """Checks the arguments `target`, `classes`, `label_sep` and `label` of `read_table`.

    Raises:
        ValueError: an argument is invalid, or they contradict each other.
    """
    kind = target.kind if isinstance(target, Target) else target
    if kind is not None and kind not in TARGETS:
        raise ValueError(
            "target must be 'class', 'labels', 'number', 'tags' or 'answer', or the target of "
            f"another table, such as train.target. Received: target={target!r}"
        )
    if separator is not None and (not isinstance(separator, str) or not separator):
        raise ValueError(
            f"label_sep must be the separator between two labels. Pass label_sep=','. "
            f"Received: label_sep={separator!r}"
        )
    in_columns = isinstance(label, list | tuple)
    if separator is not None and (kind not in (None, "labels") or in_columns or label is None):
        raise ValueError(
            "label_sep splits one column into labels. Leave it out, or pass target='labels' and "
            f"one label column. Received: label_sep={separator!r}, target={kind!r}, label={label!r}"
        )
    if label is None:
        if kind is not None:
            raise ValueError(
                "A target is learnt from labels. Pass label= their column, or leave target out. "
                f"Received: target={target!r}, label=None"
            )
        return Asked()
    names = None if classes is None else checked_names(classes)
    if names is not None and (kind == "number" or isinstance(target, Target)):
        raise ValueError(
            "classes names classes or labels. Numbers have no classes, and a target of another "
            f"table has its own. Leave classes out. Received: classes={classes!r}, "
            f"target={target!r}"
        )
    if isinstance(target, Target):
        return Asked(kind, target.names, separator, True, in_columns)
    return Asked("labels" if separator else kind, names, separator, False, in_columns)


@dataclass(frozen=True)
class Learnt:
    """A target, and how to encode label columns as its answers.

    Attributes:
        target: the target that was learnt.
        counts: int64 `(classes,)`, rows of each class or label.
        encode: turns label columns as they were read into encoded answers.
    """

    target: Target
    counts: npt.NDArray[np.int64]
    encode: Callable[[pd.DataFrame], npt.NDArray[Any]]


def learn_target(blocks: Iterable[pd.DataFrame], asked: Asked, untyped: bool, where: str) -> Learnt:
    """Learns the target from all rows, a block at a time.

    If the user does not name its kind, the first block decides: several columns of 0 and 1, or
    lists, are labels; several columns of other numbers, or one column with fractions, are numbers;
    all else is classes.

    Args:
        blocks: the label columns, none missing, their index counting rows from 1.
        asked: the user's arguments about the target.
        untyped: whether strings that all look like numbers are numbers, as in CSV.
        where: the table's source, for messages.

    Raises:
        ValueError: labels of another kind, or not of the kind that the user asked for.

    Warns:
        UserWarning: numbers were inferred in a single column; also see `Naming.learn`.
    """
    first, blocks = _peek(blocks)
    kind = asked.kind or _infer(first, asked, untyped, where)
    return TARGETS[kind].learn(blocks, asked, untyped, where)


def label_columns(labels: Any, asked: Asked) -> tuple[pd.DataFrame, Asked]:
    """Makes label columns, as a file would have them, from the labels that a user passes.

    Args:
        labels: one label for each row; lists; or numbers (which may be 0 and 1), `(rows, names)`.
        asked: the user's arguments about the target.

    Returns:
        The columns, their index counting rows from 1, and `asked` with what the labels show.

    Raises:
        ValueError: lists of 0 and 1 that may be flags or names, or more dimensions than two.
    """
    if isinstance(labels, pd.DataFrame):
        columns = labels
    elif getattr(labels, "ndim", 1) > 1 or asked.kind == "number" or _are_flags(labels):
        try:
            values = np.asarray(labels)
        except ValueError as error:
            raise ValueError(
                "Every row has the same numbers. Fill those that are missing, or leave such rows "
                f"out. Received: rows of several lengths ({error})"
            ) from error
        if values.ndim == 2 and values.shape[1] == 1 and asked.kind in (None, "class"):
            values = values[:, 0]
        if values.ndim == 1:
            return _counted(pd.DataFrame({"label": pd.Series(list(values))})), asked
        names = asked.names or tuple(map(str, range(values.shape[-1])))
        if values.ndim != 2 or values.shape[1] != len(names):
            raise ValueError(
                "Labels of several names must have two dimensions, with a column for each name. "
                "Check how they were "
                f"made. Received: shape={values.shape} for {shorten(names)}"
            )
        columns = pd.DataFrame(values, columns=list(names))
    else:
        return _counted(pd.DataFrame({"label": pd.Series(list(labels))})), asked
    return _counted(columns), replace(asked, in_columns=True)


def answer_numbers(encoded: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Numbers encoded answers `(rows,)`: equal answers have the same number."""
    if encoded.dtype == object:
        return pd.factorize(encoded)[0].astype(np.intp)
    return np.unique(encoded, axis=0, return_inverse=True)[1].reshape(-1)


def _counted(columns: pd.DataFrame) -> pd.DataFrame:
    return columns.set_axis(range(1, len(columns) + 1))


def _are_flags(labels: Any) -> bool:
    """Whether lists of 0 and 1 mark, for each label, if a row has it."""
    rows = labels if isinstance(labels, list | tuple) else []
    if not rows or not all(isinstance(row, list | tuple) for row in rows):
        return False
    if len({len(row) for row in rows}) > 1 or not all(
        isinstance(value, int | float) and value in (0, 1) for row in rows for value in row
    ):
        return False
    if not rows[0]:
        return False
    if all(len(set(row)) == len(row) for row in rows):
        raise ValueError(
            "Lists of 0 and 1 may be names of labels, or say for each label whether a row has it. "
            "Pass names as strings, or np.array(labels) for the latter. "
            f"Received: labels {shorten(list(rows), 3)}"
        )
    return True


def _peek(blocks: Iterable[pd.DataFrame]) -> tuple[pd.DataFrame, Iterator[pd.DataFrame]]:
    blocks = iter(blocks)
    first = next(blocks)
    return first, chain([first], blocks)


def _infer(block: pd.DataFrame, asked: Asked, untyped: bool, where: str) -> str:
    values = block.iloc[:, 0]
    if asked.in_columns:
        if all(_flags(column) is not None for _, column in block.items()):
            return "labels"
        parsed = [_parsed(column) for _, column in block.items()]
        if asked.names is None and not any(p is None or np.isnan(p).all() for p in parsed):
            return "number"
        wrong = next(column for _, column in block.items() if _flags(column) is None)
        raise _no_flags(wrong, where)
    if any(map(_is_list, values)):
        return "labels"
    if asked.names is None and (found := fractions(values.unique(), untyped)):
        warn(
            f"Labels of {where} such as {shorten(found[:3])} are measurements, and are learnt as "
            "numbers. Pass target='number' to say so. For classes bin them, for example with "
            "pandas.cut; names of classes are a column of str (for a CSV file pass dtype=str)."
        )
        return "number"
    return "class"


def _is_list(value: Any) -> bool:
    return not isinstance(value, str) and is_list_like(value)


def _lists(block: pd.DataFrame, asked: Asked, where: str) -> list[list[Any]]:
    """Returns the labels of each row, without repetitions."""
    values = block.iloc[:, 0]
    are_lists = [_is_list(value) for value in values]
    found = f"Received: {where!r} with labels such as {shorten(values.tolist(), 3)}"
    if all(are_lists) and asked.separator is None:
        lists = [list(value) for value in values]
        items = pd.Series(list(chain.from_iterable(lists)), dtype=object)
        not_names = items.map(_is_list) | items.isna()
        if not_names.any() or any(isinstance(value, Mapping) for value in values):
            raise ValueError(
                "A list of labels holds names, none missing. Spans within texts are read with "
                f"target='tags'. {found}"
            )
        if any(len(set(row)) < len(row) and set(row) <= {0, 1} for row in lists):
            raise ValueError(
                "Lists hold the names of the labels that a row has. If 0 and 1 say for each label "
                "whether a row has it, make a column for each label, or pass such rows as an array "
                f"to TextTable.from_texts. {found}"
            )
        return [list(dict.fromkeys(row)) for row in lists]
    if any(are_lists):
        raise ValueError(
            "The labels of all rows are lists, or all are strings. Convert the strings to lists, "
            f"and leave label_sep out. {found}"
        )
    if infer_dtype(values) != "string":
        raise ValueError(
            "Labels must be in one column, as lists or as strings separated by label_sep; or in "
            "columns of 0 and 1, one for each label, as in label=['toxic', 'insult']. Convert the "
            "label "
            f"column. {found}"
        )
    if values.str.fullmatch(r"\s*\[.*\]\s*").any():
        raise ValueError(
            "Lists that were printed into a column are strings. Write the table as JSON lines or "
            f"Parquet, or labels with a comma between. {found}"
        )
    split = (text.split(asked.separator or ",") for text in values)
    return [list(dict.fromkeys(p.strip() for p in parts if p.strip())) for parts in split]


def _flags(values: pd.Series) -> npt.NDArray[np.float32] | None:
    """Returns 0 and 1 of a column that holds nothing else, as numbers, booleans or text."""
    try:
        codes, distinct = pd.factorize(values)
    except TypeError:  # lists
        return None
    known = [_FLAGS.get(str(value).strip().lower()) for value in distinct]
    return None if None in known else np.array(known, np.float32)[codes]


def _no_flags(values: pd.Series, where: str) -> ValueError:
    wrong = [value for value in values if str(value).strip().lower() not in _FLAGS]
    return ValueError(
        "A list of label columns holds 0 and 1, one column a label, or numbers. Pass one column "
        "alone where it holds classes or lists, or target='number' for numbers. "
        f"Received: {where!r}, column {values.name!r} with {shorten(wrong, 3)}"
    )


def _parsed(values: pd.Series) -> npt.NDArray[np.float32] | None:
    """Returns numbers of a column, NaN for other values; None for columns of other types."""
    if infer_dtype(values) not in _NUMBERS:
        return None
    with np.errstate(over="ignore"):
        return pd.to_numeric(values, errors="coerce").to_numpy(np.float64).astype(np.float32)


def _numbers(values: pd.Series, where: str) -> npt.NDArray[np.float32]:
    numbers = _parsed(values)
    if numbers is None:
        raise ValueError(
            "target='number' takes columns of numbers. Convert the column to float, or pass "
            f"target='class' or 'labels'. Received: {where!r}, column {values.name!r} with "
            f"{infer_dtype(values)} values such as {shorten(values.tolist(), 3)}"
        )
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        first = bad[0]
        wrong = values.iloc[[first]].tolist()[0]
        fix = (
            "Leave such rows out, or bound the values."
            if np.isinf(numbers[first])
            else "For names of classes pass target='class'. For a decimal comma pass decimal=',' "
            f"and dtype={{{values.name!r}: 'float'}}; for words that stand for no number "
            f"na_values=[{wrong!r}] and na='drop'."
        )
        raise ValueError(
            f"Targets must be finite numbers, such as 4.5 or 1e-3. {fix} Received: {where!r}, "
            f"column {values.name!r} with {wrong!r} in row {values.index[first]:,}"
            + (f", and {len(bad) - 1:,} more" if len(bad) > 1 else "")
        )
    return numbers


def _is_matrix(encoded: npt.NDArray[Any], names: Sequence[str]) -> bool:
    return encoded.dtype.kind == "f" and encoded.ndim == 2 and encoded.shape[1] == len(names)
