"""Talking to the terminal: results on stdout, everything else on stderr."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

results = Console(highlight=False, soft_wrap=True)
messages = Console(stderr=True, highlight=False, soft_wrap=True)


def problem(text: str) -> None:
    """Prints an error or a warning to stderr."""
    messages.print(text, style="bold red" if text.startswith("Error") else None, markup=False)


def say(text: str, quiet: bool = False) -> None:
    """Prints what is going on to stderr, unless `quiet`."""
    if not quiet:
        messages.print(text, markup=False)


def load_tensorflow() -> None:
    """Imports TensorFlow without the lines it prints about its build and missing GPUs.

    They come from C++ before any of its log levels can be set, so the file descriptor itself is
    turned away; if the import fails, they are printed after all.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with _held_stderr():
        import tensorflow as tf

        tf.config.list_physical_devices()
        tf.get_logger().setLevel("ERROR")


@contextmanager
def _held_stderr() -> Iterator[None]:
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
