"""Plain Keras in two workers, for `test_keras_defects.py`: prints what `fit` raised, as JSON."""

from __future__ import annotations

import json
import sys

import keras_seqzoo as sz

strategy = sz.distribution("auto", timeout=120, verbose=False)

import keras  # noqa: E402
import numpy as np  # noqa: E402


class BuiltModel(keras.Sequential):
    """Does not need to be built from a batch."""

    def _maybe_symbolic_build(self, iterator: object = None, data_batch: object = None) -> None:
        pass


raised = {}
for name, kind in (("batch", keras.Sequential), ("scalars", BuiltModel)):
    with strategy.scope():
        model = kind([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", jit_compile=False)
    try:
        model.fit(np.ones((8, 3)), np.ones((8, 1)), batch_size=4, verbose=0)
        raised[name] = ""
    except Exception as error:  # noqa: BLE001 - whatever it is, it is printed
        raised[name] = f"{type(error).__name__}: {error}"
print(json.dumps(raised), file=sys.stdout)
