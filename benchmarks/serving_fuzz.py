"""Odd texts and odd requests to `keras-seqzoo serve`: whether anything breaks it, or misleads it.

    python benchmarks/serving_fuzz.py --strings 10000 --bodies 2000 --seed 0

Three models are trained for seconds, one for each way to read text: words, word pieces, byte pairs.
Each answers all strings (`serving_fuzz_texts.py`), in batches, through `predict` in rows and in
columns and through `classify`: every reply must have an answer for each text, with probabilities
that are finite and sum to 1 and the label they say, and a sample of the texts must be answered
alone as in its batch. Then come texts as long as a request may be; of these the server may also say
that its time was over (504). The requests (`serving_fuzz_requests.py`) go over sockets of their
own. Each must get a whole reply of HTTP with JSON, no NaN in it, and none of 5xx, within 10 s.
Where it is no HTTP, uvicorn's plain 400 will do, or a closed connection. After each the server must
answer some texts as it did before. It exits with 1 where anything was otherwise.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import sys
import tempfile
import time
from pathlib import Path

import h11
from serving_fuzz_requests import Odd, Requests
from serving_fuzz_texts import Asker, Report, fuzz_huge_texts, fuzz_texts
from serving_local import Server, head_line, read_reviews, train_model

MODELS = {"lstm": "words", "bert_base": "word pieces", "gpt2": "byte pairs"}
TIMEOUT = 10.0  # of a socket; the server's own is shorter
LIMIT, ROWS = 4 * 2**20, 1024  # the server's defaults


def exchange(port: int, odd: Odd) -> tuple[list[tuple[int, str, bytes]], str]:
    """Sends requests on a connection of their own.

    Returns:
        The replies: status, content type and body. And how it ended: "" after all replies,
        "closed", "reset", "hang", or what was wrong with the last reply as HTTP.
    """
    replies: list[tuple[int, str, bytes]] = []
    rest = b""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
        try:
            connection.sendall(odd.data)
            if odd.ends:
                connection.shutdown(socket.SHUT_WR)
        except TimeoutError:
            return replies, "hang"
        except OSError:
            pass  # what it said before it closed may still be read
        try:
            for _ in range(odd.replies):
                reply, rest = _read_reply(connection, odd.method, rest)
                replies.append(reply)
        except ConnectionAbortedError:
            return replies, "closed"
        except ConnectionError:
            return replies, "reset"
        except TimeoutError:
            return replies, "hang"
        except h11.RemoteProtocolError as error:
            return replies, f"broken HTTP: {error}"
    return replies, ""


def _read_reply(
    connection: socket.socket, method: str, rest: bytes
) -> tuple[tuple[int, str, bytes], bytes]:
    """Reads a reply, of which `rest` has come already; returns it, and what came after it."""
    parser = h11.Connection(h11.CLIENT)
    asked = "HEAD" if method == "HEAD" else "GET"
    parser.send(h11.Request(method=asked, target="/", headers=[("Host", "a")]))
    parser.send(h11.EndOfMessage())
    begun = bool(rest)
    if rest:
        parser.receive_data(rest)
    status, kind, body = 0, "", b""
    while True:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            data = connection.recv(2**16)
            if not data and not begun:
                raise ConnectionAbortedError
            begun = True
            parser.receive_data(data)
        elif isinstance(event, h11.Response):
            status = event.status_code
            kind = dict(event.headers).get(b"content-type", b"").decode("latin-1")
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return (status, kind, body), parser.trailing_data[0]


def judge(odd: Odd, replies: list[tuple[int, str, bytes]], ending: str) -> tuple[str, str]:
    """Says what came of requests, in a word, and what is wrong with it, if anything is."""
    outcome = ending
    for status, kind, body in replies:
        if kind.startswith("text/plain") and status == 400 and not odd.sound:
            outcome = "uvicorn's plain 400"
            continue
        outcome = f"{status // 100}xx"
        problem = _check_reply(status, kind, body, odd.method)
        if problem:
            return outcome, f"{status} {kind} {body[:200]!r}: {problem}"
    if ending and (odd.sound or ending not in ("closed", "reset")):
        return ending, f"{ending} after {len(replies)} of {odd.replies} replies"
    return outcome, ""


def _check_reply(status: int, kind: str, body: bytes, method: str) -> str:
    if status >= 500:
        return "the server's fault"
    if method == "HEAD":
        return "a body" if body else ""
    if kind.startswith("text/plain") and b"# TYPE keras_seqzoo_requests" in body:
        return ""  # the metrics
    if kind != "application/json":
        return "not declared as JSON"
    try:
        document = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    if status >= 400 and not (list(document) == ["error"] and isinstance(document["error"], str)):
        return "no error message"
    return ""


def _refuse(constant: str) -> None:
    """Takes `NaN` and `Infinity`, which are no JSON, and no answers."""
    raise ValueError(constant)


def fuzz_requests(
    port: int, model: str, classes: list[str], count: int, seed: int, limit: int, rows: int
) -> Report:
    """Sends a server `count` odd requests.

    Args:
        port: of the server.
        model: the name of a model.
        classes: the model's.
        count: of the requests.
        seed: of the requests.
        limit: bytes that the server takes of a body.
        rows: that it takes in a request.
    """
    draw, report, requests = random.Random(seed), Report(), Requests(model, limit, rows)
    asker = Asker(port, model, classes, report)
    asker.is_right()
    for number in range(count):
        odd = requests.draw(draw)
        begun = time.perf_counter()
        outcome, problem = judge(odd, *exchange(port, odd))
        report.timed(time.perf_counter() - begun, odd.kind)
        report.sent[odd.kind] += 1
        report.came[odd.kind, outcome] += 1
        if not asker.is_right():
            problem += " and afterwards known texts are answered otherwise"
        if problem:
            report.problems.append(
                f"request {number}, {odd.kind}: {problem}; {len(odd.data)} bytes {odd.data[:300]!r}"
            )
    return report


def stall(port: int, model: str, classes: list[str], count: int) -> tuple[Report, int]:
    """Sends `count` heads and as many bodies in part, says no more, and waits.

    Returns:
        A report on the bodies; and how many of the heads had an answer, or a closed connection,
        within the time.
    """
    report, requests = Report(), Requests(model, LIMIT, ROWS)
    whole = requests.post(b'{"instances": ["a"]}')
    parts = [whole[:-9]] * count + [whole[:60]] * count
    waiting = [socket.create_connection(("127.0.0.1", port), TIMEOUT) for _ in parts]
    for connection, part in zip(waiting, parts, strict=True):
        connection.sendall(part)
    if not Asker(port, model, classes, report).is_right():
        report.problems.append("while requests are stalled, others are not answered")
    heads, end = 0, time.monotonic() + TIMEOUT
    for number, connection in enumerate(waiting):
        is_body = number < count
        connection.settimeout(max(0.01, end - time.monotonic()))
        try:
            (status, kind, body), _ = _read_reply(connection, "POST", b"")
            outcome = f"{status // 100}xx"
            problem = _check_reply(status, kind, body, "POST")
        except ConnectionError:
            outcome, problem = "closed", ""
        except TimeoutError:
            outcome, problem = "hang", "hang"
        connection.close()
        heads += not is_body and outcome != "hang"
        if is_body:
            report.sent["stalled"] += 1
            report.came["stalled", outcome] += 1
            if problem:
                report.problems.append(f"a stalled body: {problem}")
    return report, heads


def describe(report: Report) -> list[str]:
    """Writes lines of Markdown: what was sent, and what came of it."""
    lines = []
    for kind, count in sorted(report.sent.items()):
        came = sorted((outcome, n) for (k, outcome), n in report.came.items() if k == kind)
        of_them = "; ".join(f"{outcome} {n:,}" for outcome, n in came) or "answered"
        lines.append(f"| {kind} | {count:,} | {of_them} |")
    return ["| | sent | |", "|---|---|---|", *lines, ""]


def main() -> None:
    """Parses the command line, and runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strings", type=int, default=10_000, help="for each model")
    parser.add_argument("--bodies", type=int, default=2000)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a Markdown file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines, problems = run(arguments, Path(folder))
    verdict = f"{len(problems)} problems"
    print("\n".join([*problems, verdict]))
    if arguments.out is not None:
        text = "\n".join([head_line(), "", *lines, *(f"- {p}" for p in problems[:50]), verdict, ""])
        arguments.out.write_text(text, encoding="utf-8")
    sys.exit(1 if problems else 0)


def run(arguments: argparse.Namespace, folder: Path) -> tuple[list[str], list[str]]:
    """Runs it all, and returns the lines of the report and the problems."""
    import keras_seqzoo as sz

    table, _ = read_reviews()
    classes = list(table.classes)
    for name in arguments.models:
        model = train_model(
            name, table, 512, sequence_length=128
        )  # longer texts are cut, and quick
        sz.export_model(model, folder / name)
        print(f"{name} ({MODELS[name]}) is trained and exported", flush=True)
    lines: list[str] = []
    problems: list[str] = []

    def note(title: str, report: Report) -> None:
        seconds, what = report.slowest
        compared = f"{report.compared} asked alone too, " * bool(report.compared)
        late = sum(n for (_, outcome), n in report.came.items() if outcome == "504")
        compared += f"{late} given up when the server's time was over (504), " * bool(late)
        line = f"{title}: {sum(report.sent.values()):,} sent, {compared}"
        line += f"{len(report.problems)} problems; slowest {seconds:.2f} s ({what})"
        print(line, flush=True)
        lines.extend([line, ""])
        problems.extend(report.problems)

    with Server(folder, "--timeout", TIMEOUT - 2) as server:
        for name in arguments.models:
            asked = (server.port, name, classes)
            report = fuzz_texts(*asked, arguments.strings, arguments.seed)
            note(f"Texts, {name} ({MODELS[name]})", report)
            if name == arguments.models[0]:
                kinds = describe(report)
            note(f"Huge texts, {name}", fuzz_huge_texts(*asked, LIMIT, arguments.seed))
        requests = Report()
        for number, name in enumerate(arguments.models):
            asked, seed = (server.port, name, classes), arguments.seed + number
            share = arguments.bodies // len(arguments.models)
            report = fuzz_requests(*asked, share, seed, LIMIT, ROWS)
            note(f"Requests, {name}", report)
            requests.sent += report.sent
            requests.came += report.came
        stalled, heads = stall(server.port, arguments.models[0], classes, 10)
        note("Stalled bodies", stalled)
        lines += [f"Of 10 heads that stalled, {heads} were ended within {TIMEOUT:g} s.", ""]
        problems += server.defects()
        lines += [*kinds, *describe(requests)]
    return lines, problems


if __name__ == "__main__":
    main()
