"""The environment in which figures were measured."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

# TensorFlow has several package names, one for each variant.
_TENSORFLOW = ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tensorflow-macos", "tf-nightly")


def environment() -> dict[str, str]:
    """Returns versions and processors, such as `{"Python": "3.11.9", "TensorFlow": "2.20.0"}`.

    It imports neither TensorFlow nor Keras. A missing package is "not installed".
    """
    from keras_seqzoo.version import __version__

    return {
        "keras_seqzoo": __version__,
        "TensorFlow": _version(*_TENSORFLOW),
        "Keras": _version("keras", "keras-nightly"),
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": str(_processors()),
    }


def _version(*names: str) -> str:
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "not installed"


def _processors() -> int:
    """Number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
