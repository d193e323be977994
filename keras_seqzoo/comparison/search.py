"""A small random search for good options, by KerasTuner, with equally many trials per model."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from keras_seqzoo.comparison.budget import BudgetError
from keras_seqzoo.comparison.candidates import Candidate, Plan
from keras_seqzoo.comparison.store import Table
from keras_seqzoo.comparison.training import Emit, Teaching, build, train_once


def search(
    candidate: Candidate,
    plan: Plan,
    parts: Mapping[str, Table],
    ids: Path,
    emit: Emit,
    teaching: Teaching | None = None,
) -> list[dict[str, Any]]:
    """Trains a model with its own options, then with others, and records the validation losses.

    Unless the candidate says what to search, the learning rate is drawn from a third of the
    model's own to three times it, on a logarithmic scale, and the dropout from 0 to 0.5.

    Args:
        candidate: the model.
        plan: how to train it; `trials` says how often.
        parts: tables `train`, `valid` and `test`; the search does not use the test rows.
        ids: folder of ids.
        emit: receives an event for every trial.
        teaching: as `train_once` takes it.

    Returns:
        The trials in order, each a dict of the values tried and the `val_loss`.

    Raises:
        ImportError: KerasTuner is not installed.
    """
    keras_tuner = import_tuner()
    space = _space(candidate, parts["train"], keras_tuner)
    trials: list[dict[str, Any]] = []
    # A trial drops its answers to the test rows, so one row is enough.
    asked = {**parts, "test": parts["valid"].take([0])}

    class Oracle(keras_tuner.oracles.RandomSearchOracle):  # type: ignore[name-defined]
        """Starts with the model's own options."""

        def populate_space(self, trial_id: str) -> dict[str, Any]:
            if trials or self.ongoing_trials:
                return super().populate_space(trial_id)
            return {"status": "RUNNING", "values": dict(self.hyperparameters.values)}

    class Tuner(keras_tuner.Tuner):  # type: ignore[name-defined]
        def run_trial(self, trial: Any, *_: Any, **__: Any) -> float:
            values = dict(trial.hyperparameters.values)
            emit({"event": "trial", "trial": len(trials) + 1, "trials": plan.trials, **values})
            try:
                tried = with_values(candidate, values)
                _, run = train_once(tried, plan, 0, asked, ids, emit, teaching)
            except BudgetError as error:
                # KerasTuner would try other values, and only count the failures at the end.
                raise keras_tuner.errors.FatalValueError(str(error)) from error
            trials.append({**values, "val_loss": run.valid_loss})
            return float(run.valid_loss or 0.0)

    with tempfile.TemporaryDirectory() as folder:
        oracle = Oracle(
            objective=keras_tuner.Objective("default_objective", "min"),
            max_trials=plan.trials,
            hyperparameters=space,
            tune_new_entries=False,
            seed=0,
        )
        Tuner(oracle=oracle, hypermodel=lambda _: None, directory=folder).search(verbose=0)
    return trials


def with_values(candidate: Candidate, values: Mapping[str, Any]) -> Candidate:
    """Returns the candidate with the values of a trial; ignores options that are not searched."""
    searched = set(candidate.search or {"dropout"}) - {"learning_rate"}
    options = {k: v for k, v in values.items() if k in searched}
    rate = values.get("learning_rate", candidate.learning_rate)
    return replace(candidate, options={**candidate.options, **options}, learning_rate=rate)


def import_tuner() -> Any:
    """Returns the module of KerasTuner.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import keras_tuner
    except ImportError as error:
        raise ImportError(
            "The search is done by KerasTuner, which is not installed. Run "
            "pip install 'keras-seqzoo[search]', or leave trials=0. Received: trials above 0"
        ) from error
    return keras_tuner


def _space(candidate: Candidate, train: Table, keras_tuner: Any) -> Any:
    space = keras_tuner.HyperParameters()
    if candidate.search:
        for name, values in candidate.search.items():
            own = (
                candidate.learning_rate if name == "learning_rate" else candidate.options.get(name)
            )
            default = own if own in values else values[0]
            space.Choice(name, list(values), default=default)
        return space
    model = build(candidate, train)
    rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    space.Float("learning_rate", rate / 3, rate * 3, sampling="log", default=rate)
    space.Float("dropout", 0.0, 0.5, step=0.1, default=round(min(model.dropout, 0.5), 1))
    return space
