"""Which workers there are, and what is said of those that do not come or differ."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from typing import Any

import pytest

from keras_seqzoo.training.cluster import (
    Cluster,
    _listen,
    config_from_slurm,
    in_slurm,
    meet,
    read_cluster,
)


def config(cluster: Any, kind: str = "worker", index: Any = 0) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def test_workers_are_counted_behind_the_chief() -> None:
    cluster = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}
    found = read_cluster(config(cluster, "worker", 1))
    assert found == Cluster(("a:1", "b:1", "c:1"), 2)
    assert not found.chief
    chief = read_cluster(config(cluster, "chief"))
    assert chief is not None
    assert chief.chief


def test_one_worker_is_no_cluster() -> None:
    for environment in ({}, {"TF_CONFIG": "{}"}, config({"worker": ["a:1"]})):
        assert read_cluster(environment) is None


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"TF_CONFIG": "{'cluster'"}, "which is not JSON"),
        ({"TF_CONFIG": "[1]"}, "lacks 'cluster' or 'task'"),
        ({"TF_CONFIG": '{"cluster": {}}'}, "lacks 'cluster' or 'task'"),
        (config({"worker": ["a:1", "b:1"]}, index=2), "the task is 'worker' number 2"),
        (config({"worker": ["a:1", "b:1"]}, index="0"), "the task is 'worker' number '0'"),
        (config({"worker": ["a:1", "b:1"]}, "evaluator"), "the task is 'evaluator'"),
        (config({"worker": ["a:1", "b"]}), "'b', which is not host:port"),
        (config({"worker": ["a:1", "b:99999"]}), "'b:99999', which is not host:port"),
        (config({"worker": ["a:1", "a:1"]}), "an address occurs twice"),
        (config({"worker": ["a:1"], "ps": ["b:1"]}), "Leave out ps"),
        (config({"worker": ["a:1"], "chief": ["b:1", "c:1"]}), "2 chiefs"),
    ],
)
def test_malformed_configuration_is_explained(environment: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=r"Received: ") as raised:
        read_cluster(environment)
    assert said in str(raised.value)


def test_slurm_s_variables_become_a_configuration() -> None:
    slurm = {
        "SLURM_PROCID": "3", "SLURM_NTASKS": "6", "SLURM_STEP_NODELIST": "n[2,09-10],login",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2),1(x2)",
    }  # fmt: skip
    assert in_slurm(slurm)
    made = {"TF_CONFIG": config_from_slurm(slurm, port=9000)}
    addresses = ("n2:9000", "n2:9001", "n09:9000", "n09:9001", "n10:9000", "login:9000")
    assert read_cluster(made) == Cluster(addresses, 3)
    with pytest.raises(ValueError, match="tasks every host has"):
        config_from_slurm({**slurm, "SLURM_STEP_TASKS_PER_NODE": "2(x2)"})
    assert not in_slurm({"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_STEP_NODELIST": "n1"})


def gather(facts: list[dict[str, str]], timeout: float, come: list[int]) -> dict[int, Any]:
    """What `meet` does on every worker that comes."""
    addresses = tuple(f"localhost:{port}" for port in free_ports(len(facts)))
    results: dict[int, Any] = {}

    def worker(index: int) -> None:
        try:
            results[index] = meet(Cluster(addresses, index), facts[index], timeout)
        except (TimeoutError, ValueError) as error:
            results[index] = error

    threads = [threading.Thread(target=worker, args=(index,)) for index in come]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"addresses": addresses, **results}  # type: ignore[dict-item]


def test_workers_that_agree_go_on() -> None:
    met = gather([{"keras": "3.15"}] * 3, 30, [2, 1, 0])
    assert [met[i] for i in range(3)] == [None] * 3


def test_a_worker_that_never_comes_is_named() -> None:
    met = gather([{}] * 3, 1, [0, 2])
    for index in (0, 2):
        assert isinstance(met[index], TimeoutError)
        assert f"no sign of worker 1 ({met['addresses'][1]})" in str(met[index])
    alone = gather([{}] * 2, 0.5, [1])
    assert "no sign of worker 0" in str(alone[1])


def test_different_code_is_named() -> None:
    met = gather([{"keras": "3.15"}, {"keras": "3.15"}, {"keras": "3.16"}], 30, [0, 1, 2])
    for index in range(3):
        assert isinstance(met[index], ValueError)
        assert "keras is '3.16' on worker 2" in str(met[index])
        assert "worker 1" not in str(met[index])


NOISE = {
    "nothing": b"",
    "a new line": b"\n",
    "http": b"GET / HTTP/1.1\r\nHost: chief\r\n\r\n",
    "bytes": bytes(range(256)) + b"\n",
    "no end": b"x" * 200_000,
    "half a message": b'{"index": 1, "facts": ',
    "a list": b"[1]\n",
    "deep": b"[" * 60_000 + b"\n",
    "a long number": b'{"index": ' + b"9" * 10_000 + b"}\n",
    "a name for a number": b'{"index": "one", "facts": {}}\n',
    "no number": b'{"facts": {}}\n',
    "null": b'{"index": null, "facts": {}}\n',
    "true": b'{"index": true, "facts": {}}\n',
    "infinity": b'{"index": Infinity, "facts": {}}\n',
    "a float": b'{"index": 1.0, "facts": {}}\n',
    "the chief": b'{"index": 0, "facts": {}}\n',
    "a stranger": b'{"index": 2, "facts": {}}\n',
    "no facts": b'{"index": 1}\n',
    "a list of facts": b'{"index": 1, "facts": []}\n',
    "facts in a text": b'{"index": 1, "facts": "{}"}\n',
    "a fact that is no text": b'{"index": 1, "facts": {"keras": [3]}}\n',
    "two lines": b'{"index": 1}\n{"index": 1}\n',
}


def connect(port: int) -> socket.socket:
    """Connects to a port that may not be listened at yet."""
    for _ in range(200):
        try:
            return socket.create_connection(("localhost", port), timeout=10)
        except OSError:
            threading.Event().wait(0.05)
    raise AssertionError(f"nothing listens at {port}")


def test_whatever_strangers_send_the_workers_meet() -> None:
    addresses = tuple(f"localhost:{port}" for port in free_ports(2))
    port = int(addresses[0].rpartition(":")[2])
    results: dict[int, Any] = {}

    def worker(index: int) -> None:
        try:
            results[index] = meet(Cluster(addresses, index), {"keras": "3.15"}, 60)
        except BaseException as error:  # noqa: BLE001 - whatever ends it is shown
            results[index] = error

    chief = threading.Thread(target=worker, args=(0,))
    chief.start()
    open_lines = []
    for noise in NOISE.values():
        line = connect(port)
        open_lines.append(line)
        with suppress(OSError):  # the chief may have had enough
            line.sendall(noise)
    for line in open_lines[::2]:
        line.close()
    # Strangers that say nothing take no worker's place.
    open_lines += [connect(port) for _ in range(200)]
    worker(1)
    chief.join()
    for line in open_lines:
        line.close()
    assert results == {0: None, 1: None}


@pytest.mark.parametrize(
    "verdict",
    [b"", b"\n", b"[]\n", b"{}\n", b"[" * 60_000 + b"\n", b"x" * 200_000,
     b'{"missing": "all", "differences": []}\n', b'{"missing": [7], "differences": []}\n',
     b'{"missing": [null], "differences": []}\n', b'{"missing": [], "differences": [1]}\n'],
)  # fmt: skip
def test_a_worker_takes_no_verdict_from_a_stranger(verdict: bytes) -> None:
    """What answers in the chief's place is no chief, and the worker asks again."""
    with socket.create_server(("localhost", 0)) as stranger:
        addresses = (f"localhost:{stranger.getsockname()[1]}", "localhost:1")
        result: list[Any] = []

        def attend() -> None:
            try:
                meet(Cluster(addresses, 1), {}, 60)
            except (TimeoutError, ValueError) as error:
                result.append(error)

        worker = threading.Thread(target=attend)
        worker.start()
        for answer in (verdict, b'{"missing": [], "differences": ["said"]}\n'):
            line, _ = stranger.accept()
            with line:
                assert line.recv(4096).endswith(b"\n")
                with suppress(OSError):  # the worker may have had enough
                    line.sendall(answer)
        worker.join()
    assert "Received: said" in str(result[0])


def test_the_chief_listens_at_the_address_of_the_cluster_alone() -> None:
    chief, other = free_ports(2)
    cluster = Cluster((f"127.0.0.2:{chief}", f"127.0.0.2:{other}"), 0)
    with _listen(cluster) as listener:
        assert listener.getsockname() == ("127.0.0.2", chief)


@pytest.mark.parametrize("host", ["192.0.2.1", "127.0.1.1"])
def test_a_chief_behind_a_foreign_address_can_be_reached(host: str) -> None:
    """A service's address, and the one that Debian's hosts file gives to the machine's own name."""
    port = free_ports(1)[0]
    with _listen(Cluster((f"{host}:{port}", "192.0.2.7:1"), 0)) as listener:
        assert listener.getsockname() == ("0.0.0.0", port)


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ValueError, match="The chief's port must be free"):
            meet(Cluster((address, "127.0.0.1:1"), 0), {}, 1)
