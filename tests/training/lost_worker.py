"""A training of two workers in which something goes wrong, for `test_multi_worker.py`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import keras_seqzoo as sz

strategy = sz.distribution("auto", timeout=120, verbose=False)

import keras  # noqa: E402

csv, folder, what = sys.argv[1:]
table = sz.read_table(csv, text="review", label="sentiment")
keras.utils.set_random_seed(0)
with strategy.scope():
    model = sz.build_model("gru", table, units=4, embedding_dim=8)
if what == "other data" and not model.is_chief:
    table = table.split(valid=0.5, test=0)[0]


class Lose(keras.callbacks.Callback):
    """Kills worker 1 in the fourth step, and tells where a training goes on."""

    told = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if what == "lose" and batch == 3 and not self.model.is_chief:
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "go on" and logs and not self.told and self.model.is_chief:
            print(f"resumed in epoch 1 at step {batch}", flush=True)
            self.told = True


try:
    model.fit(
        sz.make_dataset(table, model, 8, shuffle=True),
        epochs=2,
        verbose=0,
        callbacks=[Lose(), sz.Recovery(Path(folder) / "recovery", steps=1)],
    )
except ConnectionError as error:
    print(error, file=sys.stderr)
    sys.exit(175)
