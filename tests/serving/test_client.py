"""What both clients do over both APIs, against servers on the loopback."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
import pytest
from clients import make_server, open_client
from loopback import compute, decimal, free_port

from keras_seqzoo.serving.client import AsyncServingClient, ServingClient, ServingError

TEXTS = ["", "soup", "naïve 🙂", 'a "quoted"\n\tline\x00\x1f', "long " * 50]
PAIRS: list[tuple[Any, Any]] = [("soup", "naïve 🙂"), ("", "b"), (b"\xff\x00", "a\tb")]
TABBED = [b"\t".join(t if type(t) is bytes else t.encode() for t in pair) for pair in PAIRS]


@pytest.fixture(params=["http", "grpc"])
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    running = make_server(request.param)
    yield running
    running.close()


Ask = Callable[..., AbstractContextManager[Any]]


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, server: Any) -> Ask:
    return partial(open_client, request.param, server.url)


def test_predict_answers_each_text_in_order(ask: Ask) -> None:
    with ask() as client:
        answers = client.predict(TEXTS)
    for text, answer in zip(TEXTS, answers, strict=True):
        expected = compute("serving_default", [text.encode()])
        assert answer == {
            "label": expected["label"][0].decode(),
            "probability": decimal(float(expected["probability"][0])),
            "probabilities": [decimal(float(p)) for p in expected["probabilities"][0]],
        }
        assert type(answer["label"]) is str
        assert type(answer["probability"]) is float


def test_both_apis_and_both_clients_answer_the_same() -> None:
    answers = []
    for kind in ("http", "grpc"):
        running = make_server(kind)
        for client_kind in ("sync", "async"):
            for signature in (None, "embed", "echo", "labels"):
                with open_client(client_kind, running.url, signature=signature) as client:
                    answers.append((signature, client.predict(TEXTS), client.metadata()))
            with open_client(client_kind, running.url) as client:
                answers.append(("classify", client.classify(TEXTS), client.status()))
                answers.append(("regress", client.regress(TEXTS), client.predict(PAIRS)))
        running.close()
    assert answers[:6] == answers[6:12] == answers[12:18] == answers[18:]


def test_labels_come_with_nothing_after_the_last(ask: Ask) -> None:
    with ask(signature="labels") as client:
        answers = client.predict(["soup", "a"])
    assert [answer["labels"] for answer in answers] == [["long", ""], ["", ""]]


def test_a_single_output_stands_alone(ask: Ask) -> None:
    with ask(signature="embed") as client:
        answers = client.predict(["abc", "x"])
    assert [[len(row) for row in answer] for answer in answers] == [[2, 2], [2, 2]]
    assert answers[0][0] == [0.25, 0.75]


def test_texts_and_bytes_arrive_as_they_are(ask: Ask, server: Any) -> None:
    raw = b"\xff\x00broken"
    with ask(signature="echo") as client:
        answers = client.predict([*TEXTS, raw])
    assert [answer["text"] for answer in answers[:-1]] == TEXTS
    assert [answer["same_bytes"] for answer in answers] == [*(t.encode() for t in TEXTS), raw]
    assert answers[-1]["text"] == "\ufffd\x00broken"
    assert server.seen[-1][1] == [*(t.encode() for t in TEXTS), raw]


def test_numbers_keep_their_types(ask: Ask) -> None:
    with ask(signature="numbers") as client:
        (answer,) = client.predict(["abc"])
    assert (answer["count"], answer["odd"]) == (3, True)
    assert (type(answer["count"]), type(answer["odd"])) == (int, bool)
    assert math.isnan(answer["wild"][0])
    assert answer["wild"][1:] == [math.inf, -math.inf, 3.0]


def test_classify_gives_pairs_as_the_server_orders_them(ask: Ask, server: Any) -> None:
    with ask() as client:
        answers = client.classify(["abc", b"\xfe"])
    assert answers == [[("brève", 0.25), ("longue", 0.75)], [("brève", 0.5), ("longue", 0.5)]]
    assert server.seen == [("classify", [b"abc", b"\xfe"], "classify", None, None)]


def test_regress_gives_numbers(ask: Ask, server: Any) -> None:
    with ask() as client:
        answers = client.regress(["", "abc", b"\xfe\xff"])
    assert answers == [1000.0, 250.0, 333.333344]
    assert {type(number) for number in answers} == {float}
    assert server.seen == [("regress", [b"", b"abc", b"\xfe\xff"], "regress", None, None)]


def test_pairs_are_sent_as_two_inputs(ask: Ask, server: Any) -> None:
    firsts, seconds = map(list, zip(*PAIRS, strict=True))
    expected = [tuple(t if type(t) is bytes else t.encode() for t in pair) for pair in PAIRS]
    rows = np.array([[*pair, None] for pair in PAIRS], object)[:, :2]
    for pairs in (PAIRS, [list(p) for p in PAIRS], iter(PAIRS), (firsts, seconds), rows):
        server.seen.clear()
        with ask(signature="echo") as client:
            answers = client.predict(pairs)
        assert [answer["same_bytes"] for answer in answers] == [b"\t".join(p) for p in expected]
        assert server.seen == [("predict", expected, "echo", None, None)]
    with ask(batch_size=2) as client:
        assert client.regress(PAIRS) == client.regress(["x" * len(t) for t in TABBED])
        assert client.classify(PAIRS) == client.classify(["x" * len(t) for t in TABBED])
    classified = [row for method, row, *_ in server.seen if method == "classify"]
    assert sorted(len(rows) for rows in classified) == [1, 1, 2, 2]
    with ask(signature="echo") as client:  # two strings are two texts
        assert [answer["text"] for answer in client.predict(("ab", "cd"))] == ["ab", "cd"]


def test_windows_of_numbers_are_sent_as_values(ask: Ask, server: Any) -> None:
    windows = (np.arange(24).reshape(3, 4, 2) / 7).astype(np.float32)
    expected = [
        [[decimal(x) for x in step] for step in row[-2:] / np.float32(3)] for row in windows
    ]
    with ask(signature="forecast", batch_size=2) as client:
        for given in (windows, windows.tolist(), list(windows)):
            assert client.predict(given) == expected
        assert sorted(len(request[1]) for request in server.seen) == [1, 1, 1, 2, 2, 2]
        for wrong in (windows[0], [windows[0, 0].tolist()]):
            with pytest.raises(ValueError, match=r"shape \(rows, window, columns\)"):
                client.predict(wrong)
        with pytest.raises(ValueError, match="All windows must have one shape"):
            client.predict([[[1.0], [2.0]], [[1.0]]])
        for method in (client.classify, client.regress):
            with pytest.raises(TypeError, match="Received: texts"):
                method(windows)


def test_inputs_may_have_other_names(server: Any) -> None:
    options = {"input_name": "text_pair", "pair_name": "text"}
    with ServingClient(server.url, "reviews", **options) as client:  # type: ignore[arg-type]
        client.predict([("a", "b")])
    assert server.seen[-1][1] == [(b"b", b"a")]
    with pytest.raises(ValueError, match="`pair_name` must be a name"):
        ServingClient(server.url, "reviews", pair_name="")


def test_metadata_describes_the_signatures(ask: Ask) -> None:
    with ask() as client:
        assert client.metadata() == {
            "loose": {
                "method": "m",
                "inputs": {"x": {"dtype": "bfloat16", "shape": None}},
                "outputs": {},
            },
            "serving_default": {
                "method": "tensorflow/serving/predict",
                "inputs": {"text": {"dtype": "string", "shape": [None]}},
                "outputs": {
                    "label": {"dtype": "string", "shape": [None]},
                    "probabilities": {"dtype": "float32", "shape": [None, 2]},
                },
            },
        }


def test_status_tells_of_the_versions(ask: Ask) -> None:
    first = {"version": 1, "state": "AVAILABLE", "error": ""}
    with ask() as client:
        assert client.status() == [first, {"version": 2, "state": "END", "error": "no such op"}]
    with ask(version=1) as client:
        assert client.status() == [first]


def test_version_label_and_signature_are_asked_for(ask: Ask, server: Any) -> None:
    for options in ({"version": 1}, {"label": "stable"}, {"signature": "embed"}):
        with ask(**options) as client:
            client.predict(["a"])
            client.metadata()
    asked = [request[2:] for request in server.seen if request[0] == "predict"]
    assert asked == [("", 1, None), ("", None, "stable"), ("embed", None, None)]
    asked = [request[3:] for request in server.seen if request[0] == "metadata"]
    assert asked == [(1, None), (None, "stable"), (None, None)]


def test_a_scheme_may_be_in_capitals(server: Any) -> None:
    url = server.url.replace(server.kind, server.kind.upper()) + "/"
    with ServingClient(url, "reviews") as client:
        assert len(client.predict(["a"])) == 1


def test_headers_are_sent(ask: Ask, server: Any) -> None:
    with ask(headers={"Authorization": "Bearer abc"}) as client:
        client.predict(["a"])
    assert server.headers[-1]["authorization"] == "Bearer abc"


def test_long_lists_are_split_and_put_together_in_order(ask: Ask, server: Any) -> None:
    texts = [f"text {i}" for i in range(23)]
    with ask(batch_size=5, signature="echo") as client:
        answers = client.predict(iter(texts))
    assert [answer["text"] for answer in answers] == texts
    assert sorted(len(request[1]) for request in server.seen) == [3, 5, 5, 5, 5]


def test_no_texts_need_no_request(ask: Ask, server: Any) -> None:
    with ask() as client:
        assert client.predict([]) == client.classify([]) == client.regress(([], [])) == []
    assert server.seen == []


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ("a text", TypeError, r"list of texts.*\[text\]. Received: 'a text'"),
        (b"a text", TypeError, r"list of texts.*\[text\]"),
        (None, TypeError, "list of texts. Received: None"),
        ({"text": ["a"]}, TypeError, "list of texts. Received: {'text'"),
        ((["a", "b"], ["c"]), ValueError, "needs a second one.*2 first texts, 1 second texts"),
        ((["a"], None), TypeError, "list of texts. Received: None"),
        ([("a", "b"), ("c",)], TypeError, r"two texts.*Received: texts\[1\]=\('c',\)"),
        ([("a", "b"), "cd"], TypeError, r"two texts.*Received: texts\[1\]='cd'"),
        ([("a", "b", "c")], TypeError, r"\(firsts, seconds\)"),
        ([("a", 1)], TypeError, r"Received: texts\[0\]=1, a int"),
        (["a", ("b", "c")], TypeError, r"Received: texts\[1\]=\('b', 'c'\), a tuple"),
        ([("a", "c\ud83d")], ValueError, "half a surrogate"),
        (["a", None], TypeError, r"Received: texts\[1\]=None, a NoneType"),
        (["a", "b", "c\ud83d"], ValueError, r"half a surrogate.*texts\[2\].*at 1"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(
    ask: Ask, server: Any, texts: Any, error: type[Exception], message: str
) -> None:
    with ask(batch_size=1) as client:
        for method in (client.predict, client.classify, client.regress):
            with pytest.raises(error, match=message):
                method(texts)
    assert server.seen == []


def test_unavailable_servers_are_asked_again_and_later_each_time(ask: Ask, server: Any) -> None:
    waits: list[float] = []
    server.refuse_next("UNAVAILABLE", 2)
    server.refuse_next("RESOURCE_EXHAUSTED")
    with ask(waits, backoff=0.1) as client:
        assert len(client.predict(["a"])) == 1
    for wait, longest in zip(waits, (0.1, 0.2, 0.4), strict=True):
        assert longest / 2 <= wait <= longest


def test_pauses_differ_from_client_to_client(ask: Ask, server: Any) -> None:
    waits: list[float] = []
    with ask(waits) as client:
        for _ in range(3):
            server.refuse_next("UNAVAILABLE")
            client.status()
    assert len(set(waits)) > 1


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_retries_come_to_an_end(ask: Ask, server: Any, code: str) -> None:
    waits: list[float] = []
    server.refuse_next(code, 10)
    with ask(waits, retries=2) as client, pytest.raises(ServingError, match="come again") as caught:
        client.predict(["a"])
    codes = {"UNAVAILABLE": 503, "RESOURCE_EXHAUSTED": 429}
    assert caught.value.status == (codes[code] if server.kind == "http" else code)
    assert (len(waits), len(server.script)) == (2, 7)


def test_no_pause_is_longer_than_the_time_that_is_left(ask: Ask, server: Any) -> None:
    waits: list[float] = []
    server.refuse_next("UNAVAILABLE", 2)
    with (
        ask(waits, timeout=5.0, backoff=60.0) as client,
        pytest.raises(ServingError, match="come again"),
    ):
        client.predict(["a"])
    assert (waits, len(server.script)) == ([], 1)


def test_bad_input_is_not_asked_again(ask: Ask, server: Any) -> None:
    statuses = {"http": [400, 404, 404, 500], "grpc": ["INVALID_ARGUMENT", "NOT_FOUND"] * 2}
    statuses["grpc"][2:] = ["NOT_FOUND", "INTERNAL"]
    waits: list[float] = []
    server.refuse_next("INTERNAL")
    with ask(waits) as client, pytest.raises(ServingError, match="come again") as internal:
        client.predict(["a"])
    found = [internal.value.status]
    for options in ({"version": 9}, {"model": "other"}, {"signature": "nothing"}):
        with ask(waits, **options) as client, pytest.raises(ServingError) as caught:
            client.predict(["a"])
        found.insert(0, caught.value.status)
        assert caught.value.message in str(caught.value)
        assert "not found" in caught.value.message
    assert (found, waits) == (statuses[server.kind], [])


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_server_that_is_down_is_a_connection_error(kind: str, scheme: str) -> None:
    waits: list[float] = []
    url = f"{scheme}://127.0.0.1:{free_port()}"
    with (
        open_client(kind, url, waits) as client,
        pytest.raises(ConnectionError, match=r"cannot be reached.*Received: .*127\.0\.0\.1"),
    ):
        client.predict(["a"])
    assert len(waits) == 3


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_a_server_that_comes_back_is_found(kind: str) -> None:
    port = free_port()
    servers = []

    def start_and_wait(seconds: float) -> None:
        if not servers:
            servers.append(make_server(kind, port=port))
        time.sleep(seconds)

    url = f"{kind}://127.0.0.1:{port}"
    with ServingClient(url, "reviews", sleep=start_and_wait) as client:
        assert len(client.predict(["a"])) == 1
    servers[0].close()


def test_a_slow_server_is_a_timeout_and_not_asked_again(ask: Ask, server: Any) -> None:
    waits: list[float] = []
    server.hang_next()
    with ask(waits, timeout=0.2) as client, pytest.raises(TimeoutError, match="Raise `timeout`"):
        client.predict(["a"])
    assert waits == []
    assert not server.overslept


def test_threads_share_a_client(server: Any) -> None:
    with ServingClient(server.url, "reviews", signature="echo") as client:

        def ask(thread: int) -> bool:
            texts = [f"{thread} {i}" for i in range(20)]
            answers = [client.predict([text])[0]["text"] for text in texts]
            return answers == texts

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(8)))


def test_batches_are_sent_at_a_time_up_to_the_concurrency(server: Any) -> None:
    meeting = threading.Barrier(3, timeout=20)

    def meet(_: Any) -> bool:
        meeting.wait()
        server.released.wait(0.2)  # a fourth request, which should not come, would come now
        return True

    server.script += [meet] * 3
    with open_client("async", server.url, batch_size=1, concurrency=3) as client:
        assert len(client.predict([f"{i}" for i in range(12)])) == 12
    assert not meeting.broken
    assert server.most_at_once == 3


def test_the_first_error_ends_the_other_batches(server: Any) -> None:
    server.hang_next()
    server.refuse_next("INVALID_ARGUMENT")
    with (
        open_client("async", server.url, batch_size=1, timeout=60.0) as client,
        pytest.raises(ServingError, match="come again"),
    ):
        client.predict(["a", "b"])  # one hangs until it is given up
    assert not server.overslept


def test_a_closed_client_says_so(ask: Ask) -> None:
    with ask() as client:
        client.predict(["a"])
        client.close()
        with pytest.raises(RuntimeError, match="is closed"):
            client.predict(["a"])


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_arguments_are_checked(scheme: str) -> None:
    url = f"{scheme}://localhost:1"
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"version": 1, "label": "stable"}, "number or by a label"),
        ({"version": -1}, "at least 0"),
        ({"version": "1"}, "whole number"),
        ({"label": ""}, "`label` must be a name"),
        ({"model": ""}, "`model` must be a name"),
        ({"timeout": -1.0}, "seconds above 0"),
        ({"timeout": math.nan}, "seconds above 0"),
        ({"timeout": "1"}, "seconds above 0"),
        ({"backoff": 0}, "seconds above 0"),
        ({"retries": -1}, "at least 0"),
        ({"batch_size": 0}, "at least 1"),
        ({"url": "localhost:8501"}, "such as http://host:8501"),
        ({"url": "http://"}, "such as"),
        ({"url": None}, "such as"),
        ({"url": "http://host:port"}, "such as"),
        ({"url": "http://host:1?a=b"}, "without a user"),
        ({"url": "http://me:secret@host:1"}, r"`headers`. Received: url='http://…@host:1'$"),
        ({"url": "http://me:secret@host:port"}, r"Received: url='http://…@host:port'"),
        ({"url": "http://host:8501/v1/models/reviews:predict"}, "without /v1/models"),
        ({"headers": {"A": "b\nc"}}, "printable ASCII"),
        ({"headers": {"A:": "b"}}, "names of letters"),
        ({"url": "grpc://host"}, "only a host and a port"),
        ({"url": "grpc://host:8500/reviews"}, "only a host and a port"),
        ({"url": "http://1.2.3.400:8501"}, "`url` must be the server's"),
    ]
    for options, message in wrong:
        for make in (ServingClient, AsyncServingClient):
            with pytest.raises(ValueError, match=message):
                make(**{"url": url, "model": "reviews", **options})
    with pytest.raises(ValueError, match="at least 1"):
        AsyncServingClient(url, "reviews", concurrency=0)
    with pytest.raises(FileNotFoundError, match="`ca_file`"):
        ServingClient(url, "reviews", ca_file="nowhere.pem")


@pytest.mark.parametrize(("scheme", "library"), [("http", "httpx2"), ("grpc", "grpc")])
def test_a_missing_library_is_named(
    scheme: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=r'pip install "keras-seqzoo\[client\]"'):
        ServingClient(f"{scheme}://localhost:1", "reviews")


def test_neither_tensorflow_nor_keras_is_imported(server: Any) -> None:
    code = (
        "import sys, asyncio\n"
        "from keras_seqzoo.serving.client import AsyncServingClient, ServingClient\n"
        "with ServingClient(sys.argv[1], 'reviews') as client:\n"
        "    client.predict(['a']), client.classify(['a']), client.metadata(), client.status()\n"
        "asyncio.run(AsyncServingClient(sys.argv[1], 'reviews').predict(['a']))\n"
        "print({'tensorflow', 'keras', 'pandas'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, server.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.returncode) == ("set()\n", 0), done.stderr
