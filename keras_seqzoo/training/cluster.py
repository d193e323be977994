"""The workers of a training over several processes: who they are, and whether all have come."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Set by Slurm in every task of a job step.
_SLURM = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_STEP_NODELIST")
_RULE = (
    'TF_CONFIG must be JSON such as {"cluster": {"worker": ["host1:12345", "host2:12345"]}, '
    '"task": {"type": "worker", "index": 0}}, the same cluster on every worker and its own index '
    "on each. Mend or unset the environment variable. "
)
_LONGEST_MESSAGE = 65_536


@dataclass(frozen=True)
class Cluster:
    """The workers of a training, from `TF_CONFIG`.

    Attributes:
        addresses: `host:port` of every worker, the chief's first.
        index: which of them this process is.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def chief(self) -> bool:
        """Whether this process writes files and exports."""
        return self.index == 0

    def name(self, index: int) -> str:
        """What a worker is called in messages."""
        return f"worker {index} ({self.addresses[index]})"


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """Reads the cluster from `TF_CONFIG`; None where it is not set or names one worker at most.

    Raises:
        ValueError: `TF_CONFIG` is not what TensorFlow needs; the message says what is wrong.
    """
    text = environment.get("TF_CONFIG", "").strip()
    if not text or text == "{}":
        return None
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{_RULE}Received: {text!r}, which is no JSON: {error}") from error
    cluster = config.get("cluster") if isinstance(config, dict) else None
    task = config.get("task") if isinstance(config, dict) else None
    if not isinstance(cluster, dict) or not isinstance(task, dict):
        raise ValueError(f"{_RULE}Received: {text!r}, which lacks 'cluster' or 'task'")
    other = sorted(set(cluster) - {"chief", "worker"})
    if other:
        raise ValueError(
            "Training is synchronous, all workers alike: jobs are 'chief' and 'worker' alone. "
            f"Leave out {', '.join(other)}. Received: {text!r}"
        )
    chiefs, workers = list(cluster.get("chief", [])), list(cluster.get("worker", []))
    addresses = [*chiefs, *workers]
    kind, index = task.get("type"), task.get("index")
    job = {"chief": chiefs, "worker": workers}.get(str(kind), [])
    if len(chiefs) > 1 or not isinstance(index, int) or not 0 <= index < len(job):
        raise ValueError(
            f"{_RULE}Received: {text!r}, in which the cluster has {len(chiefs)} chiefs and "
            f"{len(workers)} workers and the task is {kind!r} number {index!r}"
        )
    for address in addresses:
        host, colon, port = str(address).rpartition(":")
        if not (host and colon and port.isdecimal() and 0 < int(port) < 65_536):
            raise ValueError(f"{_RULE}Received: {address!r}, which is no host:port")
    if len(set(addresses)) < len(addresses):
        raise ValueError(f"{_RULE}Received: {text!r}, in which an address stands twice")
    if len(addresses) < 2:
        return None
    return Cluster(tuple(addresses), index + (len(chiefs) if kind == "worker" else 0))


def in_slurm(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is one of several tasks of a Slurm job step."""
    return all(name in environment for name in _SLURM) and int(environment["SLURM_NTASKS"]) > 1


def config_from_slurm(environment: Mapping[str, str] = os.environ, port: int = 8888) -> str:
    """Makes the `TF_CONFIG` of this task from Slurm's variables.

    TensorFlow's `SlurmClusterResolver` sorts hosts as text (n10 before n2), against the ranks, and
    needs `nvidia-smi`.

    Args:
        environment: holds `SLURM_STEP_NODELIST`, `SLURM_STEP_TASKS_PER_NODE` and `SLURM_PROCID`.
        port: of the first task on a host; the next ones follow.
    """
    hosts = _expand_hosts(environment["SLURM_STEP_NODELIST"])
    tasks: list[int] = []
    for group in environment.get("SLURM_STEP_TASKS_PER_NODE", "1").split(","):  # such as 2(x3),1
        count, _, times = group.partition("(x")
        tasks += [int(count)] * int(times.rstrip(")") or 1)
    if len(tasks) != len(hosts):
        raise ValueError(
            "Slurm must tell the tasks of every host. Set TF_CONFIG yourself. Received: "
            f"{[environment.get(n) for n in (*_SLURM, 'SLURM_STEP_TASKS_PER_NODE')]}"
        )
    workers = [f"{h}:{port + i}" for h, n in zip(hosts, tasks, strict=True) for i in range(n)]
    task = {"type": "worker", "index": int(environment["SLURM_PROCID"])}
    return json.dumps({"cluster": {"worker": workers}, "task": task})


def _expand_hosts(text: str) -> list[str]:
    """Slurm's short form of host names: `a[1-2,05],b` is a1, a2, a05, b."""
    hosts = []
    for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text):
        numbers = re.search(r"\[([^\]]*)\]", part)
        if numbers is None:
            hosts.append(part)
            continue
        for span in numbers[1].split(","):
            first, _, last = span.partition("-")
            for number in range(int(first), int(last or first) + 1):
                middle = str(number).zfill(len(first))
                hosts += _expand_hosts(part[: numbers.start()] + middle + part[numbers.end() :])
    return hosts


def meet(cluster: Cluster, facts: Mapping[str, Any], timeout: float) -> None:
    """Waits until all workers are there and agree, before TensorFlow waits without an end.

    Every worker tells the chief its facts, over the address at which TensorFlow will listen
    afterwards; the chief answers all of them at once. What is told is text alone, nothing that is
    received is run.

    Args:
        cluster: the workers.
        facts: what must be the same on all of them, by name.
        timeout: seconds to wait.

    Raises:
        TimeoutError: some have not come; the message names them.
        ValueError: some have other facts; the message names workers and facts.
    """
    deadline = time.monotonic() + timeout
    told = json.dumps(dict(facts))
    if cluster.chief:
        verdict = _preside(cluster, told, deadline, timeout)
    else:
        verdict = _attend(cluster, told, deadline, timeout)
    if verdict.get("missing"):
        missing = ", ".join(cluster.name(index) for index in verdict["missing"])
        raise TimeoutError(
            f"All {len(cluster.addresses)} workers must start within {timeout:g} s. Start "
            "the missing ones, check that their hosts reach each other on these ports, or pass a "
            f"longer timeout. Received: no sign of {missing}"
        )
    if verdict.get("differences"):
        raise ValueError(
            "All workers must run the same code with the same settings. Install the same versions "
            f"and give the same command everywhere. Received: {'; '.join(verdict['differences'])}"
        )


def _preside(cluster: Cluster, told: str, deadline: float, timeout: float) -> dict[str, Any]:
    """The chief's part: hears all, then answers all."""
    heard: dict[int, str] = {0: told}
    open_lines: list[socket.socket] = []
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = int(cluster.addresses[0].rpartition(":")[2])
        try:
            listener.bind(("", port))
        except OSError as error:
            raise ValueError(
                "The chief's port must be free. End what uses it, or choose another in TF_CONFIG. "
                f"Received: {cluster.name(0)}: {error}"
            ) from error
        listener.listen(len(cluster.addresses) * 4)
        try:
            while len(heard) < len(cluster.addresses) and time.monotonic() < deadline:
                listener.settimeout(max(0.05, min(1.0, deadline - time.monotonic())))
                try:
                    line, _ = listener.accept()
                except TimeoutError:
                    continue
                message = _receive(line)
                if message is None or not 0 < int(message.get("index", -1)) < len(
                    cluster.addresses
                ):
                    line.close()  # a port scan, or a worker that gave up
                    continue
                heard[message["index"]] = message["facts"]
                open_lines.append(line)
            verdict = {
                "missing": [i for i in range(len(cluster.addresses)) if i not in heard],
                "differences": _differences(cluster, heard),
            }
            for line in open_lines:
                _send(line, verdict)
        finally:
            for line in open_lines:
                line.close()
    return verdict


def _attend(cluster: Cluster, told: str, deadline: float, timeout: float) -> dict[str, Any]:
    """Another worker's part: tells the chief, and waits for its answer."""
    host, _, port = cluster.addresses[0].rpartition(":")
    message = {"index": cluster.index, "facts": told}
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=1) as line:
                _send(line, message)
                # The chief may have begun to wait later than we did.
                line.settimeout(timeout + 5)
                verdict = _receive(line)
                if verdict is not None:
                    return verdict
        except OSError:
            pass
        threading.Event().wait(0.2)
    return {"missing": [0]}


def _differences(cluster: Cluster, heard: Mapping[int, str]) -> list[str]:
    facts = {index: json.loads(text) for index, text in heard.items()}
    return [
        f"{name} is {theirs.get(name)!r} on {cluster.name(index)} "
        f"and {facts[0][name]!r} on {cluster.name(0)}"
        for index, theirs in sorted(facts.items())
        for name in facts[0]
        if theirs.get(name) != facts[0][name]
    ]


def _send(line: socket.socket, message: Mapping[str, Any]) -> None:
    line.sendall(json.dumps(message).encode() + b"\n")


def _receive(line: socket.socket) -> dict[str, Any] | None:
    """One line of JSON; None where it is none."""
    if line.gettimeout() is None:
        line.settimeout(5)
    received = b""
    try:
        while not received.endswith(b"\n") and len(received) < _LONGEST_MESSAGE:
            part = line.recv(4096)
            if not part:
                return None
            received += part
        message = json.loads(received)
    except (OSError, ValueError):
        return None
    return message if isinstance(message, dict) else None


def code_facts(names: Sequence[str] = ("tensorflow", "keras", "keras-hub")) -> dict[str, str]:
    """What must be the same on all workers: versions, and this package's own source."""
    from hashlib import sha256
    from importlib.metadata import version

    digest = sha256()
    folder = Path(__file__).parents[1]
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return {**{n: version(n) for n in names}, "keras_seqzoo's source": digest.hexdigest()[:12]}
