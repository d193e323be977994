"""Processes that export until they are killed, for `test_atomic.py`.

    python exporter.py MODEL.keras DIRECTORY KILLS SEED

Each is a fork of this one, which saves the import of TensorFlow.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time

import keras
import tensorflow_text  # noqa: F401

import keras_seqzoo as sz
import keras_seqzoo.serving.audit


def export_for_ever(model_file: str, directory: str, ready: int) -> None:
    """Exports again and again, and tells when it has done so once."""
    model = keras.models.load_model(model_file)
    sz.export_model(model, directory)
    os.write(ready, b".")
    while True:
        sz.export_model(model, directory)


def main() -> None:
    """Starts an exporter, kills it at a random time, and so on."""
    model_file, directory, kills, seed = sys.argv[1:]
    draw = random.Random(int(seed))
    for _ in range(int(kills)):
        begun, ready = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(begun)
            export_for_ever(model_file, directory, ready)
        os.close(ready)
        os.read(begun, 1)
        time.sleep(draw.uniform(0.0, 1.5))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(begun)


if __name__ == "__main__":
    main()
