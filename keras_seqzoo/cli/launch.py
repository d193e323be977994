"""`keras-seqzoo launch`: several workers on one host."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from keras_seqzoo.cli.console import problem, say

# A worker that has lost another one needs a while to notice; then it is told to stop.
_GRACE_SECONDS = 30.0


def launch_command(
    command: Annotated[
        list[str], typer.Argument(help="After --: `train …`, or any other command.")
    ],
    workers: Annotated[int, typer.Option(min=1, help="Processes to start.")] = 2,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Of the first worker; free ones if unset.")
    ] = None,
) -> None:
    """Run a command as several workers on this host, and end with the exit code of the worst.

    Each gets its TF_CONFIG and its share of the GPUs; what they print is marked with their number.
    """
    from keras_seqzoo.cli.main import app

    own = {registered.name for registered in app.registered_commands}
    arguments = [sys.executable, "-m", "keras_seqzoo", *command] if command[0] in own else command
    cluster = [f"localhost:{number}" for number in _ports(workers, port)]
    say(f"Starting {workers} workers: {', '.join(cluster)}")
    processes = [_start(arguments, _environment(cluster, i), i) for i in range(workers)]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: _pass_on(processes, received))
    codes = _wait(processes)
    if any(codes):
        problem(f"Exit codes of the workers: {', '.join(map(str, codes))}")
    raise typer.Exit(max(codes))


def _ports(count: int, first: int | None) -> list[int]:
    if first is not None:
        return list(range(first, first + count))
    with ExitStack() as stack:  # all are held until all are found, so that they differ
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in held]


def _environment(cluster: Sequence[str], index: int) -> dict[str, str]:
    task = {"cluster": {"worker": cluster}, "task": {"type": "worker", "index": index}}
    environment = {**os.environ, "TF_CONFIG": json.dumps(task), "PYTHONUNBUFFERED": "1"}
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = sorted(int(path.name[6:]) for path in Path("/dev").glob("nvidia[0-9]*"))
    gpus = listed.split(",") if listed is not None else [str(number) for number in found]
    if len(gpus) >= len(cluster):
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[index :: len(cluster)])
    return environment


def _start(arguments: Sequence[str], environment: dict[str, str], index: int) -> Any:
    try:
        process = subprocess.Popen(
            arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        raise ValueError(
            "After --, give a command of keras-seqzoo or a program. "
            f"Received: {' '.join(arguments)}, which gave {error}"
        ) from error
    process.readers = [  # type: ignore[attr-defined]
        threading.Thread(target=_copy, args=(source, target, index), daemon=True)
        for source, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
    ]
    for reader in process.readers:  # type: ignore[attr-defined]
        reader.start()
    return process


def _copy(source: IO[bytes], target: IO[str], index: int) -> None:
    for line in source:
        target.write(f"[worker {index}] {line.decode('utf-8', 'replace')}")
        target.flush()


def _pass_on(processes: Sequence[Any], number: int) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


def _wait(processes: Sequence[Any]) -> list[int]:
    """Waits for all; where one fails, the others have a while to end by themselves."""
    failed_at = None
    while any(process.poll() is None for process in processes):
        if failed_at is None and any(process.poll() for process in processes):
            failed_at = time.monotonic()
        if failed_at is not None and time.monotonic() - failed_at > _GRACE_SECONDS:
            for process in processes:
                process.kill()
        time.sleep(0.1)
    for process in processes:
        for reader in process.readers:
            reader.join(timeout=5)
    # A signal that ended a process is told as shells do.
    return [128 - p.returncode if p.returncode < 0 else p.returncode for p in processes]
