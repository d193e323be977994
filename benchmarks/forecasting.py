"""Forecasts of three real series against the last value, the season before and a ridge regression.

    python benchmarks/forecasting.py ../shared/data/series --out benchmarks/results/forecasting.md

Every series is split in the order of time, 70 % to train, 15 % to validate, 15 % to test. A model
is trained with several seeds, each until the validation loss has not fallen for ten epochs, and
answers as it did in its best one. Figures are of the test part, which nothing was chosen on;
`--part valid` is there to choose the scale by.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

SERIES: list[dict[str, Any]] = [
    {
        "file": "daily-min-temperatures.csv", "value": "Temp", "gaps": "fill",
        "window": 30, "horizons": (1, 7), "epochs": 60, "batch": 64,
    },
    {
        "file": "airline-passengers.csv", "time": "Month", "value": "Passengers",
        "window": 24, "horizons": (1, 12), "epochs": 300, "batch": 16,
    },
    {
        "file": "apple-stock.csv", "value": "AAPL.Close", "gaps": "join",
        "window": 20, "horizons": (1, 5), "epochs": 60, "batch": 32,
    },
]  # fmt: skip
UNITS, PATIENCE = 32, 10


def main() -> None:
    """Writes a table of the test part's MASE, a row a series and horizon, as each is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="+", default=["lstm", "gru"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scale", default="training", choices=["window", "training"])
    parser.add_argument("--part", default="test", choices=["valid", "test"])
    parser.add_argument("--only", default="", help="files whose names hold this")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    lines = []
    for series in SERIES:
        for horizon in series["horizons"] if arguments.only in series["file"] else ():
            lines += rows(series, horizon, arguments)
            if arguments.out:
                arguments.out.write_text(report(lines, arguments), encoding="utf-8")
    print(report(lines, arguments))


def rows(series: dict[str, Any], horizon: int, arguments: argparse.Namespace) -> list[str]:
    """Measures every forecaster on one series and horizon."""
    import keras_seqzoo as sz
    from keras_seqzoo.comparison.series_baselines import SERIES_BASELINES
    from keras_seqzoo.tasks.forecast import Forecast

    known = ("file", "horizons", "epochs", "batch")
    options = {name: value for name, value in series.items() if name not in known}
    table = sz.read_series(arguments.folder / series["file"], horizon=horizon, **options)
    train, valid, test = table.split(valid=0.15, test=0.15)
    asked = valid if arguments.part == "valid" else test
    task = Forecast.of(train, None)
    lines = []

    def row(name: str, answers: list[Any], seconds: float, note: str = "") -> None:
        figures = [task.figures(asked.labels, each) for each in answers]
        mase = [figure["mase"] for figure in figures]
        ranges = task.intervals(asked.labels, answers)["mase"]
        spread = f" ({min(mase):.3f} to {max(mase):.3f})" if len(mase) > 1 else ""
        lines.append(
            f"| {series['file']} | {horizon} | {name}{note} | **{np.mean(mase):.3f}**{spread} | "
            f"{ranges[0]:.3f} to {ranges[1]:.3f} | "
            f"{np.mean([f['mae'] for f in figures]):.4g} | "
            f"{np.mean([f['rmse'] for f in figures]):.4g} | {seconds:.1f} |"
        )
        print(lines[-1], flush=True)

    for name, kind in SERIES_BASELINES.items():
        begun = time.perf_counter()
        baseline = kind()
        baseline.fit(train)
        found = [f"{season} steps, {told}" for season, told in getattr(baseline, "seasons", [])]
        note = f" ({found[0]})" if found else ""
        row(name, [baseline.predict(asked)], time.perf_counter() - begun, note)
    for name in arguments.models:
        begun = time.perf_counter()
        answers = [
            trained(name, train, valid, seed, series, arguments.scale).predict(asked, verbose=0)
            for seed in range(arguments.seeds)
        ]
        row(name, answers, (time.perf_counter() - begun) / arguments.seeds)
    return lines


def trained(
    name: str, train: Any, valid: Any, seed: int, series: dict[str, Any], scale: str
) -> Any:
    """A model as it was in its best epoch."""
    import keras

    import keras_seqzoo as sz

    keras.utils.set_random_seed(seed)
    model = sz.build_model(name, train, units=UNITS, scale=scale)
    model.fit(
        sz.make_dataset(train, model, batch_size=series["batch"], shuffle=True, seed=seed),
        validation_data=sz.make_dataset(valid, model, batch_size=256),
        epochs=series["epochs"],
        callbacks=[keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True)],
        verbose=0,
    )
    return model


def report(lines: list[str], arguments: argparse.Namespace) -> str:
    """The table with what it means."""
    return "\n".join(
        [
            f"`python benchmarks/forecasting.py FOLDER --models {' '.join(arguments.models)} "
            f"--seeds {arguments.seeds} --scale {arguments.scale} --part {arguments.part}`, "
            f"{time.strftime('%Y-%m-%d')}, 2 cores of a shared CPU machine.",
            "",
            f"{arguments.part.capitalize()} part, {UNITS} units; mean over {arguments.seeds} "
            "seeds (least to most). MASE is the mean absolute error over that of the last value, "
            "one step ahead, in the training part: a model that does not get below `last_value` "
            "has learnt nothing that helps. The interval is of a bootstrap of blocks of rows.",
            "",
            "| series | horizon | forecaster | MASE | 95 % interval | MAE | RMSE | seconds |",
            "|---|---|---|---|---|---|---|---|",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    main()
