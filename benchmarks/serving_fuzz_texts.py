"""The texts of `serving_fuzz.py`, of every kind that comes, and the check of what is answered."""

from __future__ import annotations

import http.client
import json
import random
import string
import sys
import time
import unicodedata
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from serving_local import Connection

Draw = random.Random
Text = str | bytes
SAME = 1e-5  # what rounding may change of a probability
KNOWN = ("the soup was lovely", "the waiter was rude", "", "\0")

_EVERY = [chr(code) for code in range(sys.maxunicode + 1)]
_MARKS = [character for character in _EVERY[:0x20000] if unicodedata.combining(character)]
CONTROLS = [character for character in _EVERY[:0x100] if unicodedata.category(character) == "Cc"]
_INVISIBLE = "a \u200b\u200d\u2028\u2029\ufeff\ufffe\uffff\u00ad\ue000\u3000\ufe0f\U000e0041"
_LETTERS_RTL = [*_EVERY[0x5D0:0x5EB], *_EVERY[0x620:0x64B]]
_BIDI = " \u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_WORDS = ["the", "soup", "was", "lovely", "rude", "never", "don't", "U.S.A.", "3,5", "naïve"]
_WORDS += ["\ufb01lm", "İstanbul", "ß", "한국", "你好", "👩\u200d🚀"]
_NO_UTF8 = (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"a\xe2\x82")


def some(draw: Draw, characters: Any, most: int = 60) -> str:
    """Draws up to `most` characters."""
    return "".join(draw.choices(characters, k=draw.randrange(1, most)))


def _of_a_plane(draw: Draw) -> str:
    start = 0x10000 * draw.choice((0, 0, 0, 1, 2, 3, 14, 15, 16))
    drawn = some(draw, _EVERY[start : start + 0x10000], 100)
    return "".join(c for c in drawn if not "\ud800" <= c <= "\udfff")


def sentence(draw: Draw, most: int = 80) -> str:
    """Draws up to `most` words."""
    space = draw.choice((" ", " ", "  ", "\t", "\u00a0", "-", ""))
    return space.join(draw.choices(_WORDS, k=draw.randrange(1, most)))


def _no_utf8(draw: Draw) -> bytes:
    parts = [sentence(draw).encode(), *draw.choices(_NO_UTF8, k=4), draw.randbytes(20)]
    draw.shuffle(parts)
    return b"".join(parts)


TEXTS: dict[str, Callable[[Draw], Text]] = {
    "words": sentence,
    "code points of all planes": _of_a_plane,
    "control characters": lambda draw: some(draw, CONTROLS) + sentence(draw),
    "invisible characters and noncharacters": lambda draw: some(draw, _INVISIBLE),
    "combining marks alone": lambda draw: some(draw, _MARKS, 300),
    "right to left": lambda draw: some(draw, [*_LETTERS_RTL, *_BIDI], 200),
    "NULs": lambda draw: some(draw, ("\0", "a", "the ", "\0\0")),
    "very long words": lambda draw: some(draw, "aéz漢") * int(10 ** draw.uniform(1, 3.3)),
    "invalid UTF-8": _no_utf8,
    "any bytes": lambda draw: draw.randbytes(draw.randrange(200)),
    "empty or blank": lambda draw: draw.choice(("", " ", "\n", "\0", " \t\r\n ", "\u3000", b"")),
}


def make_text(draw: Draw) -> tuple[str, Text]:
    """Draws a text, `bytes` where it may not be UTF-8, and says of which kind it is."""
    kind = draw.choice(list(TEXTS))
    return kind, TEXTS[kind](draw)


def huge_texts(draw: Draw, size: int) -> dict[str, str]:
    """Returns texts of `size` bytes at most, and little less, as UTF-8."""
    return {
        "one letter": "a" * size,
        "letters": "".join(draw.choices(string.ascii_letters, k=size)),
        "words": ("soup lovely never " * (size // 18 + 1))[:size],
        "marks": "e" + "\u0301" * ((size - 1) // 2),
        "blanks": "\u3000" * (size // 3),
        "ideographs": "".join(draw.choices(_EVERY[0x4E00:0x9FFF], k=size // 3)),
        "the last plane": "".join(draw.choices(_EVERY[0x100000:], k=size // 4)),
    }


def as_json(text: Text) -> Any:
    """A text as TensorFlow Serving's JSON has it."""
    return {"b64": b64encode(text).decode()} if isinstance(text, bytes) else text


@dataclass
class Report:
    """What was sent, what came back, and what should not have.

    Attributes:
        sent: by kind.
        came: by kind and outcome.
        problems: one line each.
        compared: texts that were asked alone too.
        slowest: seconds, and what took them.
    """

    sent: Counter[str] = field(default_factory=Counter)
    came: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    compared: int = 0
    slowest: tuple[float, str] = (0.0, "")

    def timed(self, seconds: float, what: str) -> None:
        """Keeps the slowest."""
        self.slowest = max(self.slowest, (seconds, what))


def check_answers(answers: list[Any], count: int, classes: list[str]) -> str:
    """Says what is wrong with the answers to `count` texts; nothing is an empty string.

    Args:
        answers: `{"label": …, "probability": …, "probabilities": […]}` for each text.
        count: of the texts.
        classes: the model's.
    """
    if len(answers) != count:
        return f"{len(answers)} answers to {count} texts"
    for place, answer in enumerate(answers):
        row = np.array(answer["probabilities"], float)
        if row.shape != (len(classes),) or not np.isfinite(row).all() or (row < 0).any():
            return f"answer {place} has the probabilities {answer['probabilities']}"
        if abs(row.sum() - 1) > 1e-4:
            return f"the probabilities of answer {place} sum to {row.sum()}"
        if answer["label"] not in classes or answer["probability"] != row.max():
            return f"answer {place} contradicts itself: {answer}"
        if row[classes.index(answer["label"])] != row.max():
            return f"the label of answer {place} is not the likeliest: {answer}"
    return ""


Form = Callable[[list[Any]], tuple[str, Any, Callable[[Any], list[Any]]]]


def _in_rows(texts: list[Any]) -> tuple[str, Any, Callable[[Any], list[Any]]]:
    return "predict", {"instances": texts}, lambda reply: reply["predictions"]


def _in_objects(texts: list[Any]) -> tuple[str, Any, Callable[[Any], list[Any]]]:
    return _in_rows([{"text": text} for text in texts])


def _in_columns(texts: list[Any]) -> tuple[str, Any, Callable[[Any], list[Any]]]:
    def read(reply: Any) -> list[Any]:
        columns = reply["outputs"]
        rows = zip(*columns.values(), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    return "predict", {"inputs": {"text": texts}}, read


def _as_examples(texts: list[Any]) -> tuple[str, Any, Callable[[Any], list[Any]]]:
    def read(reply: Any) -> list[Any]:
        return [
            {"label": best[0], "probability": best[1], "probabilities": [p for _, p in pairs]}
            for pairs in reply["results"]
            for best in [max(pairs, key=lambda pair: pair[1])]
        ]

    examples = [{"text": text} for text in texts]
    return "classify", {"signature_name": "classify", "examples": examples}, read


FORMS: tuple[Form, ...] = (_in_rows, _in_objects, _in_columns, _as_examples)


class Asker:
    """Asks one model, and checks what it says.

    Args:
        port: of the server.
        model: its name.
        classes: the model's.
        report: takes the problems.
    """

    def __init__(self, port: int, model: str, classes: list[str], report: Report):
        self._connection, self._model = Connection(port, 60), model
        self._classes, self._report = classes, report
        self._known: np.ndarray | None = None

    def ask(self, texts: list[Text], form: Form, what: str, escaped: bool = False) -> Any:
        """Returns the probabilities of texts, or None after a problem, which it reports."""
        verb, document, read = form([as_json(text) for text in texts])
        body = json.dumps(document, ensure_ascii=escaped).encode()
        begun, problem = time.perf_counter(), ""
        try:
            url = f"/v1/models/{self._model}:{verb}"
            status, reply = self._connection.ask("POST", url, body)
        except (OSError, http.client.HTTPException) as error:
            problem = repr(error)
        else:
            self._report.timed(time.perf_counter() - begun, f"{what}, {self._model}")
            if status == 504 and what.startswith("huge"):
                # The server's time limit is there for such texts; it must say so, though.
                self._report.came[what, "504"] += "error" in json.loads(reply)
                return None
            try:
                answers = read(json.loads(reply)) if status == 200 else []
                problem = check_answers(answers, len(texts), self._classes)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                problem = repr(error)
            problem = problem and f"{status} {problem} {reply[:200]!r}"
        if problem:
            self._report.problems.append(f"{self._model}, {verb}, {what}: {problem}")
            return None
        return np.array([answer["probabilities"] for answer in answers])

    def is_right(self) -> bool:
        """Tells whether some texts are answered as they were when this was first called."""
        now = self.ask(list(KNOWN), _in_rows, "known texts")
        if self._known is None:
            self._known = now
        return now is not None and np.abs(now - self._known).max() < SAME


def fuzz_texts(
    port: int, model: str, classes: list[str], count: int, seed: int, compare: int = 200
) -> Report:
    """Asks a model `count` odd texts in batches.

    Args:
        port: of the server.
        model: its name.
        classes: the model's.
        count: of the texts.
        seed: of the texts, and of how they are asked.
        compare: about how many are asked alone too.
    """
    draw, report = random.Random(seed), Report()
    asker = Asker(port, model, classes, report)
    while sum(report.sent.values()) < count:
        left = count - sum(report.sent.values())
        drawn = [make_text(draw) for _ in range(min(left, draw.randrange(1, 64)))]
        report.sent.update(kind for kind, _ in drawn)
        escaped = draw.random() < 0.5
        texts, form = [text for _, text in drawn], draw.choice(FORMS)
        together = asker.ask(texts, form, f"{len(drawn)} texts", escaped)
        if together is None:
            for kind, text in drawn:  # which of them was it?
                asker.ask([text], _in_rows, f"{kind} {text[:60]!r}")
            continue
        for (kind, text), answer in zip(drawn, together, strict=True):
            if draw.random() < compare / count:
                alone = asker.ask([text], draw.choice(FORMS), f"{kind}, alone")
                report.compared += 1
                if alone is not None and np.abs(alone - answer).max() > SAME:
                    report.problems.append(
                        f"{model}, {kind} {text[:60]!r}: alone {alone[0]}, in a batch {answer}"
                    )
    return report


def fuzz_huge_texts(port: int, model: str, classes: list[str], limit: int, seed: int) -> Report:
    """Asks texts that fill a request's body of `limit` bytes."""
    draw, report = random.Random(seed), Report()
    asker = Asker(port, model, classes, report)
    for kind, text in huge_texts(draw, limit - len('{"instances": [""]}')).items():
        report.sent[f"huge: {kind}"] += 1
        asker.ask([text], _in_rows, f"huge: {kind}")
    return report
