"""Measures what a model costs when it answers: time, size, memory."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

_WARM_UPS = 3
_MOST_SECONDS = 8.0


def latency_ms(model: Any, table: Any, most: int = 200, seed: int = 0) -> tuple[float, float]:
    """Times one text or window at a time.

    Args:
        model: has `predict`.
        table: rows to draw from, at least one.
        most: most rows to time; fewer if they take more than a few seconds.
        seed: seed of the draw.

    Returns:
        Median and 95th percentile, in milliseconds.
    """
    rng = np.random.default_rng(seed)
    drawn = [table.take([row]).questions for row in rng.permutation(len(table))[:most]]
    for question in drawn[:_WARM_UPS]:
        model.predict(question)
    times: list[float] = []
    while len(times) < most and sum(times) < _MOST_SECONDS:
        begun = time.perf_counter()
        model.predict(drawn[len(times) % len(drawn)])
        times.append(time.perf_counter() - begun)
    p50, p95 = np.percentile(times, [50, 95]) * 1000
    return float(p50), float(p95)


def texts_per_s(model: Any, table: Any, batch_size: int = 32, seed: int = 0) -> float:
    """Counts the texts or windows that a model answers in a second, in random batches."""
    rng = np.random.default_rng(seed)
    answered, seconds = 0, 0.0
    model.predict(table.take(np.arange(len(table))[:batch_size]).questions)
    while answered < 2048 and seconds < _MOST_SECONDS:
        batch = table.take(rng.integers(0, len(table), batch_size)).questions
        begun = time.perf_counter()
        model.predict(batch)
        seconds += time.perf_counter() - begun
        answered += batch_size
    return answered / seconds


def size_mb(path: Path) -> float:
    """Size of a file, or of all files of a folder, in MB of 1,000,000 bytes."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


def peak_memory_mb() -> float:
    """The peak memory of this process, in MB of 1,000,000 bytes.

    This is the memory of the machine; memory of a GPU comes on top.
    """
    status = Path("/proc/self/status")
    if status.exists():
        # In a new process, the peak of getrusage starts at the memory of the parent process.
        held = re.search(r"VmHWM:\s*(\d+) kB", status.read_text("ascii", "replace"))
        if held:
            return int(held[1]) * 1024 / 1e6
    import resource  # Windows does not have it

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6
