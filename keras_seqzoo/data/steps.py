"""The steps of a time column: how far apart its times are, and where a time is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

_DAY = 86_400 * 10**6
_NAMES = (
    (365 * _DAY, "year"),
    (7 * _DAY, "week"),
    (_DAY, "day"),
    (_DAY // 24, "hour"),
    (_DAY // 1440, "minute"),
    (10**6, "second"),
)


@dataclass(frozen=True)
class Step:
    """The step from one time to the next.

    Attributes:
        unit: `"month"` (times on the same day of the month, or month ends), `"weekday"` (Monday to
            Friday), `"time"` (microseconds) or `"number"` (for a column that counts).
        size: number of these units.
    """

    unit: str
    size: int

    @classmethod
    def of(cls, times: pd.Series) -> Step:
        """Finds the most frequent step of sorted times, at least two.

        Args:
            times: datetimes without a time zone, or whole numbers.
        """
        unit = _unit(times)
        steps, counts = np.unique(np.diff(_numbers(times, unit)), return_counts=True)
        return cls(unit, int(steps[np.argmax(counts)]))

    def places(self, times: pd.Series) -> npt.NDArray[np.float64]:
        """Returns the numbers of steps since the first of the times; on the grid they are whole."""
        numbers = _numbers(times, self.unit)
        return (numbers - numbers[0]) / self.size

    def after(self, first: Any, places: npt.NDArray[np.int64]) -> pd.Series:
        """Returns the times that lie these numbers of steps after the first one."""
        if self.unit == "number":
            return pd.Series(first + places * self.size)
        if self.unit == "time":
            return pd.Series(first + pd.to_timedelta(places * self.size, unit="us"))
        if self.unit == "weekday":
            found = np.busday_offset(first.to_datetime64().astype("M8[D]"), places * self.size)
            return pd.Series(pd.to_datetime(found) + (first - first.normalize()))
        months = pd.PeriodIndex(first.to_period("M") + places * self.size)
        last = months.days_in_month.to_numpy()
        days = last if first.is_month_end else np.minimum(first.day, last)
        starts = months.to_timestamp() + pd.to_timedelta(days - 1, unit="D")
        return pd.Series(starts + (first - first.normalize()))

    @property
    def seasons(self) -> tuple[int, ...]:
        """Steps in the periods of the calendar: hours, days, weeks and years, if they fit."""
        if self.unit == "number":
            return ()
        if self.unit == "month":
            return (12 // self.size,) if 12 % self.size == 0 and self.size < 12 else ()
        if self.unit == "weekday":
            return (5, 261) if self.size == 1 else ()
        year = round(365.25 * _DAY / self.size)
        whole = [length // self.size for length, _ in _NAMES[1:-2] if length % self.size == 0]
        return tuple(n for n in (*sorted(whole), year) if n >= 2)

    def __str__(self) -> str:
        if self.unit == "number":
            return str(self.size)
        if self.unit != "time":
            return f"{self.size} {self.unit}{'s' * (self.size > 1)}"
        for length, name in _NAMES:
            if self.size % length == 0:
                count = self.size // length
                return f"{count:,} {name}{'s' * (count > 1)}"
        return str(pd.Timedelta(self.size, "us"))


def _unit(times: pd.Series) -> str:
    if times.dtype.kind != "M":
        return "number"
    usual: Any = times.diff().median()
    of_day = times.dt.normalize()
    if (times - of_day).nunique() == 1:
        one_day = times.dt.day.nunique() == 1 or bool(times.dt.is_month_end.all())
        if one_day and usual >= pd.Timedelta(28, "D"):
            return "month"
        weekdays = bool((times.dt.day_of_week < 5).all())
        if weekdays and usual == pd.Timedelta(1, "D") and len(times) > 5:
            return "weekday"
    return "time"


def _numbers(times: pd.Series, unit: str) -> npt.NDArray[np.int64]:
    if unit == "number":
        return times.to_numpy(np.int64)
    if unit == "month":
        return (times.dt.year * 12 + times.dt.month).to_numpy(np.int64)
    if unit == "weekday":
        days = times.to_numpy().astype("M8[D]")
        return np.asarray(np.busday_count(days[0], days), np.int64)
    return times.astype("datetime64[us]").to_numpy().astype(np.int64)


def season_of(
    series: Sequence[npt.NDArray[np.float64]], calendar: Sequence[int]
) -> tuple[int, str]:
    """Finds the number of steps after which a series repeats itself.

    At that period, and at twice the period if the series is long enough, the autocorrelation is
    positive and above that of the half period between, each by more than chance gives
    (2 / √steps); a linear trend is removed first. Of several, the one with the highest
    autocorrelation is chosen. Periods of the calendar come first. Any other period, up to a third
    of the series, must also pass this in the changes from step to step, by 4 / √steps: a random
    walk shows waves, its changes do not.

    Args:
        series: each `(steps,)`, the same quantity measured in one place or several.
        calendar: periods to try first, such as `Step.seasons`.

    Returns:
        The period in steps and how it was found: `"calendar"`, `"autocorrelation"`, or 1 and
        `"none"`.
    """
    longest = max(map(len, series), default=0)
    lags = longest // 3
    chance = 1 / np.sqrt(max(longest, 1))
    levels = _autocorrelation([s for s in series if len(s) == longest], lags)
    known = [m for m in calendar if _repeats(levels, m, 2 * chance)]
    if known:
        return max(known, key=lambda m: levels[m]), "calendar"
    changes = _autocorrelation([np.diff(s) for s in series if len(s) == longest], lags)
    peaks = [
        m
        for m in range(2, lags)
        if levels[m] == np.max(levels[m - 1 : m + 2])
        and _repeats(levels, m, 2 * chance)
        and _repeats(changes, m, 4 * chance)
    ]
    # Multiples of a season are seasons, too: take the shortest of those that are about as high.
    close = [m for m in peaks if levels[m] >= 0.9 * np.max(levels[peaks])]
    return (close[0], "autocorrelation") if close else (1, "none")


def _repeats(correlation: npt.NDArray[np.float64], period: int, least: float) -> bool:
    whole = [n * period for n in (1, 2) if n * period < len(correlation)]
    return bool(whole) and all(
        correlation[m] > least and correlation[m] - correlation[m - (period + 1) // 2] > least
        for m in whole
    )


def _autocorrelation(
    series: Sequence[npt.NDArray[np.float64]], lags: int
) -> npt.NDArray[np.float64]:
    """The mean over series of one length, at lags up to `lags`; missing values are the mean."""
    products = np.zeros(lags + 1)
    for values in series:
        steps = np.arange(len(values))
        known = ~np.isnan(values)
        if known.sum() < 3:
            continue
        trend = np.polyval(np.polyfit(steps[known], values[known], 1), steps)
        rest = np.where(known, values - trend, 0)
        power = np.abs(np.fft.rfft(rest, 2 * len(values))) ** 2
        found = np.fft.irfft(power)[: lags + 1]
        products += found / max(found[0], np.finfo(float).tiny)
    return products / max(len(series), 1)
