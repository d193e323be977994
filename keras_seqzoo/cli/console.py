"""Talking to the terminal: results on stdout, everything else on stderr."""

from __future__ import annotations

import os

from rich.console import Console

from keras_seqzoo.quiet import import_tensorflow

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
    """Imports TensorFlow, which then says of itself only what is an error."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import_tensorflow()
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
