"""Numeric sequences: `read_series` reads columns of numbers in time and cuts them into windows.

A window is `window` steps of a series; its answer lies in the `horizon` steps that follow. Windows
are made on request: a table holds the steps once, and the start of each window.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from keras_seqzoo.checks import check_not_negative, check_whole
from keras_seqzoo.data.inputs import Input
from keras_seqzoo.data.reading import (
    NUMBER,
    encoding_of,
    file_format,
    layout_hint,
    pick_column,
    read_frames,
    shorten,
)
from keras_seqzoo.data.sources import as_frame, find_files, name_of
from keras_seqzoo.data.splitting import positions, rows_in
from keras_seqzoo.data.steps import Step
from keras_seqzoo.data.targets import Future, OneOf, Target, target_from_dict
from keras_seqzoo.metrics.statistics import blocks_in_time

DIRECTIONS = ("down", "up")
_GAPS = ("error", "fill", "join")
_ARRAYS = ("times", "values", "known")
_MISSING = {"", "na", "n/a", "nan", "null", "none"}
_SHOWN = 3


def read_series(
    source: Any,
    time: str | int = "Date",
    value: str | int | Sequence[str | int] = "Close",
    window: int = 60,
    horizon: int = 5,
    *,
    key: str | int | None = None,
    target: str | None = "future",
    gaps: str = "error",
    carry: int = 3,
    time_format: str | None = None,
    encoding: str | None = None,
    **read_options: Any,
) -> SeriesTable:
    """Reads series of numbers from a file or a DataFrame, and cuts them into windows.

    Times are dates and times as pandas reads them (those with a time zone are converted to UTC), or
    whole numbers that count. They must rise by one step, which is detected: a number of months,
    weekdays, days, hours, …

    An empty field, "NA", "NaN", "null" or "None" is a missing value. In a window, the last known
    value replaces up to `carry` missing ones in a row. Values to predict are never filled in:
    windows with a missing value among those, or with a longer gap, are left out and counted.

    Args:
        source: a file, a pattern of several, an open file or a DataFrame, as `read_table` takes
            them.
        time: time column, by name or position; for a DataFrame also the name of its index.
        value: one or more columns of numbers, by name or position.
        window: number of steps that a model reads.
        horizon: number of steps after them that it predicts.
        key: column that names the series, if a file has several; their rows may be mixed.
        target: `"future"`, the values of all columns in the horizon; or `"direction"`, whether
            the first column's value at the end of the horizon is above that at the end of the
            window: class `"up"`, else (also if it is the same) `"down"`. None predicts nothing:
            windows reach to the end of the series, to forecast from there.
        gaps: what to do if times are missing: `"error"`; `"fill"`, which treats them as missing
            values; or `"join"`, which treats each row as the step after the row before, as for
            trading days.
        carry: most missing values in a row that the last known value replaces.
        time_format: as in `pandas.to_datetime`, such as `"%d.%m.%Y"`. By default the format of the
            first time is detected, and all others must have it, too.
        encoding: codec of a text file. By default detected from the whole file.
        **read_options: options of `pandas.read_csv`, `read_excel` and so on, as in `read_table`.
            `decimal` and `thousands` say how numbers are written.
            `decimal` and `thousands` say how numbers are written.

    Returns:
        A `SeriesTable`, with windows in the order of the series and of time.

    Raises:
        FileNotFoundError: no such file.
        TypeError: `source` is of another type.
        ValueError: an unsuitable argument; a file that does not decode or parse, or lacks a column;
            times that do not parse, are not in order, occur twice or leave gaps; values that are
            not finite numbers; a series that never changes or is shorter than one window and its
            horizon.

    Example:
        >>> days = pd.date_range("2024-01-01", periods=8)
        >>> frame = pd.DataFrame({"Date": days, "Close": [1, 2, 4, 3, 5, 6, 8, 7]})
        >>> table = read_series(frame, window=3, horizon=2)
        >>> table.windows([0])[0, :, 0], table.labels[0, :, 0]
        (array([1., 2., 4.], dtype=float32), array([3., 5.], dtype=float32))
    """
    check_whole(window=window, horizon=horizon)
    check_not_negative(carry=carry)
    for name, given, known in (
        ("target", target, ("future", "direction", None)),
        ("gaps", gaps, _GAPS),
    ):
        if given not in known:
            raise ValueError(
                f"`{name}` must be one of {', '.join(map(repr, known))}. Received: {name}={given!r}"
            )
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    if not values:
        raise ValueError(
            f"A series has one or more columns of numbers. Name them. Received: value={value!r}"
        )
    roles = [("time", time), *(("value", v) for v in values), *[("key", key)] * (key is not None)]
    marks = {name: read_options.pop(name, None) for name in ("decimal", "thousands")}
    name, frame, columns = _read(source, roles, encoding, read_options)
    names = tuple(map(str, columns[1 : len(values) + 1]))
    parts = [("", frame)] if key is None else list(_by_key(frame, columns[-1], name))
    steps = []
    for at, part in parts:
        where = f"{name!r}, {key}={at!r}" if at else repr(name)
        times = _times(part.iloc[:, 0], where, time_format)
        numbers = np.stack(
            [_numbers(part.iloc[:, i + 1], where, marks) for i in range(len(names))], axis=1
        )
        steps.append((at, where, times, numbers))
    step = Step.of(max((times for _, _, times, _ in steps), key=len))
    series = []
    for at, where, times, numbers in steps:
        if gaps != "join":
            times, numbers = _on_grid(times, numbers, step, where, fill=gaps == "fill")
        _check_changes(numbers, names, where)
        if len(numbers) < window + (horizon if target else 0):
            raise ValueError(
                "A series must be at least as long as one window and its horizon together. Make "
                "them shorter, or leave that series out. "
                f"Received: {where} with {len(numbers):,} steps, window={window}, horizon={horizon}"
            )
        series.append(_Series(at, times.to_numpy(), numbers, _carried(numbers, carry)))
    return _windows(tuple(series), name, names, window, horizon, step, target)


@dataclass(frozen=True, eq=False)
class _Series:
    """The steps of one series: `known` has short gaps filled, `values` are as they were read."""

    key: str
    times: npt.NDArray[Any]
    values: npt.NDArray[np.float64]
    known: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class SeriesTable:
    """Windows of one or more series, with the values to predict. Read one with `read_series`.

    Attributes:
        source: the path or other source of the series, for messages.
        inputs: the input `"series"` with the names of the value columns.
        target: `Future`, or `OneOf` `("down", "up")`; None if there is nothing to predict.
        window: number of steps of a window.
        horizon: number of steps to predict.
        step: the time between two steps; with `gaps="join"` the most frequent.
        left_out: number of windows left out because a value is missing; in a training part, those
            between it and the other parts.
    """

    source: str
    inputs: Input
    target: Target | None
    window: int
    horizon: int
    step: Step
    left_out: int
    _series: tuple[_Series, ...]
    _rows: npt.NDArray[np.int64]  # (rows, 2): number of the series, first step of the window

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        keys = f" of {len(self._series)} series" if len(self._series) > 1 else ""
        kinds: dict[Any, str] = {Future: "future of", OneOf: "direction of", type(None): "before"}
        asked = kinds[type(self.target)]
        times = self.times
        span = f", {_shown(times.min())} to {_shown(times.max())}" if len(times) else ""
        left_out = f", {self.left_out:,} left out" if self.left_out else ""
        return (
            f"SeriesTable({self.source!r}, {len(self):,} windows{keys}, each {self.window} steps "
            f"of {', '.join(self.inputs.columns)}, {asked} {self.horizon} steps of {self.step}"
            f"{span}{left_out})"
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order; `()` if the target is values."""
        return self.target.names if isinstance(self.target, OneOf) else ()

    @property
    def class_counts(self) -> dict[str, int]:
        """Windows of each class, by name and in order; `{}` if the target is values."""
        if not isinstance(self.target, OneOf):
            return {}
        counts = self.target.counts(self.labels)
        return dict(zip(self.classes, counts.tolist(), strict=True))

    @property
    def questions(self) -> SeriesTable:
        """Returns what a model's `predict` takes: the table."""
        return self

    @property
    def blocks(self) -> npt.NDArray[np.intp]:
        """Blocks of neighbouring windows `(rows,)`; see `metrics.statistics.blocks_in_time`."""
        return blocks_in_time(self.times, self.horizon)

    @property
    def times(self) -> npt.NDArray[Any]:
        """The last time of each window `(rows,)`, from which the model predicts."""
        return self._gather("times", [self.window - 1])[:, 0]

    @property
    def keys(self) -> npt.NDArray[np.object_]:
        """The key of each window's series `(rows,)`, `""` if there is only one series."""
        return np.array([s.key for s in self._series], object)[self._rows[:, 0]]

    def windows(self, indices: Any = None) -> npt.NDArray[np.float32]:
        """Gathers windows: float32 `(rows, window, columns)`.

        Args:
            indices: positions or a mask, as in `take`; by default all.
        """
        table = self if indices is None else self.take(indices)
        return table._gather("known", range(self.window)).astype(np.float32)

    def steps(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """All series end to end, float32 `(steps, columns)`, and the start of each window in it."""
        ends = np.cumsum([0, *(len(series.known) for series in self._series)])
        every = np.concatenate([series.known for series in self._series]).astype(np.float32)
        return every, ends[self._rows[:, 0]] + self._rows[:, 1]

    @property
    def labels(self) -> Any:
        """The answers: float32 `(rows, horizon, columns)`, or int32 `(rows,)` for a direction.

        None if there is nothing to predict.
        """
        if self.target is None:
            return None
        ends = range(self.window, self.window + self.horizon)
        if isinstance(self.target, Future):
            return self._gather("values", ends).astype(np.float32)
        last = self._gather("values", [ends[-1]])[:, 0, 0]
        return (last > self._gather("known", [self.window - 1])[:, 0, 0]).astype(np.int32)

    def window_times(self) -> npt.NDArray[Any]:
        """The times of the steps of each window, `(rows, window)`."""
        return self._gather("times", range(self.window))

    @property
    def label_times(self) -> npt.NDArray[Any]:
        """The times in the horizon of each window, `(rows, horizon)`.

        Beyond the end of a series, they are spaced by one step.
        """
        ends = range(self.window, self.window + self.horizon)
        if self.target is not None:
            return self._gather("times", ends)
        after = tuple(
            replace(series, times=np.concatenate([series.times, self._after(series.times)]))
            for series in self._series
        )
        return replace(self, _series=after)._gather("times", ends)

    def _after(self, times: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns the times in a horizon after the last of these times."""
        places = np.arange(1, self.horizon + 1)
        last = pd.Series(times[-1:]).iloc[0]
        return self.step.after(last, places).to_numpy(times.dtype)

    def renamed(self, columns: Sequence[str]) -> SeriesTable:
        """Returns the table with other names for its columns, in the same order."""
        target = self.target
        if isinstance(target, Future):
            target = Future(tuple(columns), self.horizon)
        return replace(self, inputs=replace(self.inputs, columns=tuple(columns)), target=target)

    def last_windows(self) -> SeriesTable:
        """Returns the last window of each series."""
        _, at = np.unique(self._rows[::-1, 0], return_index=True)
        return self.take(np.sort(len(self) - 1 - at))

    @cached_property
    def covered(self) -> dict[str, npt.NDArray[np.float64]]:
        """The series by key, `(steps, columns)`, from their start to the last step to predict.

        Steps that no window of this table covers are NaN, and so are missing values.
        """
        found = {}
        for number, series in enumerate(self._series):
            starts = self._rows[self._rows[:, 0] == number, 1]
            if not len(starts):
                continue
            edges = np.zeros(len(series.values) + 1, np.int64)
            np.add.at(edges, starts, 1)
            np.add.at(edges, starts + self.window + self.horizon, -1)
            seen = np.cumsum(edges)[:-1] > 0
            values = np.where(seen[:, None], series.values, np.nan)
            found[series.key] = values[: starts.max() + self.window + self.horizon]
        return found

    def before(self, steps: int) -> npt.NDArray[np.float64]:
        """The steps up to each window's end, `(rows, steps, columns)`, NaN before the first."""
        found = np.full((len(self), steps, len(self.inputs.columns)), np.nan)
        ends = self._rows[:, 1] + self.window
        for number, series in enumerate(self._series):
            rows = np.flatnonzero(self._rows[:, 0] == number)
            at = ends[rows, None] + np.arange(-steps, 0)
            found[rows] = np.where((at >= 0)[..., None], series.known[at.clip(0)], np.nan)
        return found

    def chunks(self, rows: int = 4096) -> Iterator[tuple[SeriesTable, npt.NDArray[Any]]]:
        """Yields parts of the table and their answers, `rows` at a time."""
        for start in range(0, len(self), rows):
            part = self.take(np.arange(start, min(start + rows, len(self))))
            yield part, part.labels

    def take(self, indices: Any) -> SeriesTable:
        """Returns the windows at these positions, or those for which a mask `(rows,)` is true.

        Raises:
            ValueError: neither positions nor a mask as long as the table.
            IndexError: a position outside the table.
        """
        return replace(self, _rows=self._rows[positions(indices, len(self))])

    def split(
        self, valid: float = 0.1, test: float = 0.1
    ) -> tuple[SeriesTable, SeriesTable, SeriesTable]:
        """Splits each series in the order of time: first training, then validation, then test.

        The windows of a later part read earlier steps, as in real use. But no step to predict in
        one part is predicted or read in an earlier part: a window of an earlier part ends, horizon
        included, before the first step to predict in the later part. So up to `horizon - 1` windows
        between two parts are left out.

        Args:
            valid: fraction below 1 of each series' windows, or a number of them; 0 for none.
            test: as `valid`.

        Returns:
            `(train, valid, test)`, windows in the order of the table.

        Raises:
            ValueError: unsuitable sizes, or a series too short for them.
        """
        part_of = np.full(len(self), -1)
        for number, series in enumerate(self._series):
            rows = np.flatnonzero(self._rows[:, 0] == number)
            if not len(rows):
                continue
            rows = rows[np.argsort(self._rows[rows, 1], kind="stable")]
            total = len(rows)
            for part, name, size in ((2, "test", test), (1, "valid", valid)):
                count = rows_in(total, name, size)
                if 0 < count < len(rows):
                    part_of[rows[-count:]] = part
                    first = self._rows[rows[-count], 1]
                    rows = rows[self._rows[rows, 1] + self.horizon <= first]
                elif count:
                    rows = rows[:0]
            if not len(rows):
                where = f" of {series.key!r}" if series.key else ""
                raise ValueError(
                    "valid and test must leave windows to train on in every series, with "
                    "horizon - 1 between two parts. Make them smaller. Received: "
                    f"valid={valid!r}, test={test!r} of {total:,} windows{where}, "
                    f"horizon={self.horizon}"
                )
            part_of[rows] = 0
        between = int((part_of < 0).sum())
        parts = [replace(self.take(part_of == part), left_out=0) for part in range(3)]
        return replace(parts[0], left_out=between), parts[1], parts[2]

    def fingerprint(self) -> str:
        """Returns 16 hex digits that identify the windows, their order and the answers."""
        digest = sha256(repr((self.inputs, self.target, self.window, self.horizon)).encode())
        for array in (
            self._rows,
            *(s.known for s in self._series),
            *(s.values for s in self._series),
        ):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the whole table, as values for JSON and arrays by name."""
        told = {
            "source": self.source,
            "columns": list(self.inputs.columns),
            "target": None if self.target is None else self.target.as_dict(),
            "window": self.window,
            "horizon": self.horizon,
            "step": [self.step.unit, self.step.size],
            "left_out": self.left_out,
            "keys": [series.key for series in self._series],
        }
        arrays = {
            f"{what}_{number}": getattr(series, what)
            for number, series in enumerate(self._series)
            for what in _ARRAYS
        }
        return told, {**arrays, "rows": self._rows}

    @classmethod
    def from_arrays(
        cls, told: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> SeriesTable:
        """Makes the table from the result of `to_arrays`.

        Raises:
            KeyError: something is missing.
            TypeError: a value of another type.
            ValueError: arrays that do not fit together.
        """
        columns, rows = tuple(map(str, told["columns"])), arrays["rows"]
        series = tuple(
            _Series(str(key), *(arrays[f"{what}_{number}"] for what in _ARRAYS))
            for number, key in enumerate(told["keys"])
        )
        target = None if told["target"] is None else target_from_dict(told["target"])
        window, horizon = int(told["window"]), int(told["horizon"])
        check_whole(window=window, horizon=horizon)
        lengths = np.array([len(one.times) for one in series])
        shapes = {one.values.shape for one in series} | {one.known.shape for one in series}
        kinds = {one.times.dtype.kind for one in series}
        if (
            not shapes <= {(length, len(columns)) for length in lengths.tolist()}
            or any(len(one.times) != len(one.known) for one in series)
            or any(len(one.times) != len(one.values) for one in series)
            or {a.dtype for one in series for a in (one.values, one.known)} != {np.dtype(float)}
            or not (kinds == {"M"} or kinds <= {"i", "u"})
            or rows.dtype != np.int64
            or rows.shape != (len(rows), 2)
            or (rows < 0).any()
            or (rows[:, 0] >= len(series)).any()
            or (rows[:, 1] + window + (horizon if target else 0) > lengths[rows[:, 0]]).any()
        ):
            raise ValueError("arrays that are no series and their windows")
        unit, size = told["step"]
        step = Step(str(unit), int(size))
        inputs, left_out = Input("series", columns, "windows"), int(told["left_out"])
        source = str(told["source"])
        return cls(source, inputs, target, window, horizon, step, left_out, series, rows)

    def _gather(self, what: str, offsets: Sequence[int]) -> npt.NDArray[Any]:
        """Gathers steps at these offsets from each window's start: `(rows, offsets[, columns])`."""
        arrays = [getattr(series, what) for series in self._series]
        found = np.empty((len(self), len(offsets), *arrays[0].shape[1:]), arrays[0].dtype)
        at = self._rows[:, 1, None] + np.asarray(offsets)
        for number, array in enumerate(arrays):
            rows = self._rows[:, 0] == number
            found[rows] = array[at[rows]]
        return found


def _windows(
    series: tuple[_Series, ...],
    source: str,
    names: tuple[str, ...],
    window: int,
    horizon: int,
    step: Step,
    target: str | None,
) -> SeriesTable:
    """The table of all windows without missing values."""
    rows, left_out = [], 0
    for number, one in enumerate(series):
        asked = one.values if target == "future" else one.values[:, :1]
        reach = window + (horizon if target else 0)
        read = _sums(_any_missing(one.known), window)[: len(asked) - reach + 1]
        missing = _any_missing(asked)
        if target is None:
            lacking = np.zeros(len(read), np.int64)
        elif target == "future":
            lacking = _sums(missing, horizon)[window:]
        else:
            lacking = missing[window + horizon - 1 :].astype(np.int64)
        starts = np.flatnonzero((read == 0) & (lacking == 0))
        left_out += len(read) - len(starts)
        rows.append(np.stack([np.full(len(starts), number), starts], axis=1))
    found = np.concatenate(rows).astype(np.int64)
    if not len(found):
        raise ValueError(
            "At least one window must have all of its values. Make window and horizon shorter, or "
            f"carry longer. Received: {source!r}, where each of {left_out:,} windows lacks one"
        )
    kinds: dict[str | None, Target | None]
    kinds = {"future": Future(names, horizon), "direction": OneOf(DIRECTIONS, horizon), None: None}
    inputs = Input("series", names, "windows")
    return SeriesTable(
        source, inputs, kinds[target], window, horizon, step, left_out, series, found
    )


def _any_missing(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isnan(values).any(axis=1))


def _sums(flags: npt.NDArray[np.bool_], length: int) -> npt.NDArray[np.int64]:
    """Counts the set flags in each run of `length` flags."""
    sums = np.concatenate([[0], np.cumsum(flags)])
    return np.asarray(sums[length:] - sums[:-length], np.int64)


def _read(
    source: Any, roles: Sequence[tuple[str, Any]], encoding: str | None, options: dict[str, Any]
) -> tuple[str, pd.DataFrame, list[Hashable]]:
    """Returns the source's name, its columns in the order of the roles, and their names."""

    def pick(columns: Sequence[Hashable], where: str, hint: Any = str) -> list[Hashable]:
        picked = [pick_column(columns, wanted, role, where, hint) for role, wanted in roles]
        if len(set(picked)) < len(picked):
            raise ValueError(
                "Times, values and keys must be different columns. Pass each once. Received: "
                + ", ".join(f"{role}={wanted!r}" for role, wanted in roles)
            )
        return picked

    if (held := as_frame(source)) is not None:
        if encoding is not None or options:
            raise ValueError(
                "A DataFrame is read already. Leave encoding and read options out, or pass the "
                f"file. Received: encoding={encoding!r}, options {shorten(list(options))}"
            )
        if held.index.name is not None and held.index.name not in held.columns:
            held = held.reset_index()
        picked = pick(list(held.columns), name_of(source))
        return name_of(source), held[picked].reset_index(drop=True), picked
    frames = []
    for file in find_files(source)[0]:
        codec = encoding_of(file, encoding, options)
        hint = partial(layout_hint, file, codec, options) if file_format(file) == "csv" else str
        choose = partial(pick, where=str(file), hint=hint)
        for columns, frame in read_frames(file, choose, codec, options, stream=False):
            picked = choose(columns)
            frames.append(frame.reindex(columns=picked))
    whole = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    if whole.empty:
        raise ValueError(
            f"A series needs at least one row. Check the file, and its header. Received: {source!r}"
        )
    return name_of(source), whole, picked


def _by_key(frame: pd.DataFrame, column: Hashable, name: str) -> Iterator[tuple[str, pd.DataFrame]]:
    missing = np.flatnonzero(frame[column].isna())
    if len(missing):
        raise ValueError(
            f"Every row must say which series it is of. Fill the key column, or leave such rows "
            f"out. Received: {name!r}, where key={column!r} is missing in {len(missing):,} rows: "
            f"row {shorten((missing + 1).tolist(), _SHOWN)} (counted from 1, without the header)"
        )
    for key, part in frame.groupby(frame[column], sort=False):
        yield str(key), part


def _times(values: pd.Series, where: str, time_format: str | None) -> pd.Series:
    """Returns datetimes or whole numbers, checked to rise; the index still counts the rows."""
    if values.dtype.kind in "iu" or (
        time_format is None
        and values.dtype.kind not in "mM"
        and values.notna().all()
        and all(NUMBER.fullmatch(str(value)) for value in values)
    ):
        times = pd.to_numeric(values)
        bad = times[times % 1 != 0]
    else:
        try:
            times = pd.to_datetime(values, errors="coerce", format=time_format, utc=True)
        except (TypeError, ValueError) as error:
            raise ValueError(
                "Times must be dates and times, or whole numbers. Convert the column with "
                f"pandas.to_datetime. Received: {where} with {values.iloc[0]!r}: {error}"
            ) from error
        times = times.dt.tz_localize(None)
        bad = values[times.isna()]
    if len(bad):
        raise ValueError(
            "Every time must be a date or a time, in the format of the first, or a whole number. "
            "Pass time_format=, such as '%d.%m.%Y', or fix the column. "
            f"Received: {where} with {bad.tolist()[0]!r} in row {bad.index[0] + 1}, and "
            f"{len(bad) - 1:,} more; the first time is {values.tolist()[0]!r}"
        )
    if len(times) < 2:
        raise ValueError(
            f"A series needs at least two times. Check the time and key columns. Received: {where} "
            f"with {len(times)} row{'s' * (len(times) != 1)}"
        )
    steps = times.diff().iloc[1:]
    zero = steps.iloc[0] * 0
    same, back = steps.index[steps == zero], steps.index[steps < zero]
    if len(same):
        raise ValueError(
            "A time may occur only once in a series. Pass key= if the rows are of several series, "
            "or take one of the rows, as with frame.groupby(time).mean(). "
            f"Received: {where} with {_shown(times[same[0]])} twice, in row {same[0] + 1}, and "
            f"{len(same) - 1:,} more"
        )
    if len(back):
        raise ValueError(
            "Times must be sorted, the oldest first. Pass "
            f"{'frame[::-1]' if len(back) == len(steps) else 'frame.sort_values(time)'}, or key= "
            f"if the rows are of several series. Received: {where}, in which "
            f"{_shown(times[back[0]])} in row {back[0] + 1} comes after a later time"
        )
    return times


def _numbers(
    values: pd.Series, where: str, marks: dict[str, str | None]
) -> npt.NDArray[np.float64]:
    """Returns float64 `(rows,)`, NaN for a missing value."""
    texts = values.dtype.kind not in "iufb"
    absent = values.isna()
    numbers = values
    if texts:
        numbers = values.astype("str").str.strip()
        absent |= numbers.str.casefold().isin(_MISSING)
        if marks["thousands"]:
            numbers = numbers.str.replace(marks["thousands"], "", regex=False)
        if marks["decimal"]:
            numbers = numbers.str.replace(marks["decimal"], ".", regex=False)
    found = pd.to_numeric(numbers.where(~absent), errors="coerce").astype(np.float64)
    wrong = ~absent & ~(found.abs() <= np.finfo(np.float32).max)
    if wrong.any():
        row = wrong.index[wrong][0]
        raise ValueError(
            "Values must be finite numbers, in the range of float32, or missing. Pass another "
            "column, fix the rows, or pass decimal=',' or thousands=',' if numbers are written so. "
            f"Received: {where} with {values.name!r} of {values[row]!r} in row {row + 1}, and "
            f"{int(wrong.sum()) - 1:,} more"
        )
    return np.asarray(found, np.float64)


def _on_grid(
    times: pd.Series, numbers: npt.NDArray[np.float64], step: Step, where: str, *, fill: bool
) -> tuple[pd.Series, npt.NDArray[np.float64]]:
    """The steps of a series, one after the other; with `fill`, missing steps are NaN."""
    places = step.places(times)
    uneven = np.flatnonzero(np.diff(places) != 1)
    if not len(uneven):
        return times, numbers
    off = np.flatnonzero(places % 1 != 0)
    if fill and not len(off):
        at = places.astype(np.int64)
        filled = np.full((at[-1] + 1, numbers.shape[1]), np.nan)
        filled[at] = numbers
        return step.after(times.iloc[0], np.arange(len(filled))), filled
    shown = [f"{_shown(times.iloc[i])} to {_shown(times.iloc[i + 1])}" for i in uneven[:_SHOWN]]
    fix = "Pass gaps='fill' to take the times left out as missing values, or gaps='join' to take"
    if len(off):
        fix = "Take times of one step, as with frame.resample, or pass gaps='join' to take"
    dates = "; dates like 20240131 need time_format='%Y%m%d'" * (step.unit == "number")
    raise ValueError(
        f"Times must rise by one step. {fix} each row as the next step{dates}. Received: {where}, "
        f"whose step is {step}, with {len(uneven):,} other{'s' * (len(uneven) > 1)}: "
        f"{'; '.join(shown)}{'; …' * (len(uneven) > _SHOWN)}"
    )


def _check_changes(numbers: npt.NDArray[np.float64], names: Sequence[str], where: str) -> None:
    for name, values in zip(names, numbers.T, strict=True):
        known = values[~np.isnan(values)]
        if len(known) == 0 or (known == known[0]).all():
            found = f"only {known[0]:g}" if len(known) else "no value"
            raise ValueError(
                "A series must change, else there is nothing to forecast. Leave this column or "
                f"series out. Received: {where} with {found} in {name!r}"
            )


def _carried(numbers: npt.NDArray[np.float64], carry: int) -> npt.NDArray[np.float64]:
    if carry == 0 or not np.isnan(numbers).any():
        return numbers
    # A gap longer than `carry` is not filled at all, not even its first steps.
    frame = pd.DataFrame(numbers)
    absent = frame.isna()
    lengths = absent.apply(lambda gaps: gaps.groupby((~gaps).cumsum()).transform("sum"))
    return frame.ffill().where(~absent | (lengths <= carry)).to_numpy()


def _shown(time: Any) -> str:
    """Formats a time for messages."""
    if isinstance(time, (np.datetime64, pd.Timestamp)):
        return str(pd.Timestamp(time)).removesuffix(" 00:00:00")
    return str(time)
