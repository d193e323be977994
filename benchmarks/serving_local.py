"""What the serving benchmarks share: models trained in seconds, and `keras-seqzoo serve` beside."""

from __future__ import annotations

import http.client
import json
import os
import queue
import re
import shlex
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import keras_seqzoo as sz

ROOT = Path(__file__).parents[1]
REVIEWS = ROOT / "examples" / "data" / "reviews.csv"
SMALL: dict[str, Any] = {
    "weights": None,
    "num_layers": 2,
    "hidden_dim": 128,
    "num_heads": 2,
    "intermediate_dim": 512,
}
RECURRENT = ("lstm", "gru", "bilstm", "bigru")
_SERVING = re.compile(r"Serving .* at http://127\.0\.0\.1:([0-9]+)")


def read_reviews() -> tuple[sz.TextTable, list[str]]:
    """Returns the bundled reviews to train on, and the texts of 500 others."""
    table = sz.read_table(REVIEWS, text="review", label="sentiment")
    train, _, test = table.split(valid=0.1, test=0.1, seed=0)
    return train, list(test.texts)


def train_model(
    name: str, table: sz.TextTable, rows: int = 1000, seed: int = 0, **options: Any
) -> Any:
    """Builds a model and trains it for some seconds; what is asked of it is speed, not wisdom.

    Args:
        name: of the zoo; transformers are built at 2 layers of 128. Or a TF Hub folder, whose
            encoder stays frozen under a head of its pooled vector.
        table: texts to learn the vocabulary from, and to train on.
        rows: how many of them to train on; with 0 it stays as it was made.
        seed: of the weights and of the rows' order.
        options: further ones of `build_model`.
    """
    import keras

    keras.utils.set_random_seed(seed)
    if Path(name).is_dir():
        options = {"trainable": False, "pooling": "pooled", **options}
    elif name not in RECURRENT:
        options = {**SMALL, **options}
    model = sz.build_model(name, table, **options)
    if not rows:
        return model
    assert table.labels is not None
    labels = [table.classes[label] for label in table.labels[:rows]]
    some = sz.TextTable.from_texts(table.texts[:rows], labels, table.classes)
    data = sz.make_dataset(some, model, 32, shuffle=True, seed=seed)
    model.fit(data, epochs=1, verbose=0)
    return model


class Server:
    """`keras-seqzoo serve` in a process of its own, at a port that the system chooses.

    Attributes:
        port: of 127.0.0.1.
        pid: of the process.
        lines: what it has written to stderr so far.

    Args:
        folder: of the models.
        options: further ones of the command.

    Raises:
        RuntimeError: it did not start.
    """

    def __init__(self, folder: Path, *options: object):
        command = [sys.executable, "-m", "keras_seqzoo", "serve", folder, "--port", 0, "--quiet"]
        self._process = subprocess.Popen(
            [str(part) for part in [*command, *options]], stderr=subprocess.PIPE, text=True
        )
        self.pid = self._process.pid
        self.lines: list[str] = []
        ports: queue.Queue[int | None] = queue.Queue()
        threading.Thread(target=self._read, args=[ports], daemon=True).start()
        port = ports.get()
        if port is None:
            raise RuntimeError("The server did not start:\n" + "".join(self.lines))
        self.port = port

    def _read(self, ports: queue.Queue[int | None]) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append(line)
            if found := _SERVING.search(line):
                ports.put(int(found[1]))
        ports.put(None)

    def rss(self) -> float:
        """Returns the memory that the process holds, in MB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def defects(self) -> list[str]:
        """Returns what it has written that a sound server does not: tracebacks, and its end."""
        ended = self._process.poll()
        ends = [] if ended is None else [f"the server has ended with {ended}"]
        return [f"stderr: {line.strip()}" for line in self.lines if "Traceback" in line] + ends

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Connection:
    """A connection that is kept alive, and made anew after an error; for one thread.

    Args:
        port: of 127.0.0.1.
        timeout: seconds.
    """

    def __init__(self, port: int, timeout: float = 60.0):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Returns the status and body of a reply.

        Raises:
            OSError: no connection, or no reply in time.
            http.client.HTTPException: no reply of HTTP.
        """
        try:
            self._connection.request(method, path, body)
            reply = self._connection.getresponse()
            return reply.status, reply.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def predict(self, model: str, body: Any) -> Any:
        """Returns the reply to a Predict request, or raises for any status but 200.

        Raises:
            RuntimeError: another status.
            OSError: as `ask`.
        """
        status, reply = self.ask("POST", f"/v1/models/{model}:predict", json.dumps(body).encode())
        if status != 200:
            raise RuntimeError(f"The server answered {status}: {reply[:200]!r}")
        return json.loads(reply)

    def close(self) -> None:
        """Closes it."""
        self._connection.close()


def head_line() -> str:
    """Returns the first line of a results file: the command without its folders, date, cores."""
    arguments = ("…" if os.sep in argument else shlex.quote(argument) for argument in sys.argv[1:])
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments])
    date = datetime.now(UTC).date().isoformat()
    return f"`{command}`, {date}, {len(os.sched_getaffinity(0))} cores"
