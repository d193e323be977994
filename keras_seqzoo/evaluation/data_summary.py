"""`summarise`: what to know about training, validation and test rows before any figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from keras_seqzoo.data.series import SeriesTable
from keras_seqzoo.data.splitting import count_in_several
from keras_seqzoo.data.table import TextTable
from keras_seqzoo.data.targets import AnyOf, Number, OneOf, answer_numbers

_EXAMPLES = 5
_FEW_ROWS = 100
_MOST = 0.9
_FIGURES = ["part", "name", "min", "median", "max", "mean", "std"]
_COLUMNS = {
    "rows": int,
    "empty": int,
    "duplicates": int,
    "conflicts": int,
    "words_median": float,
    "words_p95": float,
    "words_max": int,
    "characters_median": float,
    "characters_max": int,
}
_NAN_FIGURES = (np.nanmin, np.nanmedian, np.nanmax, np.nanmean, np.nanstd)
_FEW_BLOCKS = 6
_OF_SERIES = {"rows": int, "series": int, "first": str, "last": str, "left_out": int}


@dataclass(frozen=True)
class DataSummary:
    """Sizes of the parts of a split, and problems with them. Made by `summarise`.

    Two texts are the same if they differ only in case or surrounding space. Two pairs are the same
    if both their texts are.

    Attributes:
        parts: a row for each given part of `train`, `valid` and `test`. Columns: `rows`; `empty`,
            rows with a text of only space; `duplicates`, rows whose text an earlier row of the
            part has; `conflicts`, texts that occur with different labels; `words_median`,
            `words_p95`, `words_max`, numbers of words, separated by space, for pairs in both
            texts; `characters_median`, `characters_max`. For series: `rows`, the windows;
            `series`; `first` and `last`, times of the inputs and answers; `left_out`, windows.
        class_counts: rows of each class, or with each label: a row for each class, a column for
            each part; no rows if the labels are numbers, or if there are no labels.
        numbers: if the labels are numbers, and for series, a row for each part and number: columns
            `part`, `name`, `min`, `median`, `max`, `mean`, `std`.
        shared: number of texts that two parts share, such as `{"train and test": 3}`; leaves out
            parts that share none, and empty texts.
        shared_examples: up to five of these texts; a bar separates the texts of a pair.
        warnings: what a reader of the figures should know, in sentences.
    """

    parts: pd.DataFrame = field(repr=False)
    class_counts: pd.DataFrame = field(repr=False)
    shared: dict[str, int]
    shared_examples: tuple[str, ...] = field(repr=False)
    warnings: tuple[str, ...]
    numbers: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=_FIGURES), repr=False
    )

    def as_dict(self) -> dict[str, Any]:
        """Returns everything as plain lists, dicts, numbers and strings, ready for JSON."""
        return {
            "parts": self.parts.to_dict(orient="index"),
            "class_counts": self.class_counts.to_dict(),
            "numbers": self.numbers.to_dict(orient="records"),
            "shared": dict(self.shared),
            "shared_examples": list(self.shared_examples),
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DataSummary:
        """Reads what `as_dict` made."""
        return cls(
            parts=_frame(values["parts"]),
            class_counts=_counts(values["class_counts"]),
            shared=dict(values["shared"]),
            shared_examples=tuple(values["shared_examples"]),
            warnings=tuple(values["warnings"]),
            numbers=pd.DataFrame(values.get("numbers", []), columns=_FIGURES),
        )


def summarise(
    train: TextTable | SeriesTable | None = None,
    valid: TextTable | SeriesTable | None = None,
    test: TextTable | SeriesTable | None = None,
) -> DataSummary:
    """Counts rows, lengths, classes, duplicates and texts that parts of a split share.

    Args:
        train: training rows; None, or a table without rows, if there are none.
        valid: validation rows, or None; with the target of `train`.
        test: test rows, or None; with the target of `train`.

    Returns:
        A `DataSummary`.

    Raises:
        TypeError: a part is no `TextTable` or `SeriesTable`; a stream cannot be summarised.
        ValueError: no part has rows, or they differ in classes, labels, numbers or pairs.
    """
    given = {"train": train, "valid": valid, "test": test}
    tables: dict[str, Any] = {}
    for name, table in given.items():
        if table is not None and not isinstance(table, TextTable | SeriesTable):
            raise TypeError(
                f"Tables are summarised in memory. Read `{name}` without stream=True, or a part "
                f"of its rows. Received: {name}={table!r}"
            )
        if table is not None and len(table):
            tables[name] = table
    if not tables:
        raise ValueError(
            "There must be rows to summarise. Pass train=, valid= or test=. "
            f"Received: {', '.join(f'{name}={table!r}' for name, table in given.items())}"
        )
    if len({(table.inputs, table.target) for table in tables.values()}) > 1:
        raise ValueError(
            "The parts must have the same classes, labels or numbers, and all texts or all pairs. "
            f"Read the others with read_table(…, target=train.target). Received: {tables}"
        )
    if isinstance(next(iter(tables.values())), SeriesTable):
        return _of_series(tables)
    ids = {name: table.ids() for name, table in tables.items()}
    parts = _frame({name: _part(table, ids[name]) for name, table in tables.items()})
    counts = _counts({name: table.class_counts for name, table in tables.items()})
    figures = [row for name, table in tables.items() for row in _figures(name, table)]
    shared, examples, warnings = _shared(tables, ids)
    one = next(iter(tables.values()))
    warnings += _absent_warnings(counts, "label" if isinstance(one.target, AnyOf) else "class")
    if isinstance(one.target, OneOf):
        warnings += _skewed_warnings(counts)
    warnings += _part_warnings(parts, one)
    numbers = pd.DataFrame(figures, columns=_FIGURES)
    return DataSummary(parts, counts, shared, examples, tuple(warnings), numbers)


def _of_series(tables: Mapping[str, SeriesTable]) -> DataSummary:
    parts, numbers, warnings = {}, [], []
    values = {name: np.concatenate([*table.covered.values()]) for name, table in tables.items()}
    for name, table in tables.items():
        first, last = table.window_times().min(), table.label_times.max()
        parts[name] = {
            "rows": len(table),
            "series": len(table.covered),
            "first": str(first).removesuffix("T00:00:00.000000"),
            "last": str(last).removesuffix("T00:00:00.000000"),
            "left_out": table.left_out,
        }
        numbers += [
            [name, column, *(float(f(v)) for f in _NAN_FIGURES)]
            for column, v in zip(table.inputs.columns, values[name].T, strict=True)
        ]
    if "test" in tables:
        blocks = int(np.max(tables["test"].blocks)) + 1
        if blocks < _FEW_BLOCKS:
            warnings.append(
                f"The test has windows of only {_count(blocks, 'block')} that hardly depend on "
                "each other: too few for intervals, and to show a difference."
            )
    if "test" in tables and "train" in tables:
        for place, column in enumerate(tables["test"].inputs.columns):
            seen, asked = values["train"][:, place], tables["test"].labels
            if asked is None or asked.ndim != 3:
                break
            outside = (asked[..., place] > np.nanmax(seen)) | (asked[..., place] < np.nanmin(seen))
            if outside.mean() > 0.1:
                warnings.append(
                    f"{100 * outside.mean():.0f} % of the test values of {column} lie outside of "
                    "all training values: the series has moved on, which scale='window' may follow."
                )
    counts = _counts({name: table.class_counts for name, table in tables.items()})
    warnings += _absent_warnings(counts, "class") + _skewed_warnings(counts)
    figures = pd.DataFrame(numbers, columns=_FIGURES)
    return DataSummary(_frame(parts), counts, {}, (), tuple(warnings), figures)


def _frame(rows: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    kinds: dict[str, Any] = _OF_SERIES if "first" in next(iter(rows.values())) else _COLUMNS
    return pd.DataFrame(list(rows.values()), index=list(rows), columns=list(kinds)).astype(kinds)


def _counts(columns: Mapping[str, Mapping[str, int]]) -> pd.DataFrame:
    return pd.DataFrame(columns).astype(int).rename_axis("class")


def _figures(part: str, table: TextTable) -> list[list[Any]]:
    if not isinstance(table.target, Number) or table.labels is None:
        return []
    columns = zip(table.target.names, table.labels.T.astype(float), strict=True)
    return [
        [part, name, *(float(f(v)) for f in (np.min, np.median, np.max, np.mean, np.std))]
        for name, v in columns
    ]


def _part(table: TextTable, ids: np.ndarray) -> dict[str, float]:
    texts = table.texts.reshape(len(table), -1)  # a column for each side of a pair
    each = np.array([[len(text.split()) for text in row] for row in texts])
    words = each.sum(axis=1)
    characters = np.array([sum(map(len, row)) for row in texts])
    labels = table.labels
    return {
        "rows": len(table),
        "empty": int((each == 0).any(axis=1).sum()),
        "duplicates": len(ids) - len(np.unique(ids)),
        "conflicts": 0 if labels is None else count_in_several(ids, answer_numbers(labels)),
        "words_median": float(np.median(words)),
        "words_p95": float(np.percentile(words, 95)),
        "words_max": int(words.max()),
        "characters_median": float(np.median(characters)),
        "characters_max": int(characters.max()),
    }


def _shared(
    tables: Mapping[str, TextTable], ids: Mapping[str, np.ndarray]
) -> tuple[dict[str, int], tuple[str, ...], list[str]]:
    counts, examples, warnings = {}, [], []
    for first, second in combinations(tables, 2):
        sides = tables[second].texts.reshape(len(ids[second]), -1)
        noun = tables[second].inputs.name
        has_words = np.array([any(text.strip() for text in row) for row in sides])
        rows = np.flatnonzero(np.isin(ids[second], ids[first]) & has_words)
        _, at = np.unique(ids[second][rows], return_index=True)
        if len(rows):
            counts[f"{first} and {second}"] = len(at)
            examples += [" | ".join(sides[row]) for row in rows[np.sort(at)]]
            is_test = second == "test"
            warnings.append(
                f"{_count(len(at), noun)} of {first} {'is' if len(at) == 1 else 'are'} also in "
                f"{second}, in {len(rows):,} of its {len(tables[second]):,} rows: "
                + (
                    "the accuracy on them is not earned."
                    if is_test and first == "train"
                    else "what was chosen by them is tested on them."
                    if is_test
                    else "the validation figures are too good by them."
                )
            )
    return counts, tuple(dict.fromkeys(examples))[:_EXAMPLES], warnings


def _absent_warnings(counts: pd.DataFrame, noun: str) -> list[str]:
    warnings = []
    for part, rows in counts.items():
        absent = [str(name) for name in counts.index[rows == 0]]
        if absent:
            said = {"train": "learnt", "test": "tested"}.get(str(part), "validated")
            names = ", ".join(map(repr, absent[:_EXAMPLES]))
            more = f" and {len(absent) - _EXAMPLES:,} more" if len(absent) > _EXAMPLES else ""
            warnings.append(
                f"{_some(len(absent), noun).capitalize()} {names}{more} "
                f"{'has' if len(absent) == 1 else 'have'} no rows in {part} and cannot be {said}."
            )
    return warnings


def _skewed_warnings(counts: pd.DataFrame) -> list[str]:
    warnings = []
    for part, rows in counts.items():
        if len(rows) and _MOST * rows.sum() < rows.max() < rows.sum():
            share = 100 * rows.max() / rows.sum()
            warnings.append(
                f"{share:.1f} % of the rows of {part} are of class {rows.idxmax()!r}: "
                "look at macro-F1, for accuracy is high without any skill."
            )
    return warnings


def _part_warnings(parts: pd.DataFrame, one: TextTable) -> list[str]:
    warnings = []
    noun = one.inputs.name
    if "test" in parts.index and (rows := int(parts["rows"]["test"])) < _FEW_ROWS:
        warnings.append(
            f"The test has only {_count(rows, 'row')}: "
            + (
                "another draw of them would give other figures."
                if isinstance(one.target, Number)
                else f"the standard error of an accuracy is up to {50 / np.sqrt(rows):.1f} "
                "percentage points."
            )
        )
    for part, conflicts in parts["conflicts"].items():
        if conflicts:
            warnings.append(
                f"{_count(conflicts, noun)} of {part} {'occurs' if conflicts == 1 else 'occur'} "
                "with different labels: no model can be right in all of these rows."
            )
    for part, empty in parts["empty"].items():
        if empty:
            warnings.append(
                f"{_count(empty, noun)} of {part} {'is' if empty == 1 else 'are'} empty."
                if noun == "text"
                else f"{_count(empty, noun)} of {part} {'has' if empty == 1 else 'have'} an empty "
                "text."
            )
    return warnings


def _count(number: int, noun: str) -> str:
    return f"{number:,} {_some(number, noun)}"


def _some(number: int, noun: str) -> str:
    return noun if number == 1 else f"{noun}{'es' if noun == 'class' else 's'}"
