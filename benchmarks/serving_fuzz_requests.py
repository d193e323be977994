"""The requests of `serving_fuzz.py`, as bytes: odd ones of HTTP, and others that are no HTTP."""

from __future__ import annotations

import gzip
import json
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from serving_fuzz_texts import CONTROLS, Draw, sentence, some


def _value(draw: Draw, depth: int = 3) -> Any:
    """Any JSON value."""
    kind = draw.randrange(12 if depth else 8)
    if kind < 8:
        return draw.choice(
            (
                *(
                    "",
                    "a",
                    "text",
                    0,
                    -1,
                    2**31,
                    2**63,
                    2**64,
                    10**400,
                    1.5,
                    -0.0,
                    1e300,
                    True,
                    None,
                ),
                *(float("nan"), float("inf"), {}, [], {"b64": "YQ"}, {"b64": 1}, {"b64": "é"}),
            )
        )
    if kind < 10:
        return [_value(draw, depth - 1) for _ in range(draw.randrange(4))]
    keys = ("text", "inputs", "b64", "token_ids", "padding_mask", "", "a\0")
    return {draw.choice(keys): _value(draw, depth - 1) for _ in range(draw.randrange(4))}


def _valid(draw: Draw) -> bytes:
    texts = [sentence(draw, 10) for _ in range(draw.randrange(1, 4))]
    document = draw.choice(
        (
            {"instances": texts},
            {"inputs": {"text": texts}},
            {"signature_name": "serving_default", "instances": [{"text": text} for text in texts]},
            {"signature_name": "classify", "examples": [{"text": text} for text in texts]},
        )
    )
    return json.dumps(document, ensure_ascii=draw.random() < 0.5).encode()


def mutate(draw: Draw, data: bytes) -> bytes:
    """Changes some bytes: removes, repeats, replaces or adds them."""
    for _ in range(draw.randrange(1, 5)):
        start = draw.randrange(len(data) + 1)
        end = min(len(data), start + draw.randrange(6))
        middle = draw.choice(
            (b"", data[start:end] * 2, draw.randbytes(2), *map(str.encode, '"{[,:\\'))
        )
        data = data[:start] + middle + data[end:]
    return data if draw.random() < 0.8 else data[: draw.randrange(len(data) + 1)]


def _nested(draw: Draw) -> bytes:
    deep = int(10 ** draw.uniform(1, 5.5))
    opening, closing = draw.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"text":', b"}]")))
    middle = opening * deep + b'"a"' + closing * (deep if draw.random() < 0.7 else 0)
    key = draw.choice((b"instances", b"inputs", b"examples", b"context", b"signature_name", b"x"))
    return draw.choice((middle, b'{"%s": %s}' % (key, middle), b'{"%s": [%s]}' % (key, middle)))


def _types(draw: Draw) -> bytes:
    keys = draw.sample(("instances", "inputs", "examples", "context", "signature_name"), 2)
    document = {key: _value(draw) for key in keys[: draw.randrange(1, 3)]}
    if draw.random() < 0.5 and "signature_name" not in document:
        document["signature_name"] = draw.choice(SIGNATURES)
    return json.dumps(document if draw.random() < 0.9 else _value(draw)).encode()


SIGNATURES = ("serving_default", "classify", "tokens", "embed", "", "nothing", "\0", "é" * 300)
_NUMBERS = (
    b"1e999 -1e999 1e-999 9e99999999999 0x10 01 +1 .5 1. -0 - NaN -NaN Infinity -Infinity Inf nan "
    b"1e5 2147483648 -2147483649 9223372036854775808 18446744073709551616 1_000 1,5 1e400 true null"
).split()


def _numbers(draw: Draw) -> bytes:
    number = draw.choice([*_NUMBERS, b"9" * draw.choice((20, 400, 5000, 100_000))])
    many = b",".join([number] * draw.randrange(1, 4))
    forms = (
        b'{"instances": [%s]}',
        b'{"inputs": %s}',
        b'{"examples": [{"text": [%s]}]}',
        b'{"signature_name": "tokens", "inputs": {"token_ids": [[%s]]}}',
        b'{"signature_name": %s, "instances": ["a"]}',
    )
    return draw.choice(forms) % many


def _tokens(draw: Draw) -> bytes:
    """The signature `tokens`: ids out of the vocabulary, rows past all positions, other shapes."""
    length = draw.choice((0, 1, 2, 5, 64, 600, 2000))
    rows = draw.choice((0, 1, 2, 3))

    def ids() -> list[int]:
        worst = draw.choice((1, 2, 50, 10**6, 2**31 - 1))
        return [draw.randint(-1 if draw.random() < 0.05 else 0, worst) for _ in range(length)]

    columns: dict[str, Any] = {
        "token_ids": [ids() for _ in range(rows)],
        "padding_mask": [[draw.choice((0, 1, 1, 2, -1))] * length for _ in range(rows)],
        "segment_ids": [[draw.choice((0, 0, 1, 9))] * length for _ in range(rows)],
    }
    spoilt = draw.choice(list(columns))
    if draw.random() < 0.3:
        columns[spoilt] = _value(draw)
    elif draw.random() < 0.2:
        columns[spoilt] = columns[spoilt][1:]
    elif draw.random() < 0.2:
        del columns[spoilt]
    if draw.random() < 0.5 or not all(isinstance(v, list) for v in columns.values()):
        return json.dumps({"signature_name": "tokens", "inputs": columns}).encode()
    names, rows_of = list(columns), zip(*columns.values(), strict=False)
    instances = [dict(zip(names, row, strict=True)) for row in rows_of]
    return json.dumps({"signature_name": "tokens", "instances": instances}).encode()


def _keys_twice(draw: Draw) -> bytes:
    keys = draw.choices(("instances", "inputs", "examples", "signature_name", "context"), k=3)
    values = [draw.choice((_value(draw), ["a"], "classify", [{"text": "a"}])) for _ in range(5)]
    pairs = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in zip(keys * 2, values, strict=False)]
    inner = '{"text": "a", "text": ["b"], "text": 1}'
    return f'{{{", ".join(pairs)}, "instances": [{inner}]}}'.encode()


def _encodings(draw: Draw) -> bytes:
    inner = draw.choice(("é", "a\0b", "\ud800", "\\ud800", "\\udc00\\ud800"))
    text = f'{{"instances": ["{inner}"]}}'
    if draw.random() < 0.5:
        codec = draw.choice(("utf-16", "utf-16-le", "utf-32", "utf-7", "utf-8-sig", "cp037"))
        return text.encode(codec, "replace")
    return draw.choice((b"", b"\xef\xbb\xbf" * 2, b"\0")) + text.encode("utf-8", "surrogatepass")


def _shapes(draw: Draw) -> bytes:
    documents: tuple[dict[str, Any], ...] = (
        {"inputs": []},
        {"inputs": {"text": []}},
        {"inputs": "a"},
        {"inputs": [["a", "b"], ["c"]]},
        {"inputs": [["a"], ["b"]]},
        {"inputs": [[], []]},
        {"instances": [["a"], ["b"]]},
        {"instances": [[]]},
        {"instances": [{"text": "a"}, "b"]},
        {"instances": [{"text": "a", "more": 1}]},
        {"instances": [{}]},
        {"inputs": {}},
        {"examples": [{}]},
        {"examples": [{"text": []}]},
        {"examples": [{"text": ["a", "b"]}], "context": {"text": "c"}},
        {"examples": [{"text": 1}, {"text": "a"}]},
    )
    return json.dumps(
        {"signature_name": draw.choice(SIGNATURES), **draw.choice(documents)}
    ).encode()


BODIES: dict[str, Callable[[Draw], bytes]] = {
    "sound JSON": _valid,
    "broken JSON": lambda draw: mutate(draw, _valid(draw)),
    "deep nesting": _nested,
    "other types": _types,
    "odd numbers": _numbers,
    "odd tokens": _tokens,
    "keys twice": _keys_twice,
    "odd encodings": _encodings,
    "odd shapes": _shapes,
    "any bytes": lambda draw: draw.randbytes(draw.randrange(2000)),
}
VERBS = ("predict", "classify", "regress")


@dataclass(frozen=True)
class Odd:
    """Requests on a connection of their own.

    Attributes:
        kind: of them.
        data: the bytes to send.
        sound: whether it is HTTP, so that all replies must be there, and be the server's own.
        replies: how many are to come.
        method: that of the last.
        ends: whether the client says then that nothing more comes.
    """

    kind: str
    data: bytes
    sound: bool = True
    replies: int = 1
    method: str = "POST"
    ends: bool = False


class Requests:
    """Draws requests.

    Args:
        model: the name of a model that is served.
        limit: bytes that a body may have.
        rows: that a request may have.
    """

    def __init__(self, model: str, limit: int, rows: int):
        self.url, self.limit, self.rows = f"/v1/models/{model}", limit, rows
        self._bomb = gzip.compress(b" " * (limit + 1))

    def draw(self, draw: Draw) -> Odd:
        """Draws one."""
        number = draw.random()
        if number < 0.6:
            kind = draw.choice(list(BODIES))
            body = BODIES[kind](draw)
            verb = "classify" if b"examples" in body else "predict"
            return Odd(kind, self.post(body, verb if draw.random() < 0.9 else draw.choice(VERBS)))
        make = draw.choice(
            [self._path, self._broken_http] * 2
            + [self._transfer, self._headers, self._pipeline, self._truncated, self._packed]
        )
        return make(draw) if number < 0.99 else self._too_large(draw)

    def post(
        self, body: bytes, verb: str = "predict", headers: str = "", length: Any = None
    ) -> bytes:
        """Writes a request with a body; `length` is what it says of it, its length by default."""
        declared = len(body) if length is None else length
        head = f"POST {self.url}:{verb} HTTP/1.1\r\nHost: a\r\n{headers}"
        return f"{head}Content-Length: {declared}\r\n\r\n".encode() + body

    def _path(self, draw: Draw) -> Odd:
        path = draw.choice(
            (
                "/v1/models/../../../etc/passwd",
                "/v1/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd/metadata",
                f"{self.url}/versions/../1",
                f"{self.url}/versions/{draw.choice(('-1', '1e3', '9' * 5000, '%31', '01', ''))}",
                f"{self.url}/labels/{draw.choice(('%00', '%ff%fe', 'a%2fb', '..', '%', '%zz'))}",
                f"{self.url}%3apredict",
                f"{self.url}:{draw.choice(('', 'explain', 'predict/', 'Predict', '%70redict'))}",
                f"{self.url}:predict?{some(draw, string.ascii_letters + '&=%', 30)}",
                f"{self.url}#fragment",
                f"http://elsewhere{self.url}",
                "/v1/models/" + "%f0%9f%98%80" * draw.choice((1, 500)),
                "/v1/models/" + "m" * draw.choice((300, 30_000)),
                "/" * draw.choice((1, 2, 3000)) + "v1/models",
                "*",
                some(draw, [chr(code) for code in range(0x21, 0x7F)], 100),
                "/v1/models/" + some(draw, string.punctuation, 20),
                f"{self.url}/metadata",
                "/monitoring/prometheus/metrics/../..",
            )
        )
        methods = ("HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "get")
        method = draw.choice((*["GET", "POST"] * 5, *methods))
        length = "Content-Length: 2\r\n" if method == "POST" else ""
        body = "{}" if method == "POST" else ""
        data = f"{method} {path} HTTP/1.1\r\nHost: a\r\n{length}\r\n{body}".encode()
        return Odd("odd methods and paths", data, method=method)

    def _transfer(self, draw: Draw) -> Odd:
        body, parts = _valid(draw), []
        while body:
            size = draw.choice((1, 7, 1000))
            part, body = body[:size], body[size:]
            extension = draw.choice((b"", b";a=b"))
            parts.append(b"%x%s\r\n%s\r\n" % (len(part), extension, part))
        head = self._chunked()
        if draw.random() < 0.4:
            return Odd("chunks", head + b"".join([*parts, b"0\r\n\r\n"]))
        garbage = (
            b"zz\r\n",
            b"-5\r\nhello\r\n",
            b"fffffffffffffffff\r\n",
            b"5\r\nhi\r\n",
            b"\0" * 9,
        )
        parts.insert(draw.randrange(len(parts) + 1), draw.choice((*garbage, draw.randbytes(30))))
        data = head + b"".join([*parts, b"0\r\n\r\n"])
        return Odd("broken chunks", data, sound=False, ends=True)

    def _chunked(self, more: str = "") -> bytes:
        head = f"POST {self.url}:predict HTTP/1.1\r\nHost: a\r\n{more}"
        return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode()

    def _broken_http(self, draw: Draw) -> Odd:
        valid = _valid(draw)
        length = draw.choice(
            (-1, "x", "1, 2", "", "9" * 30, "0x10", len(valid) - 1, len(valid) + 9)
        )
        get = f"GET {self.url} "
        version = draw.choice(("HTTP/9.9", "HTTP", "", "HTTP/1.1\r\n Host: a"))
        target, many = some(draw, [*CONTROLS, "é", " "]), "X: x\r\n" * 50_000
        kind, data = draw.choice(
            (
                ("wrong Content-Length", self.post(valid, length=length)),
                ("wrong Content-Length", self.post(valid, headers="Content-Length: 1\r\n")),
                ("length and chunks", self._chunked("Content-Length: 5\r\n") + b"0\r\n\r\n"),
                ("broken head", mutate(draw, self.post(valid))),
                ("broken head", f"{get}HTTP/1.1\r\n{some(draw, CONTROLS)}: a\r\n\r\n"),
                ("broken head", f"{get}HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
                ("broken head", f"{get}{version}\r\n\r\n"),
                ("broken head", f"GET {target} HTTP/1.1\r\n\r\n"),
                ("oversized headers", f"{get}HTTP/1.1\r\nHost: a\r\nX: {'x' * 10**6}\r\n\r\n"),
                ("oversized headers", f"{get}HTTP/1.1\r\n{many}\r\n"),
                ("oversized headers", "GET /" + "a" * 10**6),
                ("no HTTP", draw.randbytes(draw.randrange(1, 3000))),
                ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00" + draw.randbytes(500)),
                ("no HTTP", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + draw.randbytes(30)),
            )
        )
        sent = data.encode() if isinstance(data, str) else data
        return Odd(kind, sent, sound=False, ends=True)

    def _headers(self, draw: Draw) -> Odd:
        headers = draw.choice(
            (
                "Expect: 100-continue\r\n",
                "Upgrade: websocket\r\nConnection: Upgrade\r\n",
                "Content-Type: multipart/form-data; boundary=x\r\n",
                "Accept-Encoding: nothing\r\nAccept: image/png\r\n",
                f"X-Odd: {some(draw, 'é', 9)}\r\n",
                "".join(f"X-{n}: {n}\r\n" for n in range(500)),
                f"X-Long: {'x' * 30_000}\r\n",
                "Transfer-Encoding: identity\r\n" * draw.randrange(2) + "Connection: close\r\n",
            )
        )
        sound = "Transfer" not in headers
        return Odd("odd headers", self.post(_valid(draw), headers=headers), sound, ends=not sound)

    def _pipeline(self, draw: Draw) -> Odd:
        count = draw.randrange(2, 9)
        bodies = [draw.choice((_valid, BODIES["broken JSON"]))(draw) for _ in range(count)]
        return Odd("pipelined", b"".join(map(self.post, bodies)), replies=count)

    def _truncated(self, draw: Draw) -> Odd:
        whole = draw.choice((self.post(_valid(draw)), self._transfer(draw).data))
        data = whole[: draw.randrange(1, len(whole))]
        return Odd("truncated", data, sound=False, ends=True)

    def _packed(self, draw: Draw) -> Odd:
        packed = gzip.compress(_valid(draw))
        odd = (packed, packed[:-9], mutate(draw, packed), self._bomb, packed * 2, b"", _valid(draw))
        name = draw.choice(("gzip", "gzip", "gzip, gzip", "deflate", "br", ""))
        body, header = draw.choice(odd), f"Content-Encoding: {name}\r\n"
        return Odd("packed", self.post(body, headers=header))

    def _too_large(self, draw: Draw) -> Odd:
        if draw.random() < 0.5:
            rows = b",".join([b'""'] * (self.rows + 1))
            return Odd("too many rows", self.post(b'{"instances": [%s]}' % rows))
        return Odd("too large a body", self.post(b" " * (self.limit + 1)))
