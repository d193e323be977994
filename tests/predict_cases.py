"""What TensorFlow Serving's Predict API answers in REST, request by request.

The model `m` has the versions 1 and 2 of `servables.write_servable`, the second with the mark "2",
and the labels stable (1) and canary (2).
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

NAN, INF = float("nan"), float("inf")


class Case(NamedTuple):
    """A request and its reply: the whole JSON, or a part of the error message."""

    method: str
    path: str
    body: str | bytes
    code: int
    reply: Any


def answers(verb: str, body: Any, reply: Any, model: str = "m") -> Case:
    """A request that is answered."""
    return Case("POST", f"/v1/models/{model}:{verb}", _text(body), 200, reply)


def fails(verb: str, body: Any, reply: str, code: int = 400, model: str = "m") -> Case:
    """A request that is refused."""
    return Case("POST", f"/v1/models/{model}:{verb}", _text(body), code, reply)


def _text(body: Any) -> str | bytes:
    return body if isinstance(body, (str, bytes)) else json.dumps(body)


def _judged(positive: bool, mark: str = "2") -> dict[str, Any]:
    return {
        "label": ("positive" if positive else "negative") + mark,
        "probability": 0.75,
        "probabilities": [0.25, 0.75] if positive else [0.75, 0.25],
    }


def of(signature: Any, **body: Any) -> dict[str, Any]:
    return {"signature_name": signature, **body}


ONE = {"instances": ["a"]}
BOTH = _judged(True), _judged(False)

PREDICT = {
    "rows": answers("predict", {"instances": ["a", "bb"]}, {"predictions": list(BOTH)}),
    "rows as objects": answers(
        "predict", {"instances": [{"text": "a"}, {"text": "bb"}]}, {"predictions": list(BOTH)}
    ),
    "columns": answers(
        "predict",
        {"inputs": ["a", "bb"]},
        {"outputs": {key: [row[key] for row in BOTH] for key in BOTH[0]}},
    ),
    "columns as object": answers(
        "predict",
        {"inputs": {"text": ["a"], "unknown": 1}},
        {"outputs": {key: [value] for key, value in BOTH[0].items()}},
    ),
    "version": answers("predict", ONE, {"predictions": [_judged(True, "")]}, "m/versions/1"),
    "version with zeros": answers(
        "predict", ONE, {"predictions": [_judged(True, "")]}, "m/versions/0001"
    ),
    "label": answers("predict", ONE, {"predictions": [_judged(True, "")]}, "m/labels/stable"),
    "encoded label": answers(
        "predict", ONE, {"predictions": [_judged(True, "")]}, "%6d/labels/%73table"
    ),
    "unnamed signature": answers(
        "predict", of("", instances=["a"]), {"predictions": [_judged(True)]}
    ),
    "one output, rows": answers(
        "predict", of("single", instances=["a", "é"]), {"predictions": [1, 2]}
    ),
    "one output, columns": answers("predict", of("single", inputs=["a", "é"]), {"outputs": [1, 2]}),
    "no rows": answers("predict", of("single", inputs=[]), {"outputs": []}),
    "base64": answers(
        "predict",
        of("bytes", instances=[{"b64": "YQ=="}, {"b64": "YQ"}]),
        {"predictions": [{"raw_bytes": {"b64": "Yf8A"}, "text": "a"}] * 2},
    ),
    "base64 as the only input": answers(
        "predict", of("single", inputs={"text": [{"b64": "AAAA"}]}), {"outputs": [3]}
    ),
    "numbers": answers(
        "predict",
        of("numbers", inputs=[NAN, INF, -INF, 0.2, 1, -1e-7]),
        {
            "outputs": {
                "half": [NAN, INF, -INF, 0.1, 0.5, -5e-8],
                "double": [NAN, INF, -INF, 0.20000000298023224, 1.0, -1.0000000116860974e-07],
                "is_small": [False, False, True, True, False, True],
            }
        },
    ),
    "float32 overflows": answers("predict", of("total", inputs=[1e39]), {"outputs": INF}),
    "several inputs, rows": answers(
        "predict",
        of(
            "mixed",
            instances=[
                {"a": [1, 2], "b": True, "c": 0.1},
                {"a": [-3, 4], "b": False, "c": 2},
            ],
        ),
        {
            "predictions": [
                {"sum": 3, "not_b": False, "c": 0.1},
                {"sum": 1, "not_b": True, "c": 2.0},
            ]
        },
    ),
    "several inputs, columns": answers(
        "predict",
        of("mixed", inputs={"a": [[1, 2], [3, 4]], "b": [True], "c": []}),
        {"outputs": {"sum": [3, 7], "not_b": [False], "c": []}},
    ),
    "digits of float32": answers(
        "predict",
        of("uneven", inputs=[1 / 3]),
        {"outputs": {"x": [0.333333343], "twice": [0.333333343] * 2}},
    ),
    "scalar": answers("predict", of("total", inputs=[1.5, 2]), {"outputs": 3.5}),
    "uneven outputs, columns": answers(
        "predict", of("uneven", inputs=[1]), {"outputs": {"x": [1.0], "twice": [1.0, 1.0]}}
    ),
    "text after the object": answers(
        "predict", json.dumps(ONE) + " and more", {"predictions": [_judged(True)]}
    ),
    "byte order mark": answers(
        "predict", b"\xef\xbb\xbf" + json.dumps(ONE).encode(), {"predictions": [_judged(True)]}
    ),
    "surrogate pair": answers(
        "predict", '{"signature_name": "single", "inputs": ["\\ud83d\\ude00"]}', {"outputs": [4]}
    ),
    "not UTF-8": answers(
        "predict", b'{"signature_name": "single", "inputs": ["\xff\xfe"]}', {"outputs": [2]}
    ),
}

PREDICT_ERRORS = {
    "empty body": fails("predict", "", "JSON Parse error: The document is empty"),
    "spaces": fails("predict", " \n", "JSON Parse error: The document is empty"),
    "no JSON": fails("predict", "instances = [1]", "JSON Parse error: "),
    "cut JSON": fails("predict", '{"instances": ["a"', "JSON Parse error: "),
    "control character": fails("predict", '{"instances": ["a\nb"]}', "JSON Parse error: "),
    "half a surrogate pair": fails("predict", '{"instances": ["\\ud83d"]}', "JSON Parse error: "),
    "deep arrays": fails("predict", "[" * 200_000, "JSON Parse error: "),
    "deep objects": fails("predict", '{"a":' * 200_000, "JSON Parse error: "),
    "too many dimensions": fails(
        "predict",
        '{"inputs": ' + "[" * 100 + '"a"' + "]" * 100 + "}",
        "The list is nested too deeply",
    ),
    "big number": fails(
        "predict",
        '{"signature_name": "total", "inputs": [1e999]}',
        "JSON Parse error: Number too big to be stored in double.",
    ),
    "big whole number": fails(
        "predict",
        f'{{"signature_name": "total", "inputs": [1{"0" * 400}]}}',
        "JSON Parse error: Number too big to be stored in double.",
    ),
    "huge whole number": fails(
        "predict",
        f'{{"signature_name": "total", "inputs": [1{"0" * 9000}]}}',
        "JSON Parse error: Number too big to be stored in double.",
    ),
    "array": fails("predict", "[1]", "JSON Value: [1] Is not object"),
    "no key": fails("predict", {"instance": ["a"]}, "Missing 'inputs' or 'instances' key"),
    "both keys": fails(
        "predict",
        {"instances": ["a"], "inputs": ["a"]},
        "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist",
    ),
    "rows are no list": fails(
        "predict", {"instances": "a"}, "Expecting 'instances' to be an list/array"
    ),
    "empty list of rows": fails("predict", {"instances": []}, "No values in 'instances' array"),
    "signature is no string": fails(
        "predict",
        of(5, inputs=["a"]),
        "'signature_name' key must be a string value.",
    ),
    "no such signature": fails(
        "predict",
        of("nothing", inputs=["a"]),
        'Serving signature name: "nothing" not found in signature def',
    ),
    "number for a string": fails(
        "predict",
        {"instances": ["a", 1]},
        "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: 1 "
        "Type: Number is not of expected type: string",
    ),
    "null": fails(
        "predict",
        {"inputs": ["a", None]},
        "JSON Value: null Type: Null is not of expected type: string",
    ),
    "string for a number": fails(
        "predict",
        of("total", inputs=[1, "a"]),
        'JSON Value: "a" Type: String is not of expected type: float',
    ),
    "truth value for a number": fails(
        "predict",
        of("total", inputs=[1, True]),
        "JSON Value: true Type: True is not of expected type: float",
    ),
    "object for a number": fails(
        "predict", of("total", inputs={"x": [{}]}), "Type: Object is not of expected type: float"
    ),
    "decimals for a whole number": fails(
        "predict",
        of("mixed", inputs={"a": [[1.5]], "b": [], "c": []}),
        "Type: Number is not of expected type: int32",
    ),
    "whole number of more bits": fails(
        "predict",
        of("mixed", inputs={"a": [[2**31]], "b": [], "c": []}),
        "JSON Value: 2147483648 Type: Number is not of expected type: int32",
    ),
    "number for a truth value": fails(
        "predict",
        of("mixed", inputs={"a": [[1]], "b": [1], "c": []}),
        "JSON Value: 1 Type: Number is not of expected type: bool",
    ),
    "dtype that JSON has not": fails(
        "predict", of("half", inputs=[1]), "Conversion of JSON Value: 1 to type: half", 501
    ),
    "dtype that JSON has not, rows": fails(
        "predict", of("half", instances=[1]), "Conversion of JSON Value: 1 to type: half"
    ),
    "unknown input": fails(
        "predict",
        {"instances": [{"txt": "a"}]},
        "Failed to process element: 0 key: txt of 'instances' list. Error: INVALID_ARGUMENT: JSON "
        "object: does not have named input: txt",
    ),
    "missing input, rows": fails(
        "predict",
        of("mixed", instances=[{"a": [1], "b": True}]),
        "keys must be equal to: a,b,c",
    ),
    "missing input, columns": fails(
        "predict",
        of("mixed", inputs={"a": [[1]], "b": [True]}),
        "Missing named input: c in 'inputs' object.",
    ),
    "values for several inputs, rows": fails(
        "predict", of("mixed", instances=[1]), "instances is a plain list, but expecting list of"
    ),
    "values for several inputs, columns": fails(
        "predict", of("mixed", inputs=[1]), "inputs is a plain value/list, but expecting an object"
    ),
    "base64 for several inputs": fails(
        "predict", of("mixed", instances=[{"b64": "AAAA"}]), "Failed to process element: 0"
    ),
    "object after value": fails(
        "predict",
        {"instances": ["a", {"text": "b"}]},
        "Expecting value/list but got object at item 1 of input list",
    ),
    "value after object": fails(
        "predict",
        {"instances": [{"text": "b"}, "a"]},
        "Expecting object but got list at item 1 of input list",
    ),
    "rows of several sizes": fails(
        "predict",
        of("mixed", instances=[{"a": [1], "b": True, "c": 1}, {"a": [1, 2], "b": True, "c": 1}]),
        "Expecting tensor size: 1 but got: 2",
    ),
    "rows of several shapes": fails(
        "predict",
        of("total", instances=[1, [1]]),
        "Expecting shape [] but got: [1]",
    ),
    "lists of several sizes": fails(
        "predict",
        {"inputs": [["a"], ["b", "c"]]},
        "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
    ),
    "list beside a value": fails(
        "predict", {"inputs": ["a", ["b"]]}, "Encountered list at unexpected level: 1 expected < 1"
    ),
    "value beside a list": fails(
        "predict",
        {"inputs": [["a"], "b"]},
        'JSON Value: "b" found at incorrect level: 2 in the JSON DOM. Expected at level: 2',
    ),
    "no base64": fails("predict", {"instances": [{"b64": "?"}]}, "Unable to base64 decode"),
    "object in place of base64": fails(
        "predict",
        {"inputs": {"text": [{"base64": "AAAA"}]}},
        "not formatted correctly for base64 data",
    ),
    "scalar, rows": fails("predict", of("total", instances=[1]), "has no shape information"),
    "uneven outputs, rows": fails(
        "predict", of("uneven", instances=[1]), "has inconsistent batch size: "
    ),
    "error in the graph": fails("predict", {"instances": ["a" * 60]}, "text too long"),
}
