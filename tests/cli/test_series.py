"""Series by command: from a file of prices to forecasts, and what is said of options that clash."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import keras_seqzoo as sz
from keras_seqzoo.serving.saved import SavedPredictor

READING = ["--time", "Day", "--value", "Price", "--window", "6", "--horizon", "2"]
SMALL = ["-m", "gru", "-o", "units=4", "--epochs", "2"]


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shops, 60 days each."""
    path = tmp_path_factory.mktemp("series") / "prices.csv"
    frames = [
        pd.DataFrame(
            {
                "Day": pd.date_range("2024-01-01", periods=60),
                "Price": level + 3 * np.sin(np.arange(60) / 2),
                "Shop": shop,
            }
        )
        for shop, level in (("north", 50), ("south", 70))
    ]
    pd.concat(frames).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def model(prices: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of a model that was hardly trained, with its `.keras` file beside it."""
    table = sz.read_series(prices, "Day", "Price", 6, 2, key="Shop")
    model = sz.build_model("gru", table, units=4)
    model.fit(table, verbose=0)
    version = sz.export_model(model, tmp_path_factory.mktemp("exports") / "prices")
    model.save(version.with_suffix(".keras"))
    return version.parent


def test_from_prices_to_forecasts(command: Any, prices: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = command("train", prices, *READING, "--key", "Shop", *SMALL, "--out", out)
    assert done.code == 0, done.err
    assert "82 windows to train on (6 steps of 1 day → 2: Price), 10 to validate" in done.err
    assert "gru: " in done.err
    assert "6 steps\n" in done.err
    assert "Ridge regression over the window, fitted on the same rows: mase" in done.err
    assert f"--input {prices} --time Day --key Shop" in done.err
    assert "mase" in json.loads((out / "1.json").read_text())["test"]

    asked = ["--time", "Day", "--key", "Shop"]
    done = command("predict", out, "--input", prices, *asked, "--format", "csv", "-q")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [(r["key"], r["after"], r["time"]) for r in rows] == [
        (shop, "2024-02-29", day) for shop in ("north", "south")
        for day in ("2024-03-01", "2024-03-02")
    ]  # fmt: skip
    table = sz.read_series(prices, "Day", "Price", 6, 2, key="Shop", target=None)
    expected = SavedPredictor(out).predict(table.last_windows()).ravel()
    assert [float(r["Price"]) for r in rows] == pytest.approx(expected)

    done = command("evaluate", out / "1.keras", prices, *asked, "--format", "json", "-q")
    assert json.loads(done.out)["rows"] == 106
    done = command("explain", out, "-i", prices, *asked, "--format", "json", "-q")
    told = json.loads(done.out)
    assert [(r["key"], r["step"]) for r in told] == [
        (shop, step) for shop in ("north", "south") for step in range(-5, 1)
    ]
    done = command("export", out / "1.keras", out, "-q")
    assert done.out.strip() == str(out / "2")


def test_formats_of_forecasts(command: Any, prices: Path, model: Path) -> None:
    asked = ["predict", model, "-i", prices, "--time", "Day", "--key", "Shop", "-q"]
    table = command(*asked).out
    assert table.split()[:4] == ["key", "after", "time", "Price"]
    records = [json.loads(line) for line in command(*asked, "--format", "jsonl").out.splitlines()]
    assert [record["time"] for record in records] == ["2024-03-01", "2024-03-02"] * 2
    assert all(type(record["Price"]) is float for record in records)
    every = command(*asked, "--every", "--format", "csv").out.splitlines()
    assert len(every) == 1 + 2 * 55 * 2
    # A column of another name, and a file from standard input.
    other = pd.read_csv(prices).query("Shop == 'north'").rename(columns={"Price": "cost"})
    done = command("predict", model, "--time", "Day", "--value", "cost", "--format", "csv",
                   stdin=other.to_csv(index=False).encode())  # fmt: skip
    assert done.out.splitlines()[0] == "after,time,Price"
    assert done.out.splitlines()[1].split(",")[2] == every[1 + 2 * 54].split(",")[3]


@pytest.mark.slow
def test_directions_by_command(command: Any, prices: Path, tmp_path: Path) -> None:
    reading = [*READING, "--key", "Shop"]
    done = command("train", prices, *reading, "--target", "direction", *SMALL, "--out", tmp_path)
    assert done.code == 0, done.err
    assert "6 steps of 1 day → 2: down 44, up 38" in done.err
    assert "--time Day --key Shop" in done.err
    asked = ["-i", prices, "--time", "Day", "--key", "Shop", "-q"]
    done = command("predict", tmp_path, *asked, "--format", "jsonl")
    record = json.loads(done.out.splitlines()[0])
    assert (record["after"], record["time"]) == ("2024-02-29", "2024-03-02")
    assert record["probabilities"].keys() == {"down", "up"}
    assert "p_down" in command("predict", tmp_path, *asked, "--horizon", 2).out
    done = command("predict", tmp_path, *asked, "--horizon", 3)
    assert "--horizon is that of the model, 2." in done.err
    done = command("evaluate", tmp_path, prices, "--time", "Day", "--key", "Shop",
                   "--format", "json", "-q")  # fmt: skip
    assert "accuracy" in json.loads(done.out)


@pytest.mark.slow
def test_series_are_compared_by_command(command: Any, prices: Path, tmp_path: Path) -> None:
    """In processes of their own: the smallest that there is."""
    page = tmp_path / "page.html"
    done = command(
        "compare", prices, *READING, "--key", "Shop", "--models", "gru", "-o", "gru.units=2",
        "--seeds", "1", "--epochs", "1", "--explain", "1", "--valid", "0.2", "--test", "0.3",
        "--folder", tmp_path / "c", "--report", page,
    )  # fmt: skip
    assert done.code == 0, done.err
    for name in ("gru", "last_value", "seasonal", "ridge", "mase", "Take "):
        assert name in done.out
    assert "gru does not beat last_value" in done.out
    assert "gru does not beat last_value" in page.read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--time", "Day", "--text", "Shop"], "for one of the two out. Received: --text and"),
        (["--task", "forecast", "--label", "Shop"], "Received: --label and --task forecast"),
        (["--target", "direction", "--stream"], "Received: --stream and --target direction"),
        (["--horizon", "0"], "Invalid value for '--horizon'"),
        (["--time", "Dya", "--value", "Price"], "Pass --time one of its columns. Did you mean"),
        (["--time", "Day", "--value", "Cost"], "Pass --value one of its columns."),
        (["--time", "Day", "--value", "Price"], "or pass --key if the rows are of several"),
        ([*READING, "--key", "Shop", "--task", "regress"], "or its direction is classified"),
        ([*READING, "--key", "Shop", "--target", "number"], "--target number"),
        ([*READING, "--key", "Shop", "--task", "classify", "--target", "future"],
         "Received: --task classify --target future"),
        ([*READING, "--key", "Shop", "--gaps", "skip"], "--gaps must be one of 'error', 'fill'"),
        ([*READING, "--key", "Shop", "--class-weight", "balanced"], "--class-weight needs one"),
        (["--time", "Day", "--value", "Price", "--key", "Shop", "--window", "80"],
         "with 60 steps, --window 80, --horizon 5"),
    ],
)  # fmt: skip
def test_options_of_train_that_do_not_fit(
    command: Any, prices: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = command("train", prices, *arguments, "--out", tmp_path / "out")
    assert (done.code, done.out) == (2, "")
    assert message in " ".join(done.err.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("predict", ["some text"], "Pass the series as a file with --input."),
        ("predict", ["-i", "FILE", "--text", "Shop"], "the options for texts. Received: --text"),
        ("predict", ["-i", "FILE", "--window", "7"], "--window is that of the model, 6."),
        ("predict", ["-i", "FILE", "--time", "Day", "--value", "Price", "--value", "Day"],
         "The model reads 1 column, Price."),
        ("evaluate", ["FILE", "--horizon", "3"], "--horizon is that of the model, 2."),
        ("evaluate", ["FILE", "--target", "direction"], "--target is that of the model, future."),
        ("explain", ["-i", "FILE", "--counterfactual", "--method", "shapley"],
         "leave out the options for texts. Received: --method, --counterfactual"),
    ],
)  # fmt: skip
def test_questions_that_a_model_of_series_does_not_take(
    command: Any, prices: Path, model: Path, name: str, arguments: list[str], message: str
) -> None:
    given = [str(prices) if part == "FILE" else part for part in arguments]
    done = command(name, model / "1.keras", *given)
    assert (done.code, done.out) == (2, "")
    assert message in " ".join(done.err.split())


@pytest.mark.parametrize("name", ["predict", "explain"])
def test_a_model_of_texts_is_asked_no_series(
    command: Any, prices: Path, tiny_export: Path, name: str
) -> None:
    done = command(name, tiny_export, "-i", prices, "--time", "Day", "--time-format", "%Y")
    assert done.code == 2
    assert "The model reads texts" in done.err
    assert "Received: --time --time-format" in done.err


def test_windows_are_not_dropped(command: Any, prices: Path, tmp_path: Path) -> None:
    done = command("compare", prices, *READING, "--key", "Shop", "--models", "gru",
                   "--drop-duplicates", "--folder", tmp_path / "c")  # fmt: skip
    assert done.code == 2
    assert "Received: --drop-duplicates" in done.err


def test_a_model_of_series_warms_up_with_windows_of_our_own(
    command: Any, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "warm.txt").write_text("a text\n")
    done = command("export", model / "1.keras", tmp_path / "o", "--warmup", tmp_path / "warm.txt")
    assert done.code == 2
    assert "a model of series" in done.err
