"""`create_app`: the ASGI application, with its limits."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from keras_seqzoo.checks import check_whole
from keras_seqzoo.serving.config import METRICS
from keras_seqzoo.serving.server.answers import Deadline, answer, describe, inflate, too_large
from keras_seqzoo.serving.server.errors import RequestError
from keras_seqzoo.serving.server.metrics import Metrics, Observed, target
from keras_seqzoo.serving.server.paths import API, Call, read_path
from keras_seqzoo.serving.server.rest import write, write_error
from keras_seqzoo.serving.server.store import Lease, ModelStore

# Bytes of too large a body that are read for nothing. A client that still sends while the
# connection is closed does not see the reply.
_DISCARDED = 64 * 2**20


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Attributes:
        max_body_bytes: of a request's body, also once it is unpacked.
        max_batch: rows, or examples, of a request.
        threads: requests that are answered at the same time; as many as there are CPUs by default.
        max_queue: requests that wait for a thread.
        timeout: seconds after which a request is given up.
        parts: the most parts of a large request that are answered at the same time.

    Raises:
        ValueError: one of them is too low.
    """

    max_body_bytes: int = 4 * 2**20
    max_batch: int = 1024
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    max_queue: int = 128
    timeout: float = 30.0
    parts: int = 1

    def __post_init__(self) -> None:
        check_whole(
            max_body_bytes=self.max_body_bytes, max_batch=self.max_batch, threads=self.threads,
            parts=self.parts,
        )  # fmt: skip
        if self.max_queue < 0 or not self.timeout > 0:
            raise ValueError(
                "`max_queue` must be at least 0, and `timeout` above 0 seconds. "
                f"Received: max_queue={self.max_queue}, timeout={self.timeout}"
            )


def create_app(
    store: ModelStore,
    limits: Limits | None = None,
    log: Callable[[str], None] | None = None,
    page: Response | None = None,
) -> Starlette:
    """Builds the ASGI application that answers for a store's models.

    Args:
        store: the models. The application neither refreshes nor closes it.
        limits: what it takes; `Limits()` by default.
        log: takes a line a request: method, path, code, milliseconds, bytes of the reply.
        page: what a browser, which asks for `text/html`, gets at `/`; all others get JSON.
    """
    api = _Api(store, limits or Limits())
    metrics = Metrics(store)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        api.close()

    return Starlette(
        routes=[
            Route(METRICS, lambda request: metrics.page()),
            Route("/", lambda request: _start(request, store, page)),
            Route("/{path:path}", api),
        ],
        middleware=[Middleware(Observed, metrics=metrics, log=log)],
        exception_handlers={
            RequestError: _say_error,
            HTTPException: _say_refusal,
            ClientDisconnect: _say_gone,
            Exception: _say_defect,
        },
        lifespan=lifespan,
    )


def _start(request: Request, store: ModelStore, page: Response | None) -> Response:
    """What is served, for whoever opens the server's address; TensorFlow Serving has no page."""
    if page is not None and "text/html" in request.headers.get("accept", ""):
        return page
    models = {
        name: {"status": f"/v1/models/{quote(name, safe='')}", "versions": versions}
        for name, versions in store.available().items()
    }
    return _reply(write({"models": models}), headers={"Vary": "Accept"})


def _reply(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, media_type="application/json")


async def _say_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return _reply(write_error(error.message), error.status, error.headers)


async def _say_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _reply(write_error(error.detail), error.status_code)


async def _say_gone(request: Request, error: Exception) -> Response:
    return _reply(write_error("The client has gone."), 499)


async def _say_defect(request: Request, error: Exception) -> Response:
    return _reply(write_error("An internal error. The server's log tells more."), 500)


class _Api:
    """Answers requests of any method, at any path but that of the metrics."""

    def __init__(self, store: ModelStore, limits: Limits):
        self._store, self._limits = store, limits
        self._executor = ThreadPoolExecutor(limits.threads, thread_name_prefix="answer")
        self._places = threading.BoundedSemaphore(limits.threads + limits.max_queue)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply = await self._answer(Request(scope, receive))
        await reply(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return _answer_options(request)
        try:
            call = self._find_call(request)
        finally:
            body = await self._read_body(request)
        if call.verb == "status":
            status = self._store.status(call.model, call.version)
            return _reply(write({"model_version_status": status}))
        if call.verb == "metadata":
            with self._store.lease(call.model, call.version, call.label) as lease:
                return _reply(await asyncio.to_thread(describe, lease))
        packed = "gzip" in request.headers.get("content-encoding", "")
        return _reply(await self._ask(call, body, packed))

    def _find_call(self, request: Request) -> Call:
        path = target(request.scope)
        if not API.fullmatch(path):
            raise RequestError(
                f"There is no such path. The models are listed at /. Received: {path}", "NOT_FOUND"
            )
        call = read_path(request.method, path)
        request.state.method = call.verb
        request.state.model = call.model if call.model in self._store else ""
        return call

    async def _ask(self, call: Call, body: bytes, packed: bool) -> bytes:
        if not self._places.acquire(blocking=False):
            raise RequestError(
                f"The server is busy: {self._limits.threads} requests are being answered, and "
                f"{self._limits.max_queue} are waiting. Ask again later.",
                "UNAVAILABLE",
                headers={"Retry-After": "1"},
            )
        lease = self._take(call)
        deadline = Deadline(self._limits.timeout)

        def work() -> bytes:
            unpacked = inflate(body, self._limits.max_body_bytes) if packed else body
            return answer(call.verb, unpacked, lease, self._limits.max_batch, deadline)

        def end(_: object) -> None:
            self._places.release()
            if isinstance(lease, Lease):
                lease.release()

        future = self._executor.submit(work)
        # A request that has timed out keeps its thread, and the version, until it really ends.
        future.add_done_callback(end)
        waiting = asyncio.wrap_future(future)
        done, _ = await asyncio.wait({waiting}, timeout=deadline.left())
        if not done:
            waiting.add_done_callback(lambda late: late.cancelled() or late.exception())
            # This may close a version, which takes its time.
            await asyncio.to_thread(future.cancel)
            raise deadline.error()
        return waiting.result()

    def _take(self, call: Call) -> Lease | RequestError:
        try:
            return self._store.lease(call.model, call.version, call.label)
        except RequestError as error:
            return error

    async def _read_body(self, request: Request) -> bytes:
        most = self._limits.max_body_bytes
        declared = request.headers.get("content-length", "0")
        # A client that expects "100 Continue" has not begun to send.
        patience = 0 if "expect" in request.headers else _DISCARDED
        if declared.isdecimal() and int(declared[:20]) > most + patience:
            raise too_large(most)
        body, size = bytearray(), 0
        try:
            async with asyncio.timeout(self._limits.timeout):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size <= most:
                        body += chunk
                    elif size > most + _DISCARDED:
                        break
        except TimeoutError as error:
            raise RequestError(
                f"The body did not come within {self._limits.timeout:g} s (--timeout).",
                "DEADLINE_EXCEEDED",
                status=408,
            ) from error
        if size > most:
            raise too_large(most)
        return bytes(body)


def _answer_options(request: Request) -> Response:
    if not request.headers.get("origin", "").startswith(("http://", "https://")):
        raise RequestError("Origin header is missing in CORS preflight", "FAILED_PRECONDITION")
    return _reply(b"{}\n")
