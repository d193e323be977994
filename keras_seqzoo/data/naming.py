"""Names classes and labels, and finds their order and counts.

A label that is a string names its class by its exact text: "01", "1" and "1.0" are three classes.
Whole numbers of a typed column and booleans are named as Python writes them. 1.0 counts as a whole
number, because pandas turns 1 into it in a column with a missing value.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from decimal import Decimal
from numbers import Number
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import infer_dtype

from keras_seqzoo.checks import warn
from keras_seqzoo.data.reading import NUMBER, shorten

_KINDS = {
    "string": "string",
    "integer": "number",
    "floating": "number",
    "mixed-integer-float": "number",
    "boolean": "boolean",
}
_MEASURED = re.compile(r"[+-]?[0-9]*[.,][0-9]*[1-9]0*")
_WHOLE = re.compile(r"0|-?[1-9][0-9]*")


class Naming:
    """Names in order, and the values in the data for each name.

    Attributes:
        names: names of classes or labels.
        counts: int64 `(names,)`, how often each occurs.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        positions: Mapping[Hashable, int],
        found: Mapping[Hashable, int],
    ) -> None:
        self.names = names
        self.counts = np.zeros(len(names), np.int64)
        for value, position in positions.items():
            self.counts[position] += found[value]
        self._positions = positions

    @classmethod
    def learn(
        cls,
        values: Iterable[pd.Series],
        given: tuple[str, ...] | None,
        untyped: bool,
        where: str,
        noun: str = "classes",
    ) -> Naming:
        """Reads all values, a block at a time, and names them.

        If all names are whole numbers, written plainly, they are sorted as numbers; otherwise as
        strings.

        Args:
            values: the values in blocks, none missing.
            given: names in order, instead of sorting those in the data.
            untyped: whether strings that all look like numbers are numbers, as in CSV; then they
                must be whole.
            where: the table's source, for messages.
            noun: `"classes"`, which must be at least two, or `"labels"`.

        Raises:
            ValueError: values of several or unsuitable types, too few names, or values outside
                `given`.

        Warns:
            UserWarning: more than 50 names, with fewer than two rows each on average; or names
                that differ only in case, in space, or in how a number is written.
        """
        found: Counter[Hashable] = Counter()
        kinds: set[str] = set()
        for block in values:
            kind = infer_dtype(block)
            kinds.add(_KINDS.get(kind, kind))
            if len(kinds) > 1 or kind not in _KINDS:
                raise _unsuitable(block, kinds, where)
            found.update(block.value_counts(sort=False).to_dict())
        names = _names(found, kinds.pop(), untyped, where) if kinds else {}
        if given is not None:
            return cls(given, _positions_in(given, names, where), found)
        distinct = set(names.values())
        numbers = all(map(_WHOLE.fullmatch, distinct))
        ordered = sorted(distinct, key=int) if numbers else sorted(distinct)
        if noun == "classes" and len(ordered) < 2:
            raise ValueError(
                f"A classifier needs at least two classes. Check the label column, or pass "
                f"classes= for a part of a larger table. "
                f"Received: {where!r} with one class, {shorten(ordered)}"
            )
        if not ordered:
            raise ValueError(
                "Some rows must have labels. Check the label column, or pass classes= for a part "
                f"of a larger table. Received: {where!r} without a label in any row"
            )
        _warn_of_odd_names(ordered, found.total(), where, noun)
        places = {name: position for position, name in enumerate(ordered)}
        positions = {value: places[name] for value, name in names.items()}
        return cls(tuple(ordered), positions, found)

    def encode(self, values: pd.Series) -> npt.NDArray[np.int32]:
        """Maps values, all of which `learn` has read, to int32 positions `(values,)`."""
        codes, distinct = pd.factorize(values)
        try:
            positions = [self._positions[value] for value in distinct]
        except KeyError as error:
            raise ValueError(
                f"A file must not change while it is streamed. Call read_table again. "
                f"Received: a label that was not there before, {error}"
            ) from error
        return np.array(positions, np.int32)[codes]


def label_numbers(labels: Any, names: Sequence[str]) -> npt.NDArray[np.int32]:
    """Turns labels as a user writes them into positions in the class names.

    Strings are names of classes, and booleans are the classes `"False"` and `"True"`. Whole numbers
    (2.0 is one) are positions. If class names are whole numbers too, such as 1 to 5 stars, numbers
    may also be names, as in a table. Labels that fit only one of the two readings are read that
    way; labels that fit both are an error.

    Args:
        labels: `(rows,)` or `(rows, 1)`, of any array type.
        names: class names in label order.

    Raises:
        ValueError: a label is missing, is not a class, or could mean two classes.
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
    """Returns the positions of classes that are given as numbers: as positions or names."""
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


def checked_names(given: Sequence[str]) -> tuple[str, ...]:
    """Returns the names that a user gives; raises ValueError if they are not valid names."""
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
            "A class is one name. Where texts have several labels, every row of the label column "
            f"holds a list, also one without or with one label: pass target='labels'. {found}"
        )
    return ValueError(
        "Labels must be all strings, all whole numbers or all booleans. Convert the label column "
        f"to str. {found}, of type {' and '.join(sorted(kinds))}"
    )


def _names(values: Iterable[Hashable], kind: str, untyped: bool, where: str) -> dict[Hashable, str]:
    """Maps each label value to the name of its class."""
    values = list(values)
    if measured := fractions(values, untyped):
        raise ValueError(
            f"Labels must be classes, not measurements. To learn the numbers pass "
            f"target='number'. For classes bin them, for example with pandas.cut, or pass another "
            f"column; if they are names of classes, convert the column to str (for a CSV file pass "
            f"dtype=str). Received: {where!r} with labels such as {shorten(measured, 3)}"
        )
    if kind == "number":
        return {value: str(_whole_number(value)) for value in values}
    return {value: str(value) for value in values}


def fractions(values: Sequence[Any] | npt.NDArray[Any], untyped: bool) -> list[Any]:
    """Returns the values that are not whole, if all values are numbers.

    Args:
        values: distinct labels.
        untyped: whether strings count as the numbers they look like.
    """
    for value in values:
        is_text = isinstance(value, str)
        is_number = isinstance(value, Number) and not isinstance(value, bool | np.bool_)
        if not (untyped and NUMBER.fullmatch(value) if is_text else is_number):
            return []
    return [value for value in values if _whole_number(value) is None]


def _whole_number(value: Any) -> int | None:
    try:
        return int(str(value))  # exact; as floats, two long identifiers could become equal
    except ValueError:
        number = float(value)
        # Beyond 2**53, two whole numbers may have become the same float.
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


def _warn_of_odd_names(names: Sequence[str], values: int, where: str, noun: str) -> None:
    if len(names) > 50 and 2 * len(names) > values:
        warn(
            f"{where} has {len(names):,} {noun} in {values:,} rows: is label= the right column? "
            f"The first are {shorten(names, 3)}."
        )
    measured = [name for name in names if _MEASURED.fullmatch(name)]
    if 2 * len(measured) > len(names) and not all(map(NUMBER.fullmatch, names)):
        warn(
            f"{where} has {noun} that look like measurements, such as {shorten(measured[:3])}. If "
            "they are, pass target='number', which also says what among them is no number."
        )
    alike: dict[Any, list[str]] = {}
    for name in names:
        meaning = Decimal(name) if NUMBER.fullmatch(name) else name.strip().casefold()
        alike.setdefault(meaning, []).append(name)
    pairs = [names for names in alike.values() if len(names) > 1]
    if pairs:
        warn(
            f"{where} has {noun} that look like one written in several ways: "
            f"{'; '.join(shorten(names, 3) for names in pairs[:3])}. They stay separate; fix the "
            "label column if they are the same."
        )
