"""Labels as they are written to classes: their names, order and counts."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
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
