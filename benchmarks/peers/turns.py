"""What the tables of this folder share: contenders in processes of their own that take turns.

In a round each contender does the same work once; the first round warms up and is not kept. A
figure is the median of the rounds, with the lowest and the highest of them. `ours_by` says how
many times as good ours was, above 1 that ours won, taken round by round, so that a machine which
changes its speed meanwhile does not change the ratio. Memory is the most that a contender's
process held. This file needs the standard library only: the peers' processes import it, too.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
RESULTS = ROOT / "benchmarks" / "results"
OURS, MINILM = "keras_seqzoo", "hub/minilm_L-6_H-384_A-12"
LIBRARIES = (
    "keras_seqzoo", "tensorflow", "keras", "keras_hub", "torch", "transformers", "tokenizers",
    "onnxruntime", "openvino",
)  # fmt: skip
Rounds = dict[str, dict[str, list[float]]]
Run = Callable[[], tuple[float, Any]]


class Worker:
    """A process that does what it is told, line by line.

    It begins to import what it needs when it is made; what it is told waits for that.

    Args:
        command: of the process, which calls `work`.

    Raises:
        RuntimeError: the process has ended; its last words are in the message.
    """

    def __init__(self, *command: object):
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the worker
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
        )  # fmt: skip
        self._is_ready = False

    def wait(self) -> None:
        """Waits until all is imported."""
        if not self._is_ready:
            self._read()
        self._is_ready = True

    def do(self, what: str, **order: Any) -> Any:
        """Has it do something, and returns what came of it."""
        self.wait()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, which reading says
            self._process.stdin.write(json.dumps({"do": what, **order}) + "\n")
            self._process.stdin.flush()
        return self._read()

    def ask(self, texts: list[Any], batch: int = 1) -> list[float]:
        """Returns the seconds of each batch."""
        times: list[float] = self.do("ask", texts=texts, batch=batch)["times"]
        return times

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise RuntimeError(f"A process has ended:\n{self._errors.read()[-3000:]}")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()


def work(do: Callable[[dict[str, Any]], Any]) -> None:
    """In a worker: does what each line of standard input says, and answers in one of JSON.

    Args:
        do: takes an order, whose "do" says what; "about" is answered here.
    """
    told, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    print(json.dumps("ready"), file=told, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        done = about() if order["do"] == "about" else do(order)
        print(json.dumps(done), file=told, flush=True)


def runs(load: Callable[[dict[str, Any]], Run]) -> Callable[[dict[str, Any]], Any]:
    """What a worker of a contest does: it loads once, and then runs and takes the time.

    Args:
        load: from the order to load to what is run. It returns how much it has done, and what
            came of it, or a function that says what, for which no time is taken.
    """
    loaded: list[Run] = []

    def do(order: dict[str, Any]) -> Any:
        begun = time.perf_counter()
        if order["do"] == "load":
            loaded.append(load(order))
            return {"seconds": time.perf_counter() - begun}
        amount, value = loaded[-1]()
        seconds = time.perf_counter() - begun
        value = value() if callable(value) else value
        return {"seconds": seconds, "amount": amount, "value": value}

    return do


def about() -> dict[str, Any]:
    """The most memory that this process has held, in MB, and the versions of what it imported."""
    # Not `ru_maxrss`, in which Linux counts the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    versions = [f"Python {platform.python_version()}"]
    for name in LIBRARIES:
        if name in sys.modules:
            try:
                versions.append(f"{name} {version(name)}")
            except PackageNotFoundError:
                versions.append(f"{name} {getattr(sys.modules[name], '__version__', '')}")
    return {"memory": int(kilobytes) / 1e3, "versions": "; ".join(versions)}


def contest(
    what: str, unit: str, commands: Mapping[str, Sequence[object]], order: Mapping[str, Any],
    rounds: int, note: Callable[[Any, Any], str], *, less: bool = False, cold: bool = False,
) -> list[dict[str, str]]:  # fmt: skip
    """Has contenders run in turn, each in a process that calls `work(runs(load))`.

    Args:
        what: is done, in words.
        unit: of the rate at which they do it.
        commands: of the processes by contender, ours first.
        order: for `load`.
        rounds: that are kept.
        note: a remark on what came of a contender's last run, beside what came of ours.
        less: whether the figure is the seconds of a piece of work, not the pieces of a second.
        cold: whether each round takes new processes.

    Returns:
        The rows of `table_rows`.
    """
    values: dict[str, Any] = {}
    abouts: dict[str, Any] = {}

    def run(name: str, worker: Worker) -> dict[str, float]:
        done = worker.do("run")
        values[name], abouts[name] = done["value"], worker.do("about")
        pace = done["seconds"] / done["amount"]
        return {"figure": pace if less else 1 / pace}

    def run_cold(name: str) -> dict[str, float]:
        with Worker(*commands[name]) as worker:
            worker.do("load", **order)
            return run(name, worker)

    if cold:
        found = take_turns(commands, rounds, run_cold)
    else:
        with ExitStack() as stack:
            workers = {n: stack.enter_context(Worker(*c)) for n, c in commands.items()}
            for worker in workers.values():
                worker.do("load", **order)
            found = take_turns(workers, rounds, lambda name: run(name, workers[name]))
    mine = values[next(iter(commands))]
    notes = {name: note(value, mine) for name, value in values.items()}
    return table_rows(what, unit, found, abouts, notes, less=less)


def take_turns(
    contenders: Iterable[str], rounds: int, ask: Callable[[str], Mapping[str, float]]
) -> Rounds:
    """Asks each contender once a round.

    Args:
        contenders: their names, ours first.
        rounds: that are kept, after the one that warms up.
        ask: from a name to figures of a round.

    Returns:
        By contender and figure, the values of the rounds.
    """
    found: Rounds = {name: {} for name in contenders}
    for number in range(rounds + 1):
        for name, figures in found.items():
            for key, value in ask(name).items():
                figures.setdefault(key, []).extend([value] if number else [])
        if number:
            last = (f"{n} {', '.join(short(v[-1]) for v in f.values())}" for n, f in found.items())
            print(f"round {number}: {'  '.join(last)}", flush=True)
    return found


def short(value: float) -> str:
    """Three figures of a number."""
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{min(max(digits, 0), 6)}f}"


def table_rows(
    work: str, unit: str, found: Rounds, abouts: Mapping[str, Mapping[str, Any]],
    notes: Mapping[str, str], *, figure: str = "figure", less: bool = False,
) -> list[dict[str, str]]:  # fmt: skip
    """A row for each contender.

    Args:
        work: what was done, in words.
        unit: of the figure.
        found: of `take_turns`; the first contender is ours.
        abouts: by contender what its process says of itself.
        notes: by contender a remark.
        figure: of those found.
        less: whether a smaller one is better.
    """
    mine = next(iter(found.values()))[figure]
    rows = []
    for name, figures in found.items():
        values = figures[figure]
        times = [b / a if less else a / b for a, b in zip(mine, values, strict=True)]
        rows.append(
            {
                "work": work,
                "who": name,
                "median": short(statistics.median(values)),
                "unit": unit,
                "range": f"{short(min(values))} to {short(max(values))}",
                "ours_by": f"{statistics.median(times):.2f}",
                "ours_by_range": f"{min(times):.2f} to {max(times):.2f}",
                "memory_mb": f"{abouts[name]['memory']:.0f}",
                "note": notes[name],
                "versions": abouts[name]["versions"],
            }
        )
    return rows


def write(rows: Sequence[dict[str, str]], out: Path) -> None:
    """Prints a Markdown table, and adds its rows to a CSV."""
    titles = [title for title in rows[0] if title != "versions"]
    print("| " + " | ".join(titles) + " |\n" + "|---" * len(titles) + "|")
    for row in rows:
        print("| " + " | ".join(row[title] for title in titles) + " |", flush=True)
    made = {"date": datetime.now(UTC).date().isoformat(), "machine": machine()}
    is_new = not out.exists()
    with out.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0], *made])
        if is_new:
            writer.writeheader()
        writer.writerows({**row, **made} for row in rows)


def machine() -> str:
    """The processor, and how many threads there are."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    threads = len(os.sched_getaffinity(0))
    return "; ".join([*names[:1], f"{platform.system()} {platform.machine()}", f"{threads} cores"])


def command_line(document: str, kinds: Sequence[str], out: str) -> argparse.ArgumentParser:
    """The options that all tables have.

    Args:
        document: docstring of the script.
        kinds: the peers, by name.
        out: name of the file of results.
    """
    parser = argparse.ArgumentParser(description=document.splitlines()[0])
    parser.add_argument("--peers", default=sys.executable, help="the Python of make_env.sh")
    parser.add_argument("--kinds", nargs="*", default=list(kinds), choices=list(kinds))
    parser.add_argument("--shared", type=Path, default=SHARED, help="data, hub, tokenizers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="cores that all may use")
    parser.add_argument("--out", type=Path, default=RESULTS / out)
    return parser


def parse(parser: argparse.ArgumentParser) -> Any:
    """Reads the command line; all processes keep to the threads that it says."""
    given = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])
    return given
