"""How long to train, what of it to keep, checkpoints and TensorBoard, from a few plain choices."""

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
# What was measured of these is in benchmarks/results/stopping.md.
_PATIENT_STEPS, _LEAST_STEPS, _LEAST_FALLING_STEPS = 450, 2000, 300


class Settings(NamedTuple):
    """How long a model trains.

    Attributes:
        epochs: most passes over the rows.
        batch_size: rows a step.
        patience: passes without a better figure after which a training ends, and the best weights
            are kept; None: it goes through, and the last are kept.
    """

    epochs: int
    batch_size: int
    patience: int | None


def usual_settings(
    model: Any, rows: int, batch_size: int | None = None, epochs: int | None = None
) -> Settings:
    """What a model trains well with, counted in steps, of which few rows make few.

    Args:
        model: of `build_model`. With a constant learning rate a training ends by patience; with
            one that falls, when it has fallen to zero: the last state is then as good as any.
        rows: to learn.
        batch_size: rows a step. Default: 8 below 1,000 rows, so that there are more of them, or 32.
        epochs: most passes. Default: 10, or as many as make 2,000 steps; where the rate falls, 3,
            or as many as make 300 steps, 20 at most (Mosbach et al. 2021, On the Stability of
            Fine-tuning BERT); or the model's `usual_epochs`.
    """
    is_constant = model.schedule == "constant"
    if model.usual_epochs is not None:  # steps do not go by rows
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
    """Arguments of `fit` by which a model learns well: what the command line and `compare` do.

    Args:
        model: of `build_model`.
        table: the training rows.
        epochs: most passes over them; by default counted in steps, see `usual_settings`.
        batch_size: rows a step; the same.
        validated: whether `fit` gets validation rows; without them the training loss is watched,
            and nothing is calibrated.
        **training: `checkpoint`, `tensorboard` and `plateau`, as `training_callbacks` takes them.

    Returns:
        `epochs`, `batch_size`, `callbacks` and `calibrate`; validation rows must be passed too,
        unless `validated=False`.

    Raises:
        TypeError: a dataset, whose rows nobody has counted.
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
    """Arranges the usual callbacks for `fit`.

    Args:
        patience: epochs without a better figure of the validation rows after which training stops;
            the best weights are restored in any case. None trains through and keeps the last.
        plateau: whether the learning rate is halved after an epoch without a better figure.
        checkpoint: a `.keras` file that holds the best model so far after every epoch.
        tensorboard: folder for TensorBoard's logs.
        validated: whether `fit` gets validation data; the training loss is watched otherwise.
        watched: the figure. `"val_calibrated_loss"` is the validation loss that classes would have
            at the temperature which is the best for them: it goes on falling where a model that
            learns grows too sure of itself, which `calibrate` takes back.

    Raises:
        ValueError: `patience` below 1, or TensorBoard is asked for and not installed.
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
    """Tells of every epoch `val_calibrated_loss`, see `training_callbacks`.

    `TextModel.fit` adds it where another callback watches that figure.

    Args:
        validation: what `fit` validates on.
        steps: batches of it that are read; all if None.
    """

    def __init__(self, validation: Any, steps: int | None = None):
        super().__init__()
        self._validation = validation
        self._steps = steps

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Puts the figure beside the others."""
        if logs is not None:
            answers = self.model.answers_to(self._validation, self._steps)
            told = {"loss": np.array(self.model.task.calibrated_loss(*answers))}
            if self.model.collectives is not None:
                # By a figure that differed in its last digit, one worker would stop alone.
                told, _ = self.model.collectives.from_chief(told, "")
            logs[CALIBRATED] = float(told["loss"])


def class_weights(mode: str, table: object) -> dict[int, float] | None:
    """Weights for skewed labels.

    Args:
        mode: `"none"`, or `"balanced"`: each class counts the same in the loss, as scikit-learn's
            `compute_class_weight("balanced")` has it.
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
