"""A small training that is done on one replica and on several, for their results to be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
from samples import NEGATIVE, POSITIVE

import keras_seqzoo as sz

# Sixteen and one rows: the last batch of 5 has two rows, that of 8 one, and leaves a replica none.
LABELS = ["positive"] * len(POSITIVE) + ["negative"] * len(NEGATIVE) + ["positive"]
TABLE = sz.TextTable.from_texts([*POSITIVE, *NEGATIVE, "a lovely book"], LABELS)


def build(name: str, strategy: Any, optimizer: Any = None) -> Any:
    """A model without dropout, under plain gradient descent unless told otherwise.

    Adam would magnify differences of the last digit: it divides gradients by their size.
    """
    keras.utils.set_random_seed(3)
    options = {**sz.model_card(name).tiny, "dropout": 0.0}
    with strategy.scope():
        model = sz.build_model(name, TABLE, weights=None, **options)
        model.compile(
            optimizer() if optimizer else keras.optimizers.SGD(0.1, global_clipnorm=0.5),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile=False,
        )
    return model


def fit(model: Any, best: Path | None = None, epochs: int = 5, **further: Any) -> dict[str, Any]:
    """Trains for 20 steps of at most 5 rows; returns the history."""
    stopping = keras.callbacks.EarlyStopping(
        "val_calibrated_loss", mode="min", restore_best_weights=True
    )
    callbacks = [stopping]
    if best is not None:
        # Two epochs, the fewest before training may stop early.
        callbacks.append(keras.callbacks.ModelCheckpoint(str(best), save_freq=8))
    return model.fit(
        sz.make_dataset(TABLE, model, 5, shuffle=True, seed=0),
        validation_data=sz.make_dataset(TABLE, model, 8),
        epochs=epochs,
        verbose=0,
        callbacks=callbacks,
        **further,
    ).history
