"""One training of a model of the zoo, the same for every model of a comparison."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_seqzoo import zoo
from keras_seqzoo.batches.pipeline import make_dataset
from keras_seqzoo.comparison.budget import BudgetedLearningRate, TimeBudget
from keras_seqzoo.comparison.candidates import KEEP, Candidate, Plan
from keras_seqzoo.comparison.store import Table
from keras_seqzoo.distillation.distill import distill
from keras_seqzoo.evaluation.results import Run, own_task
from keras_seqzoo.tasks.model import TextModel
from keras_seqzoo.training.callbacks import usual_settings

Emit = Callable[[Mapping[str, Any]], None]


class Teaching(NamedTuple):
    """The teacher of a model.

    Attributes:
        teacher: the teacher, as `distill` takes it.
        answers: folder that keeps its answers.
    """

    teacher: Any
    answers: Path


def build(candidate: Candidate, train: Table) -> TextModel:
    """Builds a candidate's model; it may learn its vocabulary from the training rows."""
    model = zoo.build_model(candidate.model, train, **candidate.options)
    if candidate.learning_rate is not None:
        model.optimizer.learning_rate = candidate.learning_rate
    return model


def settings(candidate: Candidate, plan: Plan, model: TextModel, rows: int) -> dict[str, Any]:
    """The settings of a training: epochs, batch size, learning rate, patience, schedule."""
    usual = usual_settings(
        model, rows, candidate.batch_size or plan.batch_size, candidate.epochs or plan.epochs
    )
    rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    is_constant = model.schedule == "constant"
    return {
        "epochs": usual.epochs,
        "batch_size": usual.batch_size,
        "learning_rate": float(f"{rate:.6g}"),  # float32 has no more digits
        "schedule": model.schedule,
        "patience": plan.patience or usual.patience if is_constant else usual.epochs,
        # None keeps the last epoch, if the learning rate falls to zero.
        "keep": plan.keep or (model.task.watched if is_constant else None),
    }


def train_once(
    candidate: Candidate,
    plan: Plan,
    seed: int,
    parts: Mapping[str, Table],
    ids: Path,
    emit: Emit,
    teaching: Teaching | None = None,
) -> tuple[TextModel, Run]:
    """Builds a model, trains it, keeps the best epoch, and answers the test rows.

    Args:
        candidate: the model.
        plan: how to train it.
        seed: seed of the weights and of the order of the rows.
        parts: tables `train`, `valid` and `test`.
        ids: folder of ids, shared by models with the same vocabulary.
        emit: receives an event for every epoch.
        teaching: the teacher whose answers it learns; it learns the labels if None.

    Raises:
        BudgetError: not even one epoch fits into the budget.
        ValueError: the model cannot be built, or its answers are not numbers.
    """
    keras.utils.set_random_seed(seed)
    train: Any = parts["train"]
    valid, test = parts["valid"], parts["test"]
    model = build(candidate, train)
    chosen = settings(candidate, plan, model, len(train))
    clock = TimeBudget(plan.budget_s)
    callbacks: list[keras.callbacks.Callback] = [clock]
    if plan.budget_s is not None and (model.schedule != "constant" or model.warmup):
        callbacks.append(BudgetedLearningRate(model.schedule, model.warmup, clock))
    if (keep := chosen["keep"]) is not None:
        stopping = keras.callbacks.EarlyStopping(
            keep,
            mode="max" if KEEP[keep] else "min",
            patience=chosen["patience"],
            restore_best_weights=True,
        )
        callbacks.append(stopping)
    callbacks.append(_Epochs(emit, seed, chosen["epochs"]))
    begun = time.monotonic()
    fit: dict[str, Any] = {
        "validation_data": make_dataset(valid, model, 256, cache=ids),
        "epochs": chosen["epochs"],
        "callbacks": callbacks,
        "calibrate": True,
        "verbose": 0,
    }
    if teaching is None:
        rows = make_dataset(train, model, chosen["batch_size"], shuffle=True, seed=seed, cache=ids)
        history = model.fit(rows, **fit).history
    else:
        # All seeds use the same augmented texts, so that the teacher answers them only once.
        history = distill(
            teaching.teacher,
            model,
            train,
            augment=candidate.augment,
            cache=teaching.answers,
            progress=lambda done, total: emit({"event": "asking", "done": done / total}),
            batch_size=chosen["batch_size"],
            **fit,
        ).history
    seconds = time.monotonic() - begun
    loss = model.evaluate(fit["validation_data"], verbose=0, return_dict=True)["loss"]
    emit({"event": "testing", "seed": seed})
    outputs = model.predict(test.questions, batch_size=256, verbose=0)
    if not np.isfinite(model.task.explained(outputs)).all():
        raise ValueError(
            "The training diverged: the model's answers are not finite numbers. Lower "
            "learning_rate. "
            f"Received: learning_rate={chosen['learning_rate']:.3g}"
        )
    epochs = len(history["loss"])
    stopped = (
        f"its budget of {plan.budget_s:,g} s was spent in epoch {epochs} of {chosen['epochs']}"
        if clock.spent
        else ""
    )
    figures = {name: [float(v) for v in values] for name, values in history.items()}
    own = own_task(model, train)
    return model, Run(seed, outputs, loss, figures, seconds, stopped, own)


class _Epochs(keras.callbacks.Callback):
    """Emits an event at the start of a training, at some of its steps, and at each epoch."""

    def __init__(self, emit: Emit, seed: int, epochs: int):
        super().__init__()
        self.emit = emit
        self.story = {"seed": seed, "epochs": epochs}
        self._epoch = 0
        self._told = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        now, steps = time.monotonic(), self.params.get("steps")
        if steps and now - self._told > 0.5:
            self._told = now
            done = (self._epoch + (batch + 1) / steps) / self.story["epochs"]
            self.emit({"event": "step", "done": done, "epoch": self._epoch + 1, **self.story})

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        figures = {k: float(v) for k, v in (logs or {}).items()}
        self.emit({"event": "epoch", "epoch": epoch + 1, "logs": figures, **self.story})
