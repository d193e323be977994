"""Early stopping, checkpoints and TensorBoard, from a few plain choices."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import keras

from keras_seqzoo.checks import check_whole


def training_callbacks(
    *,
    patience: int | None = 2,
    plateau: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    tensorboard: str | os.PathLike[str] | None = None,
    validated: bool = True,
) -> list[keras.callbacks.Callback]:
    """Arranges the usual callbacks for `fit`.

    Args:
        patience: epochs without a better validation loss after which training stops; the best
            weights are restored in any case. None trains through and keeps the last weights.
        plateau: whether the learning rate is halved after an epoch without a better validation
            loss.
        checkpoint: a `.keras` file that holds the best model so far after every epoch.
        tensorboard: folder for TensorBoard's logs.
        validated: whether `fit` gets validation data; the training loss is watched otherwise.

    Raises:
        ValueError: `patience` below 1, or TensorBoard is asked for and not installed.
    """
    watched = "val_loss" if validated else "loss"
    callbacks: list[keras.callbacks.Callback] = []
    if plateau:
        callbacks.append(keras.callbacks.ReduceLROnPlateau(watched, factor=0.5, patience=1))
    if checkpoint is not None:
        Path(checkpoint).parent.mkdir(parents=True, exist_ok=True)
        callbacks.append(
            keras.callbacks.ModelCheckpoint(str(checkpoint), watched, save_best_only=True)
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
            keras.callbacks.EarlyStopping(watched, patience=patience, restore_best_weights=True)
        )
    return callbacks


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
