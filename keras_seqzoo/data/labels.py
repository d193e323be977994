"""Labels as they are written to classes: their names, order and counts.

A label that is a string names its class by its exact text: "01", "1" and "1.0" are three classes.
Whole numbers of a typed column (1.0 among them, which pandas makes of 1 beside a missing value)
and booleans are named as Python writes them.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import infer_dtype

from keras_seqzoo.data.reading import NUMBER, shorten

_KINDS = {
    "string": "string",
    "integer": "number",
    "floating": "number",
    "mixed-integer-float": "number",
    "boolean": "boolean",
}
_WHOLE = re.compile(r"0|-?[1-9][0-9]*")


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

        Where all names are whole numbers, written plainly, they are sorted as numbers; else as
        strings.

        Args:
            labels: the label column in blocks, no value missing.
            given: class names in label order, instead of sorting those in the data.
            untyped: whether strings that all look like numbers are numbers, as in CSV; then they
                must be whole.
            where: the table's source, for messages.

        Raises:
            ValueError: labels of several or unsuitable types, fewer than two classes, or labels
                outside `given`.

        Warns:
            UserWarning: more than 50 classes, with fewer than two rows each on average; or classes
                that differ only in case, in space, or in how a number is written.
        """
        known = None if given is None else _checked_names(given)
        rows: Counter[Hashable] = Counter()
        kinds: set[str] = set()
        for block in labels:
            kind = infer_dtype(block)
            kinds.add(_KINDS.get(kind, kind))
            if len(kinds) > 1 or kind not in _KINDS:
                raise _unsuitable(block, kinds, where)
            rows.update(block.value_counts(sort=False).to_dict())
        names = _names(rows, kinds.pop(), untyped, where)
        if known is not None:
            return cls(known, _positions_in(known, names, where), rows)
        distinct = set(names.values())
        numbers = all(map(_WHOLE.fullmatch, distinct))
        ordered = sorted(distinct, key=int) if numbers else sorted(distinct)
        if len(ordered) < 2:
            raise ValueError(
                f"A classifier needs at least two classes. Check the label column, or pass "
                f"classes= for a part of a larger table. "
                f"Received: {where!r} with one class, {shorten(ordered)}"
            )
        _warn_of_odd_classes(ordered, rows.total(), where)
        places = {name: position for position, name in enumerate(ordered)}
        positions = {value: places[name] for value, name in names.items()}
        return cls(tuple(ordered), positions, rows)

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


def label_numbers(labels: Any, names: Sequence[str]) -> npt.NDArray[np.int32]:
    """Turns labels as a user writes them into positions in the class names.

    Strings are names of classes, and booleans are the classes `"False"` and `"True"`. Whole numbers
    (2.0 is one) are positions. Where class names are whole numbers too, such as 1 to 5 stars, they
    may be meant as names, as those in a table are: labels that can be read in one of the two
    ways only are read so, and those that can be read in both are refused.

    Args:
        labels: `(rows,)` or `(rows, 1)`, of any array type.
        names: class names in label order.

    Raises:
        ValueError: a label that is missing, no class, or may mean two.
    """
    values = np.asarray(labels)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(
            "Labels have one dimension, (rows,): a class name or number each. "
            f"Received: shape={values.shape}"
        )
    if pd.isna(values).any():
        row = int(np.flatnonzero(pd.isna(values))[0])
        raise ValueError(
            f"Every row needs a label. Drop those without. Received: {values[row]!r} in row {row}"
        )
    places = {name: place for place, name in enumerate(names)}
    kind = _KINDS.get(infer_dtype(values), infer_dtype(values))
    if kind not in ("number", "string", "bytes", "boolean", "empty"):
        raise ValueError(
            "Labels must be all class names or all whole numbers. "
            f"Received: labels of type {kind}, such as {shorten(values.tolist(), 3)}"
        )
    uniques, rows = np.unique(values, return_inverse=True)
    given = uniques.tolist()
    if kind == "number":
        found = _numbered(given, places)
    else:
        texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in given]
        unknown = [v for v, text in zip(given, texts, strict=True) if text not in places]
        if unknown:
            fix = " Pass names, or positions: labels.astype(int)." if kind == "boolean" else ""
            raise ValueError(
                f"Labels must be classes of the model, {tuple(names)}.{fix} Received: {unknown[:5]}"
            )
        found = [places[text] for text in texts]
    return np.array(found, np.int32)[rows]


def _numbered(given: Sequence[Any], places: Mapping[str, int]) -> list[int]:
    """Positions that numbers stand for, be they positions or names."""
    numbers = [_whole_number(value) for value in given]
    if None in numbers:
        raise ValueError(
            "Labels must be classes: names, or whole numbers. "
            f"Received: {given[numbers.index(None)]!r}"
        )
    named = [places.get(str(number)) for number in numbers]
    if all(0 <= number < len(places) for number in numbers if number is not None):
        if None not in named and named != numbers:
            raise ValueError(
                f"These numbers may be positions of classes, from 0, or names of classes: the "
                f"classes are {tuple(places)}. Pass names as strings, np.array(labels).astype(str)"
                ", or those of positions, np.array(model.classes)[labels]. "
                f"Received: labels {shorten(given)}"
            )
        return numbers  # type: ignore[return-value]
    if None not in named:
        return named  # type: ignore[return-value]
    raise ValueError(
        f"Label numbers must lie from 0 to {len(places) - 1}, or be names of the classes "
        f"{tuple(places)}. Received: numbers from {min(given)} to {max(given)}"
    )


def _checked_names(given: Sequence[str]) -> tuple[str, ...]:
    names = () if isinstance(given, str) else tuple(given)
    if not names or len(set(names)) < len(names) or not all(isinstance(n, str) for n in names):
        raise ValueError(
            f"classes must be distinct names in label order, such as ['negative', 'positive']. "
            f"Pass a list of strings. Received: classes={given!r}"
        )
    return names


def _unsuitable(block: pd.Series, kinds: set[str], where: str) -> ValueError:
    found = f"Received: {where!r} with labels such as {shorten(block.tolist(), 3)}"
    if any(pd.api.types.is_list_like(value) for value in block):
        return ValueError(
            "A text has one class: each row of the label column holds one name. Texts with several "
            f"labels cannot be learnt from. Choose one label a text. {found}"
        )
    return ValueError(
        "Labels must be all strings, all whole numbers or all booleans. Convert the label column "
        f"to str. {found}, of type {' and '.join(sorted(kinds))}"
    )


def _names(values: Iterable[Hashable], kind: str, untyped: bool, where: str) -> dict[Hashable, str]:
    """Maps each label value to the name of its class."""
    values = list(values)
    is_text = kind == "string"
    if kind == "number" or (
        untyped and is_text and all(NUMBER.fullmatch(str(value)) for value in values)
    ):
        whole = {value: _whole_number(value) for value in values}
        fractions = [value for value, number in whole.items() if number is None]
        if fractions:
            raise ValueError(
                f"Labels must be classes, not measurements. Bin the numbers, for example with "
                f"pandas.cut, or pass another column; if they are names of classes, convert the "
                f"column to str (for a CSV file pass dtype=str). "
                f"Received: {where!r} with labels such as {shorten(fractions, 3)}"
            )
        if not is_text:
            return {value: str(number) for value, number in whole.items()}
    return {value: str(value) for value in values}


def _whole_number(value: Any) -> int | None:
    try:
        return int(str(value))  # exact; float would make one of two long identifiers
    except ValueError:
        number = float(value)
        # Beyond 2**53 two whole numbers may have become one float.
        return int(number) if number.is_integer() and abs(number) < 2**53 else None


def _positions_in(
    known: Sequence[str], names: Mapping[Hashable, str], where: str
) -> dict[Hashable, int]:
    places = {name: position for position, name in enumerate(known)}
    unknown = set(names.values()) - places.keys()
    are_numbers = all(_WHOLE.fullmatch(n) and 0 <= int(n) < len(known) for n in names.values())
    if are_numbers and not any(NUMBER.fullmatch(name) for name in known):
        return {value: int(name) for value, name in names.items()}
    if unknown:
        raise ValueError(
            f"Every label must be one of classes, to the letter. Add the missing names to classes, "
            f"or leave those rows out. Received: {where!r} with unknown labels "
            f"{shorten(sorted(unknown))}; classes={tuple(known)}"
        )
    return {value: places[name] for value, name in names.items()}


def _warn_of_odd_classes(classes: Sequence[str], rows: int, where: str) -> None:
    if len(classes) > 50 and 2 * len(classes) > rows:
        warnings.warn(
            f"{where} has {len(classes):,} classes in {rows:,} rows: is label= the right column? "
            f"The first are {shorten(classes, 3)}.",
            UserWarning,
            stacklevel=5,
        )
    alike: dict[Any, list[str]] = {}
    for name in classes:
        meaning = Decimal(name) if NUMBER.fullmatch(name) else name.strip().casefold()
        alike.setdefault(meaning, []).append(name)
    pairs = [names for names in alike.values() if len(names) > 1]
    if pairs:
        warnings.warn(
            f"{where} has classes that look like one written in several ways: "
            f"{'; '.join(shorten(names, 3) for names in pairs[:3])}. They are kept apart; mend the "
            f"label column where they are one.",
            UserWarning,
            stacklevel=5,
        )
