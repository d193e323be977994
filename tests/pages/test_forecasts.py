"""What pages show of forecasts: beside the truth, by step, and who beats the last value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from html_page import NASTY, Page

from keras_seqzoo.data.series import read_series
from keras_seqzoo.evaluation.choose import unbeaten
from keras_seqzoo.evaluation.data_summary import summarise
from keras_seqzoo.evaluation.results import Costs, Entry, Results, Run
from keras_seqzoo.metrics.forecasts import forecast_errors
from keras_seqzoo.pages.forecasts import draw_forecasts, draw_steps, forecasts, steps, verdict
from keras_seqzoo.pages.output import write_data, write_figures
from keras_seqzoo.pages.page import render
from keras_seqzoo.tasks import task_for


def made(names=("price", "load"), models=("good", "bad"), keys=("",)) -> Results:
    """A random walk, of which `good` knows half of what comes; windows of one series or more."""
    rng = np.random.default_rng(0)
    frames = [
        pd.DataFrame(
            {
                "Date": pd.date_range("2024-01-01", periods=300),
                **{name: rng.normal(size=300).cumsum() + 50 for name in names},
                "place": key,
            }
        )
        for key in keys
    ]
    table = read_series(
        pd.concat(frames), value=list(names), window=5, horizon=3, key="place" if keys[0] else None
    )
    train, _, test = table.split(0, 0.3)
    last = np.repeat(test.windows()[:, -1:], 3, axis=1).astype(float)
    outputs = {models[0]: (last + test.labels) / 2, models[1]: last + 2}
    entries = [
        Entry(
            label,
            runs=[Run(0, answers, 0.5, {"loss": [2.0, 1.0], "val_loss": [2.0, 1.5]}, 3.0)],
            costs=Costs(10, p95_ms=1.0 + place, size_mb=1.0, training_s=3.0),
            mistakes=[(7, None)],
        )
        for place, (label, answers) in enumerate(outputs.items())
    ]
    free = Entry("last_value", is_baseline=True, runs=[Run(0, last)], costs=Costs(p95_ms=0.1))
    data = summarise(train, None, test)
    return Results("waves.csv", task_for(train), [], test.labels, [*entries, free], series=test,
                   data=data)  # fmt: skip


@pytest.fixture(scope="module")
def results():
    return made()


def test_what_is_drawn_is_what_was_forecast(results):
    table = forecasts(results)
    part = table.query("model == 'good' and column == 'load' and step == 3")
    assert part["truth"].to_numpy() == pytest.approx(results.labels[:, 2, 1])
    assert part["forecast"].to_numpy() == pytest.approx(results.report("good").outputs[:, 2, 1])
    assert (part["time"].to_numpy() == results.series.label_times[:, 2]).all()
    assert set(table["step"]) == {1, 3}
    figure = draw_forecasts(results, ["good"])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["1 step ahead", "3 steps ahead"] * 2
    truth, forecast = figure.axes[3].get_lines()
    assert truth.get_ydata() == pytest.approx(results.labels[-250:, 2, 1])
    assert forecast.get_ydata() == pytest.approx(part["forecast"].to_numpy()[-250:])


def test_errors_by_step(results):
    table = steps(results)
    expected = forecast_errors(
        results.labels, results.report("bad").outputs, results.task.scale, results.task.names
    )
    own = table[table["model"] == "bad"].set_index(["column", "step"])
    assert own["mase"].to_numpy() == pytest.approx(expected["mase"].to_numpy())
    first = draw_steps(results, ["good", "bad", "last_value"]).axes[0]
    assert [line.get_label() for line in first.get_lines()][:3] == ["good", "bad", "last_value"]
    assert first.get_lines()[1].get_ydata() == pytest.approx(expected["mase"]["price"][:-1])
    # One model alone stands beside the last value all the same.
    alone = replace(results, entries=results.entries[:1])
    assert set(steps(alone)["model"]) == {"good", "last value"}


def test_page_of_a_comparison(results, tmp_path):
    html = render(results)
    page = Page(html)
    sections = {attrs["id"] for tag, attrs in page.elements if tag == "section"}
    assert sections == {"figures", "differences", "costs", "curves", "forecasts", "steps",
                        "mistakes", "data", "how"}  # fmt: skip
    assert not page.unbalanced
    assert len(page.ids()) == len(set(page.ids()))
    assert "bad does not beat last_value" in page.words
    assert "good does not beat" not in page.words
    assert "it errs less than the next, last_value" in page.words
    assert "by blocks of neighbouring windows" in page.words
    assert "the test windows, in blocks of neighbours" in page.words
    assert f"window to {str(results.series.times[7])[:10]}" in page.words
    assert "from2024-01-01" in page.words
    assert "text" not in page.words
    names = {path.stem for path in write_figures(results, tmp_path)}
    assert {"forecasts", "steps", "cost_p95_ms", "learning_curves"} <= names
    assert {"forecasts", "steps", "leaderboard"} <= {p.stem for p in write_data(results, tmp_path)}
    drawn = pd.read_csv(tmp_path / "forecasts.csv")
    assert len(drawn) == len(results.labels) * 3 * 2 * 2


def test_who_does_not_beat_what_costs_nothing(results):
    bad, last = (results.mean(label, "mase") for label in ("bad", "last_value"))
    expected = f"bad does not beat last_value, which costs nothing (MASE {bad:.3f} and {last:.3f})."
    assert unbeaten(results) == [expected]
    # Nor is it shown of one that hardly differs.
    close = results.entries[2].kept.outputs.copy()
    close[::9] = results.labels[::9]
    close[4::9] += 0.9 * (close[4::9] - results.labels[4::9])
    entry = replace(results.entries[0], runs=[Run(0, close)])
    (told,) = unbeaten(replace(results, entries=[entry, results.entries[2]]))
    assert told.startswith("good is not shown to beat last_value (MASE")
    assert unbeaten(replace(results, entries=results.entries[:2])) == []


def test_page_of_one_model(results):
    good, bad = (Page(render(replace(results, entries=[e]))).words for e in results.entries[:2])
    assert "good is off by" in good
    assert "It errs less than the last value" in good
    assert "The last value is as near or nearer" in bad
    # Only the forecasts are known.
    page = Page(render(replace(results, entries=results.entries[:1], series=None, data=None)))
    assert "test window" in page.words
    assert not page.unbalanced


def test_names_and_keys_are_escaped_and_whole():
    page = Page(render(made(NASTY[:2], NASTY[2:4], (NASTY[4], "b"))))
    assert not page.unbalanced
    assert [tag for tag, _ in page.elements].count("script") == 1
    for name in NASTY[:5]:
        assert name in page.words


def test_of_several_series_the_first_is_drawn():
    results = made(keys=("north", "south"))
    (axes, *_) = draw_forecasts(results, ["good"]).axes
    count = (results.series.keys == "north").sum()
    assert axes.get_lines()[0].get_ydata() == pytest.approx(results.labels[:count, 0, 0])
    assert f"window to {str(results.series.times[7])[:10]} of north" in Page(render(results)).words


def test_what_was_forecast_is_told_in_the_unit(results):
    said, truth, off, *_ = verdict(results.report("bad"), 0)
    assert (said.word, said.name, truth.word, off.word) == ("said", "price", "truth", "off by")
    assert said.number.count(",") == 2
    wrong = np.abs(results.report("bad").outputs[0, :, 0] - results.labels[0, :, 0]).mean()
    assert float(off.number) == pytest.approx(wrong, abs=0.06)


def test_the_page_of_directions_is_about_windows():
    days = pd.date_range("2024-01-01", periods=120)
    prices = np.random.default_rng(0).normal(size=120).cumsum()
    table = read_series(
        pd.DataFrame({"Date": days, "Close": prices}), window=4, horizon=2, target="direction"
    )
    train, _, test = table.split(0, 0.4)
    said = np.random.default_rng(1).dirichlet([1, 1], len(test))
    results = Results("d.csv", task_for(train), [], test.labels, [Entry("m", runs=[Run(0, said)])],
                      series=test, data=summarise(train, None, test))  # fmt: skip
    page = Page(render(results))
    assert not page.unbalanced
    assert f"of {len(test)} windows right" in page.words
    assert "text" not in page.words
    assert f"down{train.class_counts['down']}" in page.words
