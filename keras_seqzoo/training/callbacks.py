"""How long to train, which weights to keep, checkpoints and TensorBoard, from a few choices."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_seqzoo.checks import check_whole

CALIBRATED = "val_calibrated_loss"

_FEW_ROWS = 1000
# The measurements behind these numbers are in benchmarks/results/stopping.md.
_PATIENT_STEPS, _LEAST_STEPS, _LEAST_FALLING_STEPS = 450, 2000, 300


class Settings(NamedTuple):
    """How long a model trains.

    Attributes:
        epochs: most passes over the rows.
        batch_size: rows in each step.
        patience: training stops after so many passes without a better figure, and keeps the best
            weights; None: it runs all epochs and keeps the last weights.
    """

    epochs: int
    batch_size: int
    patience: int | None


def usual_settings(
    model: Any, rows: int, batch_size: int | None = None, epochs: int | None = None
) -> Settings:
    """Good settings for a model, counted in steps: few rows make few steps in an epoch.

    Args:
        model: a model of `build_model`. With a constant learning rate, patience ends the training.
            With a falling rate, it ends when the rate is zero: the last state is then as good as
            any.
        rows: number of training rows.
        batch_size: rows in each step. Default: 8 below 1,000 rows, for more steps, else 32.
        epochs: most passes. Default: 10, or as many as make 2,000 steps. With a falling rate: 3, or
            as many as make 300 steps, 20 at most (Mosbach et al. 2021, On the Stability of
            Fine-tuning BERT). Or the model's `usual_epochs`.
    """
    is_constant = model.schedule == "constant"
    if model.usual_epochs is not None:  # steps do not depend on the rows
        return Settings(epochs or model.usual_epochs, batch_size or 32, 2 if is_constant else None)
    batch_size = batch_size or (8 if rows < _FEW_ROWS else 32)
    steps = max(1, -(-rows // batch_size))
    if is_constant:
        epochs = epochs or max(10, -(-_LEAST_STEPS // steps))
        return Settings(epochs, batch_size, max(2, -(-_PATIENT_STEPS // steps)))
    epochs = epochs or min(20, max(3, -(-_LEAST_FALLING_STEPS // steps)))
    return Settings(epochs, batch_size, None)


def fit_settings(
    model: Any,
    table: Any,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    validated: bool = True,
    **training: Any,
) -> dict[str, Any]:
    """Good arguments of `fit` for a model: those of the command line and `compare`.

    Args:
        model: a model of `build_model`.
        table: the training rows.
        epochs: most passes over them; by default counted in steps, see `usual_settings`.
        batch_size: rows in each step; the default is in `usual_settings`, too.
        validated: whether `fit` gets validation rows; without them the training loss is watched,
            and nothing is calibrated.
        **training: `checkpoint`, `tensorboard` and `plateau`, as in `training_callbacks`.

    Returns:
        `epochs`, `batch_size`, `callbacks` and `calibrate`. Unless `validated=False`, pass
        validation rows to `fit`, too.

    Raises:
        TypeError: a dataset, whose number of rows is not known.
        ValueError: `epochs` or `batch_size` below 1.

    Example:
        >>> import keras_seqzoo as sz
        >>> table = sz.TextTable.from_texts(
        ...     ["a good film", "good", "a bad film", "bad"], ["yes", "yes", "no", "no"])
        >>> model = sz.build_model("gru", table, units=8)
        >>> settings = sz.fit_settings(model, table)
        >>> sorted(settings), settings["batch_size"]
        (['batch_size', 'calibrate', 'callbacks', 'epochs'], 8)
        >>> _ = model.fit(table, validation_data=table, verbose=0, **{**settings, "epochs": 1})
    """
    if hasattr(table, "element_spec") or not hasattr(table, "__len__"):
        raise TypeError(
            "The settings depend on the number of rows. Pass the training table, or the "
            f"texts. Received: {type(table).__name__}"
        )
    given = {"epochs": epochs, "batch_size": batch_size}
    check_whole(**{name: value for name, value in given.items() if value is not None})
    epochs, batch_size, patience = usual_settings(model, len(table), batch_size, epochs)
    callbacks = training_callbacks(
        patience=patience, watched=model.task.watched, validated=validated, **training
    )
    settings = {"epochs": epochs, "batch_size": batch_size, "callbacks": callbacks}
    return {**settings, "calibrate": validated}


def training_callbacks(
    *,
    patience: int | None = 2,
    plateau: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    tensorboard: str | os.PathLike[str] | None = None,
    validated: bool = True,
    watched: str = "val_loss",
) -> list[keras.callbacks.Callback]:
    """Makes the usual callbacks for `fit`.

    Args:
        patience: training stops after so many epochs without a better figure on the validation
            rows; the best weights are restored in any case. None trains all epochs and keeps the
            last weights.
        plateau: whether to halve the learning rate after an epoch without a better figure.
        checkpoint: a `.keras` file that holds the best model so far after every epoch.
        tensorboard: folder for TensorBoard's logs.
        validated: whether `fit` gets validation data; without it the training loss is watched.
        watched: the figure. `"val_calibrated_loss"` is the validation loss of classes at the best
            temperature for them. It continues to fall while a model that still learns becomes
            overconfident, which `calibrate` corrects.

    Raises:
        ValueError: `patience` below 1, or `tensorboard` without TensorBoard installed.
    """
    watched = watched if validated else "loss"
    callbacks: list[keras.callbacks.Callback] = []
    if plateau:
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(watched, mode="min", factor=0.5, patience=1)
        )
    if checkpoint is not None:
        Path(checkpoint).parent.mkdir(parents=True, exist_ok=True)
        callbacks.append(
            keras.callbacks.ModelCheckpoint(
                str(checkpoint), watched, mode="min", save_best_only=True
            )
        )
    if tensorboard is not None:
        if find_spec("tensorboard") is None:
            raise ValueError(
                "TensorBoard is not installed. Run pip install 'keras-seqzoo[tensorboard]'. "
                f"Received: tensorboard={str(tensorboard)!r}"
            )
        callbacks.append(keras.callbacks.TensorBoard(str(tensorboard)))
    if patience is not None:
        check_whole(patience=patience)
        callbacks.append(
            keras.callbacks.EarlyStopping(
                watched, mode="min", patience=patience, restore_best_weights=True
            )
        )
    return callbacks


class CalibratedLoss(keras.callbacks.Callback):
    """Adds `val_calibrated_loss` to the figures of every epoch, see `training_callbacks`.

    `TextModel.fit` adds this callback if another callback watches that figure.

    Args:
        validation: the validation data of `fit`.
        steps: how many of its batches to read; all if None.
    """

    def __init__(self, validation: Any, steps: int | None = None):
        super().__init__()
        self._validation = validation
        self._steps = steps

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the figure to the others."""
        if logs is not None:
            answers = self.model.answers_to(self._validation, self._steps)
            told = {"loss": np.array(self.model.task.calibrated_loss(*answers))}
            if self.model.collectives is not None:
                # If a figure differed in its last digit, one worker would stop alone.
                told, _ = self.model.collectives.from_chief(told, "")
            logs[CALIBRATED] = float(told["loss"])


def class_weights(mode: str, table: object) -> dict[int, float] | None:
    """Weights for skewed labels.

    Args:
        mode: `"none"`, or `"balanced"`: each class counts the same in the loss, as with
            scikit-learn's `compute_class_weight("balanced")`.
        table: the training table.

    Returns:
        A weight by label number for `fit(class_weight=…)`, or None.

    Raises:
        ValueError: an unknown mode.
    """
    modes: Sequence[str] = ("none", "balanced")
    if mode not in modes:
        raise ValueError(f"`mode` must be one of {modes}. Received: mode={mode!r}")
    return table.class_weights() if mode == "balanced" else None  # type: ignore[attr-defined]
