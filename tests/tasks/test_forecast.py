"""Forecasts: models over windows, their answers in the unit of the data, and what they refuse."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy.special import huber

import keras_seqzoo as sz
from keras_seqzoo.comparison.series_baselines import LastValue
from keras_seqzoo.serving.saved import SavedPredictor
from keras_seqzoo.tasks import task_from_dict
from keras_seqzoo.tasks.forecast import Forecast

NAMES = ["lstm", "gru", "bilstm", "bigru"]


def waves(rows=160, horizon=2, target="future"):
    """Two columns of one wave each, far from zero and of different size."""
    steps = np.arange(rows)
    frame = pd.DataFrame(
        {
            "Date": pd.date_range("2024-01-01", periods=rows),
            "Close": 500 + 10 * np.sin(steps / 2),
            "Volume": 3e6 + 2e5 * np.cos(steps / 3),
        }
    )
    return sz.read_series(
        frame, value=["Close", "Volume"], window=8, horizon=horizon, target=target
    )


@pytest.fixture(scope="module")
def table():
    return waves()


@pytest.fixture(scope="module")
def parts(table):
    return table.split(valid=0.15, test=0.15)


@pytest.fixture(scope="module")
def model(parts):
    keras.utils.set_random_seed(0)
    model = sz.build_model("gru", parts[0], units=8)
    model.fit(parts[0], validation_data=parts[1], epochs=60, batch_size=16, verbose=0)
    return model


class TestModels:
    @pytest.mark.parametrize("name", NAMES)
    def test_every_recurrent_model_learns(self, name, parts):
        keras.utils.set_random_seed(0)
        model = sz.build_model(name, parts[0], units=8)
        before = model.evaluate(parts[0], verbose=0)[0]
        model.fit(parts[0], epochs=30, batch_size=16, verbose=0)
        assert model.evaluate(parts[0], verbose=0)[0] < 0.7 * before
        assert isinstance(model.task, Forecast)
        assert model.output_shape == (None, 2, 2)

    def test_better_than_the_last_value(self, model, parts):
        train, _, test = parts
        report = sz.evaluate(model, test)
        last = LastValue()
        last.fit(train)
        assert report.mase < 0.5 * model.task.figures(test.labels, last.predict(test))["mase"]
        assert report.mae > 100  # in the unit, of which Volume has millions

    @pytest.mark.parametrize("scale", ["window", "training"])
    def test_answers_are_in_the_unit(self, parts, scale):
        model = sz.build_model("gru", parts[0], units=4, scale=scale)
        answers = model.predict(parts[2], verbose=0)
        assert answers.shape == (len(parts[2]), 2, 2)
        assert answers.dtype == np.float32
        assert np.abs(answers[..., 0] - 500).max() < 60
        assert np.abs(answers[..., 1] - 3e6).max() < 1.2e6

    def test_a_shifted_window_shifts_the_answer(self, parts):
        model = sz.build_model("gru", parts[0], units=4, scale="window")
        values = parts[2].windows()
        shifted = model.predict(values * [2, 1] + [1000, 0], verbose=0)
        assert shifted[..., 0] == pytest.approx(
            model.predict(values, verbose=0)[..., 0] * 2 + 1000, rel=1e-4
        )

    def test_whatever_the_input_the_answers_are_the_same(self, model, parts):
        test = parts[2]
        expected = model.predict(test, verbose=0)
        batches = sz.make_dataset(test, model, batch_size=5)
        for x in (test.windows(), {"values": test.windows()}, batches):
            assert model.predict(x, verbose=0) == pytest.approx(expected, rel=1e-5)
        assert model(test.windows()).numpy() == pytest.approx(expected, rel=1e-5)
        assert model.predict(test.take([]), verbose=0).shape == (0, 2, 2)
        frame = model.predict(test, verbose=0, as_frame=True)
        assert frame.columns.tolist() == ["forecast"]
        assert len(frame) == len(test)
        assert frame["forecast"][1]["Volume"] == pytest.approx(expected[1, :, 1], rel=1e-5)
        alone = model.predict(test.take([3]), verbose=0)[0]
        assert alone == pytest.approx(expected[3], rel=1e-5)

    def test_missing_values_are_carried(self, model, parts):
        values = parts[2].windows()[:3].copy()
        filled = values.copy()
        values[:, 4, 0] = np.nan
        filled[:, 4, 0] = filled[:, 3, 0]
        assert np.array_equal(model.predict(values, verbose=0), model.predict(filled, verbose=0))

    def test_ways_to_fit(self, parts):
        train, valid, _ = parts
        model = sz.build_model("gru", train, units=4)
        batches = sz.make_dataset(train, model, batch_size=32, shuffle=True, seed=0)
        model.fit(batches, validation_data=sz.make_dataset(valid, model), verbose=0)
        history = model.fit(train.windows(), train.labels, validation_split=0.2, verbose=0).history
        assert {"loss", "mae", "val_loss", "val_mae"} <= history.keys()
        model.train_on_batch(train.windows()[:4], train.labels[:4])
        assert len(model.test_on_batch(train.windows()[:4], train.labels[:4])) == 2

    def test_keras_file(self, model, parts, tmp_path):
        model.save(tmp_path / "waves.keras")
        again = keras.models.load_model(tmp_path / "waves.keras")
        expected = model.predict(parts[2], verbose=0)
        assert np.array_equal(again.predict(parts[2], verbose=0), expected)
        assert again.task == model.task
        assert again.preprocessor.fingerprint() == model.preprocessor.fingerprint()
        again.fit(parts[0], verbose=0)

    def test_direction_is_a_class(self):
        train, _, test = waves(target="direction").split(0.1, 0.2)
        keras.utils.set_random_seed(0)
        model = sz.build_model("gru", train, units=8)
        assert model.classes == ("down", "up")
        model.fit(train, epochs=40, batch_size=16, verbose=0)
        assert sz.evaluate(model, test).accuracy > 0.9
        with pytest.raises(ValueError, match=r"horizon of the model, 2\..*a horizon of 3"):
            sz.evaluate(model, waves(target="direction", horizon=3))
        assert task_from_dict(model.task.as_dict()) == model.task


class TestTask:
    def test_dict(self, model):
        task = model.task
        assert task_from_dict(task.as_dict()) == task
        assert task.row_shape == (2, 2)
        assert task.names == ("Close", "Volume")

    def test_scale_is_that_of_the_training_part(self, model, parts):
        steps = parts[0].covered[""]
        assert model.task.scale == pytest.approx(np.abs(np.diff(steps, axis=0)).mean(axis=0))

    def test_loss_and_metric(self, model, parts):
        loss, mae = model.evaluate(parts[2], verbose=0)
        report = sz.evaluate(model, parts[2])
        errors = (report.outputs - report.labels) / np.array(model.task.scale)
        assert loss == pytest.approx(huber(1.0, errors).mean(), rel=1e-3)
        assert mae == pytest.approx(report.mae, rel=1e-4)

    def test_tables_and_rows(self, model, parts):
        report = sz.evaluate(model, parts[2])
        assert report.per_step.index.tolist() == [
            f"{column}, {step}" for column in ("Close", "Volume") for step in (1, 2, "all")
        ]
        scores = model.task.row_scores(report.labels, report.outputs)
        assert scores.shape == (len(parts[2]),)
        assert -scores.mean() == pytest.approx(report.mase)

    def test_intervals_hold_the_figures(self, model, parts):
        report = sz.evaluate(model, parts[2])
        intervals = model.task.intervals(report.labels, [report.outputs])
        for name in ("mase", "mae", "rmse"):
            low, high = intervals[name]
            assert low < report.figures[name] < high

    def test_decoded(self, model, parts):
        answers = model.predict(parts[2].take([0]), verbose=0)
        (decoded,) = model.task.decode(answers)
        assert decoded == {
            "forecast": {
                "Close": answers[0, :, 0].tolist(),
                "Volume": answers[0, :, 1].tolist(),
            }
        }


class Wrong:
    """Says the last value of a table, and a little more."""

    def __init__(self, task, more):
        self.task, self.more = task, more

    def predict(self, x, batch_size=None, verbose=0):
        return np.repeat(x.windows()[:, -1:], 2, axis=1) + self.more


class TestPage:
    def test_what_is_no_better_than_the_last_value_is_told(self, model, parts):
        assert sz.evaluate(model, parts[2]).warnings == ()
        report = sz.evaluate(Wrong(model.task, [5, 0]), parts[2])
        assert "The last value alone is as near or nearer" in str(report)

    def test_page(self, model, parts, tmp_path):
        report = sz.evaluate(model, parts[2])
        page = report.to_html(tmp_path / "page.html", folder=tmp_path / "data").read_text("utf-8")
        assert page.count('<svg role="img"') == 2 + 1  # forecasts, errors by step; learning curve
        assert "<bdi>last value</bdi>" in page
        assert f"{report.mase:.3f}" in page
        assert "keras_seqzoo.evaluate(model," in page
        drawn = pd.read_csv(tmp_path / "data" / "forecasts.csv")
        drawn = drawn[(drawn["column"] == "Volume") & (drawn["step"] == 1)]
        assert drawn["truth"].to_numpy() == pytest.approx(report.labels[:, 0, 1])
        assert drawn["forecast"].to_numpy() == pytest.approx(report.outputs[:, 0, 1])
        assert drawn["time"].iloc[0] == str(parts[2].label_times[0, 0])[:10]

    def test_page_of_predictions(self, model, parts, tmp_path):
        answers = model.predict(parts[2], verbose=0)
        report = sz.Report.from_predictions(parts[2].labels, answers, model.task)
        page = report.to_html(tmp_path / "page.html").read_text("utf-8")
        assert "last value</bdi>" not in page
        assert "test window" in page


class TestRefused:
    def test_other_tables(self, model, parts):
        with pytest.raises(ValueError, match=r"windows of 8 steps of Close, Volume.*Received: Ser"):
            model.predict(sz.read_series(_ramp(), window=8, horizon=2))
        with pytest.raises(ValueError, match=r"task 'forecast'.*target 'class'"):
            sz.evaluate(model, waves(target="direction"))
        with pytest.raises(ValueError, match=r"horizon of the model, 2\..*horizon of 3"):
            model.fit(waves(horizon=3))
        texts = sz.TextTable.from_texts(["a", "b"], ["x", "y"])
        with pytest.raises(TypeError, match=r"must be a SeriesTable.*TextTable"):
            sz.make_dataset(texts, model)
        reader = sz.build_model("gru", texts, units=4)
        with pytest.raises((TypeError, ValueError), match=r"SeriesTable|one text per row"):
            sz.make_dataset(parts[0], reader)

    def test_labels(self, model, parts):
        with pytest.raises(ValueError, match="A table has its labels"):
            model.fit(parts[0], parts[0].labels)
        with pytest.raises(ValueError, match=r"\(rows, 2, 2\): steps of Close, Volume"):
            model.fit(parts[0].windows(), parts[0].labels[:, :1])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"classes": ["a", "b"]}, "Forecasts have no classes"),
            ({"task": "regress"}, "target='number'"),
            ({"scale": "row"}, "`scale` must be one of"),
            ({"sequence_length": 9}, r"window=….*sequence_length"),
            ({"vocabulary": ["a"]}, r"no tokens.*vocabulary"),
            ({"pooling": "mean"}, r"`pooling` of this model must be one of \('last',\)"),
        ],
    )
    def test_options(self, parts, options, message):
        with pytest.raises(ValueError, match=message):
            sz.build_model("gru", parts[0], **options)

    def test_models_of_texts(self, parts):
        with pytest.raises(ValueError, match=r"text, pair\. Build one of 'bigru', .*electra_small"):
            sz.build_model("electra_small", parts[0], weights=None)
        with pytest.raises(ValueError, match="`scale` is only for numbers"):
            sz.build_model("gru", ["a b"], classes=["x", "y"], scale="window")


def _ramp():
    days = pd.date_range("2024-01-01", periods=30)
    return pd.DataFrame({"Date": days, "Close": np.arange(30.0)})


def test_export(model, parts, tmp_path):
    path = sz.export_model(model, tmp_path / "waves")
    found = sz.audit(path)
    assert found.passed
    assert found.warmup_requests == 5
    assert found.signatures["serving_default"].inputs == {"values": "float32 (?, 8, 2)"}
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    values = parts[2].windows()
    answers = served(values=tf.constant(values))["forecast"].numpy()
    assert answers == pytest.approx(model.predict(values, verbose=0), rel=1e-5)
    saved = SavedPredictor(path)
    assert np.array_equal(saved.predict(parts[2], batch_size=7), saved.predict(values))
    assert sz.evaluate(saved, parts[2]).mase == pytest.approx(sz.evaluate(model, parts[2]).mase)
    with pytest.raises(ValueError, match=r"\(rows, 8, 2\).*\(1, 3, 2\)"):
        saved.predict(values[:1, :3])
    without = sz.export_model(model, tmp_path / "waves", warmup=[])
    assert sz.audit(without).passed
