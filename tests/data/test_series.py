"""read_series: windows in time order, missing values, several series, and what it refuses."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from keras_seqzoo.data.series import SeriesTable, read_series
from keras_seqzoo.data.steps import Step, season_of
from keras_seqzoo.data.table import read_table
from keras_seqzoo.data.targets import target_from_dict


def frame_of(values, start="2024-01-01", freq="D", **columns):
    times = pd.date_range(start, periods=len(values), freq=freq)
    return pd.DataFrame({"Date": times, "Close": values, **columns})


def days(count):
    return frame_of(np.sin(np.arange(count)))


@pytest.fixture
def ramp():
    """Twenty days, the value of each its number."""
    return frame_of(np.arange(20.0))


class TestWindows:
    def test_values_and_answers(self, ramp):
        table = read_series(ramp, window=4, horizon=2)
        assert len(table) == 15
        assert table.windows().shape == (15, 4, 1)
        assert table.windows([3])[0, :, 0].tolist() == [3, 4, 5, 6]
        assert table.labels[3, :, 0].tolist() == [7, 8]
        assert str(table.times[3]).startswith("2024-01-07")
        assert [str(t)[:10] for t in table.label_times[3]] == ["2024-01-08", "2024-01-09"]
        assert table.windows().dtype == table.labels.dtype == np.float32

    def test_no_copies(self, ramp):
        table = read_series(frame_of(np.arange(50_000.0)), window=500, horizon=1)
        held = sum(s.values.nbytes + s.known.nbytes + s.times.nbytes for s in table._series)
        assert held + table._rows.nbytes < 3e6  # the windows would take 100 MB
        assert table._series[0].values is table._series[0].known

    def test_direction(self):
        table = read_series(frame_of([1.0, 2, 3, 2, 3, 3]), window=2, horizon=2, target="direction")
        assert table.classes == ("down", "up")
        assert table.labels.tolist() == [0, 0, 1]  # 2 → 2, 3 → 3, 2 → 3
        assert table.labels.dtype == np.int32

    def test_several_columns_by_name_position_and_index(self, ramp):
        ramp["Volume"] = ramp["Close"] * 10
        table = read_series(ramp.set_index("Date"), value=["Volume", 1], window=2, horizon=1)
        assert table.inputs.columns == ("Volume", "Close")
        assert table.windows([0])[0].tolist() == [[0, 0], [10, 1]]
        assert table.labels[0].tolist() == [[20, 2]]

    def test_take_and_fingerprint(self, ramp):
        table = read_series(ramp, window=4, horizon=2)
        part = table.take([5, 1])
        assert part.windows()[:, 0, 0].tolist() == [5, 1]
        assert table.take(table.labels[:, 0, 0] > 16).windows()[:, 0, 0].tolist() == [13, 14]
        assert part.fingerprint() == table.take([5, 1]).fingerprint() != table.fingerprint()
        with pytest.raises(ValueError, match="one boolean for each of the 15 rows"):
            table.take([0.5])

    def test_repr(self, ramp):
        assert repr(read_series(ramp, window=4, horizon=2)) == (
            "SeriesTable('DataFrame', 15 windows, each 4 steps of Close, "
            "future of 2 steps of 1 day, 2024-01-04 to 2024-01-18)"
        )


class TestKeys:
    @pytest.fixture
    def shops(self, ramp):
        """Two series whose rows are mixed, one half as long."""
        other = ramp.head(10).assign(Close=lambda f: 100 - f["Close"])
        return pd.concat([ramp.assign(shop="a"), other.assign(shop="b")]).sort_values("Date")

    def test_no_window_spans_two(self, shops):
        table = read_series(shops, window=4, horizon=2, key="shop")
        assert len(table) == 15 + 5
        assert table.keys.tolist() == ["a"] * 15 + ["b"] * 5
        assert set(np.diff(table.windows()[..., 0]).ravel()) == {1.0, -1.0}
        assert table.labels[15].ravel().tolist() == [96, 95]

    def test_each_is_split(self, shops):
        table = read_series(shops, window=2, horizon=1, key="shop")
        train, valid, test = table.split(valid=2, test=1)
        assert [part.keys.tolist().count("b") for part in (train, valid, test)] == [5, 2, 1]
        assert test.labels.ravel().tolist() == [19, 91]

    def test_missing_key(self, shops):
        shops.iloc[3, 2] = None
        with pytest.raises(ValueError, match=r"which series it is of.*missing in 1 rows: row 4"):
            read_series(shops, window=2, horizon=1, key="shop")
        with pytest.raises(
            ValueError, match=r"key column must be in the table.*Received: key='sho'"
        ):
            read_series(shops, window=2, horizon=1, key="sho")
        with pytest.raises(ValueError, match=r"may occur only once.*Pass key=.*twice, in row 2"):
            read_series(shops, window=2, horizon=1)


class TestSplit:
    @pytest.mark.parametrize("horizon", [1, 3])
    def test_answers_do_not_overlap(self, horizon):
        table = read_series(frame_of(np.arange(60.0)), window=5, horizon=horizon)
        parts = table.split(valid=0.2, test=10)
        assert [len(p) for p in parts[1:]] == [round(0.2 * len(table)), 10]
        for earlier, later in pairwise(parts):
            assert earlier.labels.max() < later.labels.min()
            assert earlier.windows().max() < later.labels.min()
        assert parts[0].left_out == 2 * (horizon - 1)
        assert len(parts[2].windows()[0]) == 5  # the past is read, across the border

    def test_covered_ends_with_the_part(self):
        table = read_series(frame_of(np.arange(60.0)), window=5, horizon=2)
        train, valid, _ = table.split()
        assert train.covered[""].max() == train.labels.max()
        assert np.isnan(valid.covered[""][: int(valid.windows().min())]).all()

    def test_no_windows_left(self, ramp):
        table = read_series(ramp, window=4, horizon=2)
        with pytest.raises(ValueError, match=r"leave windows to train on.*test=14 of 15 windows"):
            table.split(valid=0, test=14)
        with pytest.raises(ValueError, match="valid must be a fraction"):
            table.split(valid=1.5)
        whole, none, nothing = table.split(0, 0)
        assert (len(whole), len(none), len(nothing)) == (15, 0, 0)
        assert none.windows().shape == (0, 4, 1)
        assert repr(none).startswith("SeriesTable('DataFrame', 0 windows")


class TestMissing:
    def test_short_gaps_are_carried_and_never_asked(self, ramp):
        ramp.loc[8, "Close"] = np.nan
        table = read_series(ramp, window=4, horizon=2)
        assert len(table) == 13
        assert table.left_out == 2  # those that would ask about day 8
        assert not np.isnan(table.labels).any()
        assert [7, 7, 9, 10] in table.windows()[..., 0].tolist()
        assert "2 left out" in repr(table)

    def test_long_gaps_leave_windows_out(self, ramp):
        ramp.loc[8:10, "Close"] = np.nan
        assert 7.0 in np.diff(read_series(ramp, window=4, horizon=1).windows()[..., 0]) + 7
        strict = read_series(ramp, window=4, horizon=1, carry=2)
        assert set(np.diff(strict.windows()[..., 0]).ravel()) == {1.0}
        assert strict.left_out == 7

    def test_nothing_before_the_first(self, ramp):
        ramp.loc[0, "Close"] = np.nan
        assert read_series(ramp, window=4, horizon=1).windows()[0, 0, 0] == 1

    def test_how_they_are_written(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text("t;v\n1;1,5\n2;NA\n3; nan\n4;\n5;1.000,25\n6;2\n7;3\n8;4\n", "utf-8")
        table = read_series(
            path, "t", "v", window=4, horizon=1, sep=";", decimal=",", thousands="."
        )
        assert table.windows()[..., 0].tolist() == [
            [1.5, 1.5, 1.5, 1.5],
            [1.5, 1.5, 1.5, 1000.25],
            [1.5, 1.5, 1000.25, 2],
            [1.5, 1000.25, 2, 3],
        ]

    def test_every_window_lacks_one(self):
        frame = frame_of([1, 2, None, None, 3, 4.0])
        with pytest.raises(ValueError, match=r"must have all of its values.*each of 3 windows"):
            read_series(frame, window=3, horizon=1, carry=0)


class TestTimes:
    @pytest.mark.parametrize(
        ("freq", "name", "seasons"),
        [
            ("D", "1 day", (7, 365)),
            ("h", "1 hour", (24, 168, 8766)),
            ("MS", "1 month", (12,)),
            ("ME", "1 month", (12,)),
            ("QS", "3 months", (4,)),
            ("YS", "12 months", ()),
            ("B", "1 weekday", (5, 261)),
            ("W", "1 week", (52,)),
            ("2D", "2 days", (183,)),
        ],
    )
    def test_step(self, freq, name, seasons):
        times = pd.Series(pd.date_range("2024-01-01", periods=30, freq=freq))
        step = Step.of(times)
        assert str(step) == name
        assert step.seasons == seasons
        assert step.places(times).tolist() == list(range(30))
        assert (step.after(times[0], np.arange(30)) == times).all()

    def test_numbers_count(self):
        frame = pd.DataFrame({"t": [10, 20, 30, 40], "v": [1.0, 2, 1, 2]})
        assert str(read_series(frame, "t", "v", window=2, horizon=1).step) == "10"

    def test_zones_are_read_in_utc(self):
        times = ["2024-03-31T00:00+01:00", "2024-03-31T01:00+01:00", "2024-03-31T03:00+02:00"]
        table = read_series(pd.DataFrame({"Date": times, "Close": [1, 2, 3]}), window=2, horizon=1)
        assert str(table.step) == "1 hour"

    def test_format(self):
        frame = frame_of(np.arange(20.0))
        frame["Date"] = frame["Date"].dt.strftime("%d/%m/%Y")
        with pytest.raises(
            ValueError, match=r"date.*time_format.*'13/01/2024' in row 13, and 7 more"
        ):
            read_series(frame, window=2, horizon=1)
        assert str(read_series(frame, window=2, horizon=1, time_format="%d/%m/%Y").step) == "1 day"

    def test_gaps(self, ramp):
        with_gap = ramp.drop([7, 8])
        with pytest.raises(
            ValueError,
            match=r"rise by one step.*gaps='fill'.*step is 1 day, with 1 other: "
            "2024-01-07 to 2024-01-10",
        ):
            read_series(with_gap, window=4, horizon=1)
        filled = read_series(with_gap, window=4, horizon=1, gaps="fill")
        assert filled.left_out == 2
        assert [6, 6, 6, 9] in filled.windows()[..., 0].tolist()
        assert str(filled.times[-1])[:10] == "2024-01-19"
        joined = read_series(with_gap, window=4, horizon=1, gaps="join")
        assert [5, 6, 9, 10] in joined.windows()[..., 0].tolist()

    def test_off_the_grid(self, ramp):
        ramp.loc[5, "Date"] += pd.Timedelta(1, "h")
        with pytest.raises(ValueError, match=r"one step\. Take times of one step.*resample"):
            read_series(ramp, window=4, horizon=1, gaps="fill")

    def test_months_are_filled(self, shared):
        path = shared("data", "series", "airline-passengers.csv")
        frame = pd.read_csv(path).drop([20])
        table = read_series(frame, "Month", "Passengers", window=12, horizon=1, gaps="fill")
        assert table.left_out == 1
        assert str(table.label_times[-1, 0]) == "1960-12-01T00:00:00.000000"

    @pytest.mark.parametrize(
        ("order", "message"),
        [
            (slice(None, None, -1), r"sorted, the oldest first\. Pass frame\[::-1\].*in row 2"),
            ([0, 1, 3, 2, 4], r"frame\.sort_values\(time\).*2024-01-03 in row 4 comes after"),
            ([0, 1, 1, 2], r"may occur only once.*2024-01-02 twice, in row 3, and 0 more"),
        ],
    )
    def test_order(self, ramp, order, message):
        with pytest.raises(ValueError, match=message):
            read_series(ramp.iloc[order].reset_index(drop=True), window=2, horizon=1)

    @pytest.mark.parametrize(
        ("times", "message"),
        [
            (
                ["2024-01-01", "soon", "2024-01-03"],
                "'soon' in row 2, and 0 more; the first time is",
            ),
            (["2024-01-01", None, "2024-01-03"], "in row 2"),
            ([1, 2.5, 4], r"2\.5 in row 2"),
            (["20240101", "20240102", "20240301"], "dates like 20240131 need time_format"),
        ],
    )
    def test_unparseable(self, times, message):
        frame = pd.DataFrame({"Date": times, "Close": [1.0, 2, 3]})
        with pytest.raises(ValueError, match=message):
            read_series(frame, window=1, horizon=1)


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"window": 15, "horizon": 6}, r"as long as one window.*20 steps, window=15"),
            ({"horizon": 0}, r"`horizon` must be a whole number, at least 1.*horizon=0"),
            ({"window": 2.0}, r"`window` must be a whole number.*window=2\.0"),
            ({"carry": -1}, r"`carry` must be a whole number, at least 0"),
            ({"target": "up"}, r"`target` must be one of 'future', 'direction'.*'up'"),
            ({"gaps": "ignore"}, r"`gaps` must be one of 'error', 'fill', 'join'"),
            ({"value": "Date"}, r"different columns.*time='Date', value='Date'"),
            ({"value": ["Close", "Close"]}, r"different columns.*value='Close', value='Close'"),
            ({"key": "Close"}, r"different columns.*key='Close'"),
            ({"value": "Clos"}, r"value column must be in the table.*Did you mean 'Close'\?"),
            ({"time": "date"}, r"time column must be in the table.*Did you mean 'Date'\?"),
            ({"sep": ";"}, r"DataFrame is read already.*options 'sep'"),
            ({"value": []}, r"one or more columns.*value=\[\]"),
        ],
    )
    def test_arguments(self, ramp, options, message):
        with pytest.raises(ValueError, match=message):
            read_series(ramp, **{"window": 4, "horizon": 1, **options})

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("high", r"finite numbers.*'Close' of 'high' in row 4, and 0 more"),
            (np.inf, r"finite numbers.*inf in row 4"),
            (1e39, r"range of float32.*1e\+39 in row 4"),
        ],
    )
    def test_values(self, ramp, value, message):
        ramp["Close"] = ramp["Close"].astype(object)
        ramp.loc[3, "Close"] = value
        with pytest.raises(ValueError, match=message):
            read_series(ramp, window=4, horizon=1)

    @pytest.mark.parametrize(("value", "found"), [(5.0, "only 5"), (None, "no value")])
    def test_constant(self, ramp, value, found):
        with pytest.raises(ValueError, match=f"must change.*{found} in 'flat'"):
            read_series(ramp.assign(flat=value), value=["Close", "flat"], window=4, horizon=1)

    def test_files(self, tmp_path):
        with pytest.raises(TypeError, match=r"an open file or a DataFrame.*Received: list"):
            read_series([1, 2, 3])
        path = tmp_path / "prices.csv"
        path.write_text("Date;Close\n2024-01-01;1\n2024-01-02;2\n", "utf-8")
        with pytest.raises(ValueError, match=r"separated by ';': pass sep=';'"):
            read_series(path)
        path.write_text("Date,Close\n", "utf-8")
        with pytest.raises(ValueError, match="at least one row"):
            read_series(path)
        path.write_text("Date,Close\n2024-01-01,1\n", "utf-8")
        with pytest.raises(ValueError, match="at least two times"):
            read_series(path)

    @pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
    def test_formats_agree(self, ramp, tmp_path, suffix):
        path = tmp_path / f"ramp{suffix}"
        if suffix == ".csv":
            ramp.to_csv(path, index=False, encoding="utf-16")
        elif suffix == ".parquet":
            ramp.to_parquet(path)
        else:
            ramp.assign(Date=ramp["Date"].astype(str)).to_json(path, orient="records", lines=True)
        table = read_series(path, window=4, horizon=2)
        assert table.fingerprint() == read_series(ramp, window=4, horizon=2).fingerprint()
        assert (table.times == read_series(ramp, window=4, horizon=2).times).all()


class TestFuture:
    def test_plain_and_back(self, ramp):
        target = read_series(ramp, window=4, horizon=2).target
        assert target_from_dict(json.loads(json.dumps(target.as_dict()))) == target
        assert (target.kind, target.names, target.horizon) == ("future", ("Close",), 2)

    def test_what_came(self, ramp):
        target = read_series(ramp, window=4, horizon=2).target
        assert target.encode([[[1], [2]]]).dtype == np.float32
        with pytest.raises(ValueError, match=r"\(rows, 2, 1\).*shape \(1, 2\), 0 not finite"):
            target.encode([[1, 2]])
        with pytest.raises(ValueError, match="1 not finite"):
            target.encode([[[1], [np.nan]]])

    def test_rows_have_none(self):
        frame = pd.DataFrame({"text": ["a", "b"], "label": [1, 2]})
        with pytest.raises(ValueError, match=r"Read it with read_series.*target='future'"):
            read_table(frame, target="future")


class TestSeason:
    def test_found(self):
        steps = np.arange(200)
        noise = np.random.default_rng(0).normal(0, 0.3, 200)
        wave = np.sin(2 * np.pi * steps / 12) + 0.05 * steps + noise
        assert season_of([wave], (12,)) == (12, "calendar")
        assert season_of([wave], (7,)) == (12, "autocorrelation")
        assert season_of([wave], ()) == (12, "autocorrelation")

    def test_none_in_a_random_walk(self):
        walk = np.cumsum(np.random.default_rng(1).normal(size=500))
        assert season_of([walk], (5, 261)) == (1, "none")
        assert season_of([np.array([1.0, 2.0, 1.0])], (12,)) == (1, "none")

    def test_real(self, shared):
        path = shared("data", "series", "daily-min-temperatures.csv")
        train, _, _ = read_series(path, value="Temp", window=30, horizon=7, gaps="fill").split()
        season = season_of([v[:, 0] for v in train.covered.values()], train.step.seasons)
        assert season == (365, "calendar")


class TestQuestions:
    """Windows that reach to the end of a series, of which nothing is known yet."""

    def test_windows_reach_to_the_end(self):
        frame = days(12)
        table = read_series(frame, window=4, horizon=3, target=None)
        assert (len(table), table.target, table.labels) == (9, None, None)
        assert table.windows([8])[0, :, 0] == pytest.approx(frame["Close"].to_numpy()[-4:])
        last = table.last_windows()
        assert [str(t)[:10] for t in last.times] == ["2024-01-12"]
        assert [str(t)[:10] for t in last.label_times[0]] == [
            "2024-01-13", "2024-01-14", "2024-01-15"]  # fmt: skip
        assert [str(t)[:10] for t in table.label_times[0]] == [
            "2024-01-05", "2024-01-06", "2024-01-07"]  # fmt: skip
        assert "before 3 steps" in repr(table)
        assert len(read_series(frame.head(4), window=4, horizon=3, target=None)) == 1

    def test_the_times_after_are_of_the_step(self):
        months = days(30).assign(Date=pd.date_range("2024-01-31", periods=30, freq="ME"))
        table = read_series(months, window=4, horizon=2, target=None).last_windows()
        assert [str(t)[:10] for t in table.label_times[0]] == ["2026-07-31", "2026-08-31"]
        counted = days(30).assign(Date=range(0, 60, 2))
        table = read_series(counted, window=4, horizon=2, target=None).last_windows()
        assert table.label_times.tolist() == [[60, 62]]

    def test_the_last_window_of_each_series(self):
        both = pd.concat([days(9).assign(key="b"), days(12).assign(key="a")])
        table = read_series(both, window=4, horizon=3, key="key", target=None).last_windows()
        assert table.keys.tolist() == ["b", "a"]
        assert [str(t)[:10] for t in table.label_times[:, 0]] == ["2024-01-10", "2024-01-13"]

    def test_other_names_for_the_columns(self):
        table = read_series(days(12), window=4, horizon=3).renamed(["price"])
        assert (table.inputs.columns, table.target.names) == (("price",), ("price",))


class TestArrays:
    @pytest.mark.parametrize("target", ["future", "direction", None])
    def test_a_table_is_made_again(self, target):
        both = pd.concat([days(20).assign(key="b"), days(15).assign(key="a")])
        both.loc[both.index[3], "Close"] = np.nan
        table = read_series(both, window=4, horizon=3, key="key", target=target).take([1, 5, 9])
        told, arrays = table.to_arrays()
        again = SeriesTable.from_arrays(json.loads(json.dumps(told)), arrays)
        assert repr(again) == repr(table)
        assert again.fingerprint() == table.fingerprint()
        assert again.keys.tolist() == table.keys.tolist()
        assert (again.window_times() == table.window_times()).all()
        assert again.class_counts == table.class_counts

    @pytest.mark.parametrize(
        "change",
        [
            {"rows": np.array([[0, 99]])},
            {"rows": np.array([[1, 0]])},
            {"rows": np.array([[0, -1]])},
            {"rows": np.array([[0.0, 1.0]])},
            {"rows": np.array([0, 1])},
            {"known_0": np.zeros((12, 2))},
            {"values_0": np.zeros((5, 1))},
            {"values_0": np.zeros((12, 1), np.float32)},
            {"times_0": np.arange(12.0)},
            {"times_0": np.arange(4)},
        ],
    )
    def test_arrays_that_do_not_fit_are_refused(self, change):
        told, arrays = read_series(days(12), window=4, horizon=3).to_arrays()
        with pytest.raises(ValueError, match="no series and their windows"):
            SeriesTable.from_arrays(told, arrays | change)


def test_windows_of_each_class_are_counted():
    table = read_series(days(12), window=4, horizon=3, target="direction")
    assert table.class_counts == dict(
        zip(("down", "up"), np.bincount(table.labels, minlength=2).tolist(), strict=True)
    )
    assert read_series(days(12), window=4, horizon=3).class_counts == {}
