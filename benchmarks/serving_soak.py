"""Minutes of load on `keras-seqzoo serve` while its model is swapped three times.

    python benchmarks/serving_soak.py --minutes 10 --out benchmarks/results/serving_soak.md

Four trainings of one model are exported, and what each says of 200 texts is kept. The server starts
with the first; at equal distances the next takes its place: its folder appears, at every other swap
the older ones vanish from disk at the same moment, and the server finds out by itself. Meanwhile 16
connections ask `predict` (rows and columns) and `classify`, 1 to 8 texts a request; a twentieth of
the requests is malformed. An answer must be, whole, that of the version that was served when it was
asked: around a swap, of either. Lost is a request without a reply, or with one of 5xx. Memory is
the server's RSS, once a second (Linux). It exits with 1 where anything was wrong or lost.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from serving_local import Connection, Server, head_line, read_reviews, train_model

import keras_seqzoo as sz

CLIENTS, TEXTS, MALFORMED = 16, 200, 0.05
# Of one text two answers of one version differ by rounding, those of two versions by more.
SAME, DIFFERENT = 1e-4, 1e-3
URL = "/v1/models/reviews"
BAD: tuple[tuple[str, str, bytes], ...] = (
    ("POST", f"{URL}:predict", b""),
    ("POST", f"{URL}:predict", b"{"),
    ("POST", f"{URL}:predict", b"[1, 2]"),
    ("POST", f"{URL}:predict", b'{"instances": []}'),
    ("POST", f"{URL}:predict", b'{"instances": [1, 2.5]}'),
    ("POST", f"{URL}:predict", b'{"instances": ["a", ["b"]]}'),
    ("POST", f"{URL}:predict", b'{"instances": ["a"], "inputs": ["a"]}'),
    ("POST", f"{URL}:predict", b'{"instances": [{"text": {"b64": "!"}}]}'),
    ("POST", f"{URL}:predict", b'{"instances": ["a"], "signature_name": "nothing"}'),
    ("POST", f"{URL}:predict", b"[" * 100_000),
    ("POST", f"{URL}:classify", b'{"examples": [{"words": "a"}]}'),
    ("POST", f"{URL}:explain", b'{"instances": ["a"]}'),
    ("POST", f"{URL}/versions/99:predict", b'{"instances": ["a"]}'),
    ("POST", "/v1/models/nobody:predict", b'{"instances": ["a"]}'),
    ("DELETE", URL, b""),
    ("GET", "/v2/models", b""),
)


@dataclass(frozen=True)
class Version:
    """A version: where it waits for its turn, and its `probabilities` of the texts."""

    number: int
    path: Path
    answers: np.ndarray


@dataclass
class Swap:
    """When a version appeared on disk, and when the server said that it is available."""

    appeared: float
    available: float = float("inf")


@dataclass(frozen=True)
class Asked:
    """A request: when, what became of it, and the versions whose answer it is."""

    start: float
    end: float
    kind: str
    versions: frozenset[int] = frozenset()
    problem: str = ""


def export_versions(name: str, folder: Path, count: int) -> tuple[list[Version], list[str]]:
    """Exports trainings of a model, and returns them with the texts that tell them apart."""
    from keras_seqzoo.serving.session import SavedSession

    table, texts = read_reviews()
    versions = []
    for number in range(1, count + 1):
        model = train_model(name, table, seed=number)
        path = sz.export_model(model, folder, version=number)
        session = SavedSession(path)
        rows = [np.array([text.encode()], object) for text in texts]
        answers = [session.run("serving_default", {"text": row})["probabilities"] for row in rows]
        session.close()
        versions.append(Version(number, path, np.concatenate(answers)))
        print(f"Version {number} is trained and exported", flush=True)
    told = np.min(
        [np.abs(a.answers - b.answers).max(axis=1) for a, b in itertools.combinations(versions, 2)],
        axis=0,
    )
    chosen = np.flatnonzero(told > DIFFERENT)[:TEXTS]
    if len(chosen) < TEXTS // 2:
        raise SystemExit(f"Only {len(chosen)} texts tell the versions apart.")
    versions = [Version(v.number, v.path, v.answers[chosen]) for v in versions]
    return versions, [texts[place] for place in chosen]


class Load:
    """The clients, and what they have met.

    Args:
        port: of the server.
        texts: what is asked.
        versions: what may be answered.
        seed: of what is asked when.
    """

    def __init__(self, port: int, texts: list[str], versions: list[Version], seed: int):
        self._port, self._texts, self._versions = port, texts, versions
        self._stop = threading.Event()
        self._asked: list[list[Asked]] = [[] for _ in range(CLIENTS)]
        self._threads = [
            threading.Thread(target=self._run, args=[random.Random(f"{seed} {n}"), asked])
            for n, asked in enumerate(self._asked)
        ]

    def start(self) -> None:
        """Starts the clients."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> list[Asked]:
        """Ends them, and returns all requests."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return [one for asked in self._asked for one in asked]

    def _run(self, draw: random.Random, asked: list[Asked]) -> None:
        connection = Connection(self._port)
        while not self._stop.is_set():
            ask = self._ask_bad if draw.random() < MALFORMED else self._ask
            start = time.monotonic()
            try:
                kind, versions, problem = ask(connection, draw)
            except (OSError, http.client.HTTPException) as error:
                kind, versions, problem = "lost", frozenset(), repr(error)
            asked.append(Asked(start, time.monotonic(), kind, versions, problem))
        connection.close()

    def _ask(self, connection: Connection, draw: random.Random) -> tuple[str, frozenset[int], str]:
        places = draw.sample(range(len(self._texts)), draw.randint(1, 8))
        texts = [self._texts[place] for place in places]
        verb, body, read = draw.choice((_rows, _columns, _examples))(texts)
        status, reply = connection.ask("POST", f"{URL}:{verb}", json.dumps(body).encode())
        if status != 200:
            return "lost" if status >= 500 else "wrong", frozenset(), f"{status} {reply[:200]!r}"
        try:
            answers = np.array(read(json.loads(reply)), float)
            found = frozenset(
                version.number
                for version in self._versions
                if answers.shape == version.answers[places].shape
                and np.abs(answers - version.answers[places]).max() < SAME
            )
        except (KeyError, TypeError, ValueError) as error:
            return "wrong", frozenset(), f"{error!r} {reply[:200]!r}"
        if not found:
            return "wrong", found, f"no version says so: {reply[:200]!r}"
        return "answered", found, ""

    def _ask_bad(
        self, connection: Connection, draw: random.Random
    ) -> tuple[str, frozenset[int], str]:
        method, path, body = draw.choice(BAD)
        status, reply = connection.ask(method, path, body)
        problem = f"{method} {path} {body[:80]!r}: {status} {reply[:200]!r}"
        if status >= 500:
            return "lost", frozenset(), problem
        try:
            right = isinstance(json.loads(reply)["error"], str) and status >= 400
        except (KeyError, TypeError, ValueError):
            right = False
        return ("refused", frozenset(), "") if right else ("wrong", frozenset(), problem)


Read = Callable[[Any], Any]


def _rows(texts: list[str]) -> tuple[str, Any, Read]:
    return (
        "predict",
        {"instances": texts},
        lambda reply: [row["probabilities"] for row in reply["predictions"]],
    )


def _columns(texts: list[str]) -> tuple[str, Any, Read]:
    return (
        "predict",
        {"inputs": {"text": texts}},
        lambda reply: reply["outputs"]["probabilities"],
    )


def _examples(texts: list[str]) -> tuple[str, Any, Read]:
    return (
        "classify",
        {"signature_name": "classify", "examples": [{"text": text} for text in texts]},
        lambda reply: [[score for _, score in pairs] for pairs in reply["results"]],
    )


def swap_in(version: Version, served: Path, remove_old: bool, connection: Connection) -> Swap:
    """Puts a version in its place, and returns when the server has taken it."""
    swap = Swap(time.monotonic())
    version.path.rename(served / str(version.number))
    for old in served.iterdir():
        if remove_old and int(old.name) < version.number:
            shutil.rmtree(old)
    while time.monotonic() < swap.appeared + 60:
        status, reply = connection.ask("GET", f"{URL}/versions/{version.number}")
        if status == 200:
            state = json.loads(reply)["model_version_status"][0]["state"]
            if state == "AVAILABLE":
                swap.available = time.monotonic()
                return swap
        time.sleep(0.05)
    raise SystemExit(f"Version {version.number} was not available after a minute.")


def judge(asked: list[Asked], swaps: list[Swap]) -> list[Asked]:
    """Returns the requests, an answer of a version that was not served then being wrong."""
    ends = [swap.available for swap in swaps[1:]] + [float("inf")]
    judged = []
    for one in asked:
        served = {
            number
            for number, (swap, end) in enumerate(zip(swaps, ends, strict=True), start=1)
            if one.end >= swap.appeared and one.start <= end
        }
        if one.kind == "answered" and not one.versions & served:
            problem = f"of version {sorted(one.versions)} while {sorted(served)} was served"
            one = Asked(one.start, one.end, "wrong", one.versions, problem)
        judged.append(one)
    return judged


def slope(times: np.ndarray, memory: np.ndarray) -> float:
    """Least-squares slope, MB a minute; 0 for too little to tell."""
    return float(np.polyfit(times / 60, memory, 1)[0]) if len(times) > 2 else 0.0


def run(arguments: argparse.Namespace, folder: Path) -> bool:
    """Runs it all, prints and writes the report, and returns whether all was right."""
    versions, texts = export_versions(arguments.model, folder / "waiting" / "reviews", 4)
    served = folder / "models" / "reviews"
    served.mkdir(parents=True)
    versions[0].path.rename(served / "1")
    seconds = 60 * arguments.minutes
    with Server(folder / "models") as server:
        print(f"{arguments.minutes:g} minutes of load begin", flush=True)
        load = Load(server.port, texts, versions, arguments.seed)
        begun = time.monotonic()
        swaps = [Swap(begun, begun)]
        samples: list[tuple[float, float]] = []
        ended = threading.Event()

        def sample() -> None:
            while not ended.wait(1):
                samples.append((time.monotonic() - begun, server.rss()))

        sampling = threading.Thread(target=sample)
        sampling.start()
        load.start()
        try:
            for place, new in enumerate(versions[1:], start=1):
                time.sleep(max(0.0, begun + seconds * place / len(versions) - time.monotonic()))
                # The server closes a connection that idles from swap to swap.
                watching = Connection(server.port)
                swaps.append(swap_in(new, served, place % 2 == 0, watching))
                print(
                    f"{swaps[-1].appeared - begun:.0f} s: version {new.number}, available after "
                    f"{swaps[-1].available - swaps[-1].appeared:.1f} s; the older ones were "
                    f"{'left' if place % 2 else 'removed'}",
                    flush=True,
                )
            time.sleep(max(0.0, begun + seconds - time.monotonic()))
        finally:
            asked = load.stop()
            seconds = time.monotonic() - begun
            ended.set()
            sampling.join()
        left = json.loads(Connection(server.port).ask("GET", URL)[1])["model_version_status"]
        defects = server.defects()
    loaded = [int(v["version"]) for v in left if v["state"] == "AVAILABLE"]
    if loaded != [len(versions)]:
        defects.append(f"versions {loaded} are loaded at the end, where one should be")
    asked = judge(asked, swaps)
    report = describe(asked, np.array(samples), [s.appeared - begun for s in swaps[1:]], seconds)
    problems = [one for one in asked if one.kind in ("wrong", "lost")]
    lines = [f"{one.kind} at {one.start - begun:.1f} s: {one.problem}" for one in problems[:20]]
    print("\n".join([report, *lines, *defects]))
    if arguments.out is not None:
        arguments.out.write_text(
            "\n".join([head_line(), "", report, *lines, *defects, ""]), encoding="utf-8"
        )
        plot(arguments.out.with_suffix(".png"), asked, np.array(samples), swaps)
    return not problems and not defects


def describe(asked: list[Asked], samples: np.ndarray, swapped: list[float], seconds: float) -> str:
    """Writes the report as a Markdown table."""
    kinds = Counter(one.kind for one in asked)
    times = [1000 * (one.end - one.start) for one in asked if one.kind == "answered"]
    p50, p95, p99 = np.percentile(times or [0], [50, 95, 99])
    at, memory = samples.T
    settled = min(60.0, seconds / 5)
    after = at >= settled
    stretches = [
        slope(at[inside], memory[inside])
        for low, high in itertools.pairwise([settled, *swapped, seconds])
        # A new version takes its memory in the first seconds.
        if (inside := (at >= low + settled / 6) & (at < high)).any()
    ]
    rows = {
        "model swaps": f"{len(swapped)}",
        "requests": f"{len(asked):,}, {len(asked) / seconds:.0f}/s, of {CLIENTS} connections",
        "answered": f"{kinds['answered']:,}, all checked",
        "malformed": f"{kinds['refused']:,}, refused with 4xx and JSON",
        "wrong": f"{kinds['wrong']}",
        "lost": f"{kinds['lost']}",
        "p50, p95, p99": f"{p50:.1f}, {p95:.1f}, {p99:.1f} ms",
        f"RSS after {settled:.0f} s, at the middle, at the end": ", ".join(
            f"{np.interp(t, at, memory):.0f}" for t in (settled, seconds / 2, seconds)
        ) + " MB",
        "its slope from then on": f"{slope(at[after], memory[after]):+.2f} MB/min",
        "its slope between the swaps": f"{', '.join(f'{s:+.2f}' for s in stretches)} MB/min",
    }  # fmt: skip
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {row} |" for name, row in rows.items())])


def plot(path: Path, asked: list[Asked], samples: np.ndarray, swaps: list[Swap]) -> None:
    """Draws memory and requests a second."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    begun = swaps[0].appeared
    counts = np.bincount([int(one.end - begun) for one in asked])
    figure, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(7, 4.5))
    top.plot(samples[:, 0] / 60, samples[:, 1])
    top.set(ylabel="RSS, MB", ylim=(0, 1.1 * samples[:, 1].max()))
    bottom.plot(np.arange(len(counts))[:-1] / 60, counts[:-1])
    bottom.set(ylabel="requests/s", xlabel="minutes; dashed: a new version", ylim=(0, None))
    for axes, swap in itertools.product((top, bottom), swaps[1:]):
        axes.axvline((swap.appeared - begun) / 60, linestyle="--", color="grey", linewidth=1)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    print(f"Drawn: {path}")


def main() -> None:
    """Parses the command line, and runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--model", default="lstm", help="of the zoo, at small size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a Markdown file; the picture comes beside it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if run(arguments, Path(folder)) else 1)


if __name__ == "__main__":
    main()
