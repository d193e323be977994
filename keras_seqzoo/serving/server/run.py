"""`serve`: models, a socket and a server, from start to the end."""

from __future__ import annotations

import errno
import math
import signal
import socket
from collections.abc import Callable
from contextlib import closing
from types import FrameType
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response

from keras_seqzoo.serving.server.app import Limits, create_app
from keras_seqzoo.serving.server.sample import sample_command
from keras_seqzoo.serving.server.sources import Sources
from keras_seqzoo.serving.server.store import ModelStore

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(
    sources: Sources,
    origin: str,
    address: tuple[str, int],
    limits: Limits,
    poll_seconds: float,
    report: Callable[[str], None],
    log: Callable[[str], None] | None,
    page: Response | None = None,
) -> None:
    """Serves models until SIGINT or SIGTERM; running requests are then answered first.

    Args:
        sources: what finds the models.
        origin: where it looks, to be named in errors.
        address: host and port to listen at; port 0 is any that is free.
        limits: what the server takes.
        poll_seconds: how often new versions are looked for.
        report: takes lines on models, and where they are served.
        log: takes a line a request; none are written if None.
        page: for browsers, at `/`.

    Raises:
        FileNotFoundError: there are no models.
        OSError: the address cannot be listened at.
        ValueError: no model can be loaded.
    """
    host = address[0]
    with closing(_bind(*address)) as listener:
        store = ModelStore(sources, report, limits.parts)
        try:
            store.refresh()
            _check_models(store, origin, report)
            # From here on connections wait in the socket, so the next line is no lie.
            listener.listen()
            url = _url(host, listener.getsockname()[1])
            report(_welcome(store, url))
            if page is not None:
                report(f"Try it in a browser: {url}/")
            store.poll(poll_seconds)
            _run(create_app(store, limits, log, page), listener, limits)
        finally:
            store.close()


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _refuse(host, port, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _refuse(host, port, error) from error
    return listener


def _refuse(host: str, port: int, error: OSError) -> OSError:
    if error.errno == errno.EADDRINUSE:
        return OSError(
            "The port is in use. Choose another with --port, or 0 for any that is free. "
            f"Received: {host}:{port}"
        )
    return OSError(
        "This address cannot be listened at. Choose another with --host and --port. "
        f"Received: {host}:{port}: {error.strerror}"
    )


def _check_models(store: ModelStore, origin: str, report: Callable[[str], None]) -> None:
    available = store.available()
    if any(available.values()):
        for model, label, version in store.dangling_labels():
            report(
                f"Warning: the label {label!r} of {model} names version {version}, which is not "
                "served"
            )
        return
    failures = store.failures()
    if failures:
        reasons = "; ".join(f"version {n} of {m}: {why}" for (m, n), why in failures.items())
        raise ValueError(f"None of the models can be served. Received: {reasons}")
    raise FileNotFoundError(
        "There are no models. There must be <model>/<version>/saved_model.pb, with a whole number "
        "as <version>, or <version>/saved_model.pb in the folder of one model. "
        f"Received: {origin}"
    )


def _url(host: str, port: int) -> str:
    name = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, host)
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


def _welcome(store: ModelStore, url: str) -> str:
    served = {name: versions for name, versions in store.available().items() if versions}
    models = ", ".join(
        f"{name} (version {', '.join(map(str, versions))})" for name, versions in served.items()
    )
    first = next(iter(served))
    with store.lease(first) as lease:
        command = sample_command(url, quote(first, safe=""), lease.session.signatures)
    return f"Serving {models} at {url}\nAsk:  {command}"


def _run(app: Starlette, listener: socket.socket, limits: Limits) -> None:
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http="h11",  # passes methods that it does not know on, to be answered in JSON
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=math.ceil(limits.timeout) + 1,
        )
    )

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    # The server raises a signal again once it has shut down, which would end the process by it.
    previous = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        server.run(sockets=[listener])
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
