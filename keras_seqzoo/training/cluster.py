"""The workers of a training in several processes: finds their addresses, and waits for them."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from selectors import EVENT_READ, BaseSelector, DefaultSelector
from typing import Any, cast

# Set by Slurm in every task of a job step.
_SLURM = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_STEP_NODELIST")
_RULE = (
    'TF_CONFIG must be JSON such as {"cluster": {"worker": ["host1:12345", "host2:12345"]}, '
    '"task": {"type": "worker", "index": 0}}, the same cluster on every worker and its own index '
    "on each. Fix or unset the environment variable. "
)
_LONGEST_MESSAGE = 65_536
_PATIENCE = 5.0  # seconds for a message after its connection opens
_MOST_LINES = 128  # most open connections without a message


@dataclass(frozen=True)
class Cluster:
    """The workers of a training, from `TF_CONFIG`.

    Attributes:
        addresses: `host:port` of every worker, the chief's first.
        index: the place of this process among them.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def chief(self) -> bool:
        """Whether this process writes files and exports."""
        return self.index == 0

    def name(self, index: int) -> str:
        """The name of a worker in messages."""
        return f"worker {index} ({self.addresses[index]})"


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """Reads the cluster from `TF_CONFIG`; None if it is not set or names one worker at most.

    Raises:
        ValueError: `TF_CONFIG` is malformed; the message says what is wrong.
    """
    text = environment.get("TF_CONFIG", "").strip()
    if not text or text == "{}":
        return None
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{_RULE}Received: {text!r}, which is not JSON: {error}") from error
    cluster = config.get("cluster") if isinstance(config, dict) else None
    task = config.get("task") if isinstance(config, dict) else None
    if not isinstance(cluster, dict) or not isinstance(task, dict):
        raise ValueError(f"{_RULE}Received: {text!r}, which lacks 'cluster' or 'task'")
    other = sorted(set(cluster) - {"chief", "worker"})
    if other:
        raise ValueError(
            "Training is synchronous, with equal workers: the only jobs are 'chief' and 'worker'. "
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
            raise ValueError(f"{_RULE}Received: {address!r}, which is not host:port")
    if len(set(addresses)) < len(addresses):
        raise ValueError(f"{_RULE}Received: {text!r}, in which an address occurs twice")
    if len(addresses) < 2:
        return None
    return Cluster(tuple(addresses), index + (len(chiefs) if kind == "worker" else 0))


def in_slurm(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is one of several tasks of a Slurm job step."""
    return all(name in environment for name in _SLURM) and int(environment["SLURM_NTASKS"]) > 1


def config_from_slurm(environment: Mapping[str, str] = os.environ, port: int = 8888) -> str:
    """Makes the `TF_CONFIG` of this task from Slurm's variables.

    TensorFlow's `SlurmClusterResolver` sorts hosts as text (n10 before n2), which contradicts the
    ranks, and needs `nvidia-smi`.

    Args:
        environment: holds `SLURM_STEP_NODELIST`, `SLURM_STEP_TASKS_PER_NODE` and `SLURM_PROCID`.
        port: port of the first task on a host; further tasks get the next ports.
    """
    hosts = _expand_hosts(environment["SLURM_STEP_NODELIST"])
    tasks: list[int] = []
    for group in environment.get("SLURM_STEP_TASKS_PER_NODE", "1").split(","):  # such as 2(x3),1
        count, _, times = group.partition("(x")
        tasks += [int(count)] * int(times.rstrip(")") or 1)
    if len(tasks) != len(hosts):
        raise ValueError(
            "Slurm must say how many tasks every host has. Set TF_CONFIG yourself. Received: "
            f"{[environment.get(n) for n in (*_SLURM, 'SLURM_STEP_TASKS_PER_NODE')]}"
        )
    workers = [f"{h}:{port + i}" for h, n in zip(hosts, tasks, strict=True) for i in range(n)]
    task = {"type": "worker", "index": int(environment["SLURM_PROCID"])}
    return json.dumps({"cluster": {"worker": workers}, "task": task})


def _expand_hosts(text: str) -> list[str]:
    """Expands Slurm's short form of host names: `a[1-2,05],b` is a1, a2, a05, b."""
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
    """Waits until all workers have started and agree; TensorFlow itself would wait forever.

    Every worker sends the chief its facts, to the address at which TensorFlow will listen
    afterwards; the chief answers all of them at once. Messages are plain text, nothing received is
    run, and anything that is not a worker's message is dropped.

    Args:
        cluster: the workers.
        facts: what must be the same on all of them, by name.
        timeout: seconds to wait.

    Raises:
        TimeoutError: some workers did not start; the message names them.
        ValueError: some workers have other facts; the message names workers and facts.
    """
    deadline = time.monotonic() + timeout
    told = {name: str(fact) for name, fact in facts.items()}
    if cluster.chief:
        verdict = _preside(cluster, told, deadline)
    else:
        verdict = _attend(cluster, told, deadline, timeout)
    if verdict["missing"]:
        missing = ", ".join(cluster.name(index) for index in verdict["missing"])
        raise TimeoutError(
            f"All {len(cluster.addresses)} workers must start within {timeout:g} s. Start "
            "the missing ones, check that their hosts reach each other on these ports, or pass a "
            f"longer timeout. Received: no sign of {missing}"
        )
    if verdict["differences"]:
        raise ValueError(
            "All workers must run the same code with the same settings. Install the same versions "
            f"and run the same command everywhere. Received: {'; '.join(verdict['differences'])}"
        )


def _preside(cluster: Cluster, told: Mapping[str, str], deadline: float) -> dict[str, Any]:
    """The chief's part: waits for all messages, then answers all."""
    heard = {0: told}
    answered: dict[int, socket.socket] = {}
    with _listen(cluster) as listener, ExitStack() as lines, DefaultSelector() as selector:
        listener.setblocking(False)
        selector.register(listener, EVENT_READ)
        while len(heard) < len(cluster.addresses) and time.monotonic() < deadline:
            for key, _ in selector.select(max(0.0, min(1.0, deadline - time.monotonic()))):
                if key.fileobj is listener:
                    _accept(listener, selector, lines)
                    continue
                line = cast(socket.socket, key.fileobj)
                text = _hear(line, key.data)
                if text is None:
                    continue
                selector.unregister(line)
                message = _read_message(text, cluster)
                if message is None:  # a port scan, or a worker that gave up
                    line.close()
                    continue
                index, heard[index] = message
                answered[index] = line
            _drop_silent(selector)
        verdict = {
            "missing": [i for i in range(len(cluster.addresses)) if i not in heard],
            "differences": _differences(cluster, heard),
        }
        for line in answered.values():
            with suppress(OSError):  # a worker that gave up
                line.settimeout(_PATIENCE)
                _send(line, verdict)
    return verdict


def _listen(cluster: Cluster) -> socket.socket:
    """Listens at the chief's address.

    The address may not belong to this machine, but to a service that forwards, as in Kubernetes. Or
    the machine's hosts file may map its own name to 127.0.1.1, where no other machine can reach it.
    Then this listens at all addresses of the machine, as TensorFlow does afterwards.
    """
    host, port = _split(cluster.addresses[0])
    hosts = {_split(address)[0] for address in cluster.addresses}
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        unreachable = len(hosts) > 1 and str(address[0]).startswith(("127.", "::1"))
        try:
            return socket.create_server(("", port) if unreachable else address[:2], family=family)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            return socket.create_server(("", port), family=family)
    except OSError as error:
        raise ValueError(
            "The chief's port must be free. Stop the process that uses it, or choose another in "
            "TF_CONFIG. "
            f"Received: {cluster.name(0)}: {error}"
        ) from error


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _accept(listener: socket.socket, selector: BaseSelector, lines: ExitStack) -> None:
    try:
        line, _ = listener.accept()
    except OSError:  # it was closed again
        return
    lines.enter_context(line)
    line.setblocking(False)
    selector.register(line, EVENT_READ, _Heard(time.monotonic() + _PATIENCE))


@dataclass
class _Heard:
    """The text received over a connection so far, which must be complete by `until`."""

    until: float
    text: bytearray = field(default_factory=bytearray)


def _hear(line: socket.socket, heard: _Heard) -> bytes | None:
    """Reads more; returns a complete line, `b""` if none will come, None while one may."""
    try:
        part = line.recv(4096)
    except BlockingIOError:
        return None
    except OSError:
        return b""
    heard.text += part
    if not part or len(heard.text) > _LONGEST_MESSAGE:
        return b""
    return bytes(heard.text) if heard.text.endswith(b"\n") else None


def _drop_silent(selector: BaseSelector) -> None:
    """Closes connections without a complete message in time, and the oldest of too many."""
    keys = [key for key in selector.get_map().values() if key.data is not None]
    keys.sort(key=lambda key: key.data.until)
    for place, key in enumerate(keys):
        if key.data.until < time.monotonic() or place < len(keys) - _MOST_LINES:
            selector.unregister(key.fileobj)
            cast(socket.socket, key.fileobj).close()


def _attend(
    cluster: Cluster, told: Mapping[str, str], deadline: float, timeout: float
) -> dict[str, Any]:
    """The part of the other workers: sends the facts to the chief, and waits for its answer."""
    message = {"index": cluster.index, "facts": told}
    while time.monotonic() < deadline:
        with (
            suppress(OSError),
            socket.create_connection(_split(cluster.addresses[0]), timeout=1) as line,
        ):
            _send(line, message)
            # The chief may have started to wait later than this worker.
            heard, text = _Heard(time.monotonic() + timeout + _PATIENCE), None
            while text is None and (left := heard.until - time.monotonic()) > 0:
                line.settimeout(left)
                text = _hear(line, heard)
            verdict = _read_verdict(text or b"", cluster)
            if verdict is not None:
                return verdict
        threading.Event().wait(0.2)
    return {"missing": [0], "differences": []}


def _differences(cluster: Cluster, heard: Mapping[int, Mapping[str, str]]) -> list[str]:
    return [
        f"{name} is {theirs.get(name)!r} on {cluster.name(index)} and {fact!r} on {cluster.name(0)}"
        for index, theirs in sorted(heard.items())
        for name, fact in heard[0].items()
        if theirs.get(name) != fact
    ]


def _send(line: socket.socket, message: Mapping[str, Any]) -> None:
    line.sendall(json.dumps(message).encode() + b"\n")


def _read_message(text: bytes, cluster: Cluster) -> tuple[int, dict[str, str]] | None:
    """A worker's number and facts; None if the text is not such a message."""
    message = _parse(text)
    index, facts = message.get("index"), message.get("facts")
    if type(index) is not int or not 0 < index < len(cluster.addresses):
        return None
    if not isinstance(facts, dict) or not all(isinstance(fact, str) for fact in facts.values()):
        return None
    return index, facts


def _read_verdict(text: bytes, cluster: Cluster) -> dict[str, Any] | None:
    """The chief's verdict; None if the text is not such a message."""
    verdict = _parse(text)
    missing, differences = verdict.get("missing"), verdict.get("differences")
    if not isinstance(missing, list) or not isinstance(differences, list):
        return None
    if not all(type(i) is int and 0 <= i < len(cluster.addresses) for i in missing):
        return None
    return verdict if all(isinstance(said, str) for said in differences) else None


def _parse(text: bytes) -> dict[str, Any]:
    """The JSON object in a text; an empty one if there is none."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def code_facts(names: Sequence[str] = ("tensorflow", "keras", "keras-hub")) -> dict[str, str]:
    """Facts that must be the same on all workers: versions, and this package's own source."""
    from hashlib import sha256
    from importlib.metadata import version

    digest = sha256()
    folder = Path(__file__).parents[1]
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return {**{n: version(n) for n in names}, "keras_seqzoo's source": digest.hexdigest()[:12]}
