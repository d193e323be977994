"""TensorFlow without the lines that it prints about its build, missing GPUs and itself."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# C++ prints them before any of its log levels takes effect.
_NOTICES = [
    b"absl::InitializeLog",
    b" port.cc:",
    b" cudart_stub.cc:",
    b" cpu_feature_guard.cc:",
    b"To enable the following instructions",
]
if not os.path.exists("/dev/nvidiactl"):  # noqa: PTH110 - without a driver, CUDA must fail
    _NOTICES.append(b"failed call to cuInit")


def import_tensorflow() -> None:
    """Imports TensorFlow, lets it look for devices, and hides its messages about that.

    Other output to stderr in this time is printed afterwards. With TF_CPP_MIN_LOG_LEVEL=0 in the
    environment nothing is hidden.
    """
    if "tensorflow" in sys.modules or os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        return
    with _without_notices():
        import tensorflow as tf

        tf.config.list_physical_devices()


@contextmanager
def logging_from(level: int) -> Iterator[None]:
    """TensorFlow's logger prints nothing below a level of `logging`, whatever its own level is."""

    def is_told(record: logging.LogRecord) -> bool:
        return record.levelno >= level

    logger = logging.getLogger("tensorflow")
    logger.addFilter(is_told)
    try:
        yield
    finally:
        logger.removeFilter(is_told)


@contextmanager
def _without_notices() -> Iterator[None]:
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, AttributeError):  # there is no stderr
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held:
                if not any(notice in line for notice in _NOTICES):
                    os.write(2, line)
