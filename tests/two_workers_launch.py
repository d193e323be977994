"""Starts workers on this host, as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def launch(*command: object, workers: int = 2) -> subprocess.CompletedProcess[str]:
    """Runs a command as several workers, each a process of its own."""
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "keras_seqzoo", "launch", "--workers", str(workers), "--",
         *map(str, command)],
        capture_output=True, text=True, check=False, timeout=900,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
