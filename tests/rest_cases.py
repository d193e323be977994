"""What TensorFlow Serving's REST interface answers, request by request: `CASES`."""

from __future__ import annotations

import json
from typing import Any

from predict_cases import NAN, ONE, PREDICT, PREDICT_ERRORS, Case, answers, fails, of

EXAMPLES = {"examples": [{"text": "a"}]}


def looks(path: str, reply: Any, code: int = 200, method: str = "GET") -> Case:
    """A request without a body."""
    return Case(method, path, b"", code, reply)


def _status(*versions: int) -> dict[str, Any]:
    ok = {"error_code": "OK", "error_message": ""}
    return {
        "model_version_status": [
            {"version": str(version), "state": "AVAILABLE", "status": ok} for version in versions
        ]
    }


CLASSIFY = {
    "classify": answers(
        "classify",
        of("classify", examples=[{"text": "a"}, {"text": ["bb"]}, {"text": {"b64": "YQ=="}}]),
        {
            "results": [
                [["negative2", 0.25], ["positive2", 0.75]],
                [["negative2", 0.75], ["positive2", 0.25]],
                [["negative2", 0.25], ["positive2", 0.75]],
            ]
        },
    ),
    "classify with context": answers(
        "classify",
        of("classify", context={"context": "b"}, **EXAMPLES),
        {"results": [[["negative2", 0.75], ["positive2", 0.25]]]},
    ),
    "classify with a version": answers(
        "classify",
        of("classify", **EXAMPLES),
        {"results": [[["negative", 0.25], ["positive", 0.75]]]},
        "m/versions/1",
    ),
    "classify with a label": answers(
        "classify",
        of("classify", **EXAMPLES),
        {"results": [[["negative", 0.25], ["positive", 0.75]]]},
        "m/labels/stable",
    ),
    "classify without names": answers(
        "classify", of("scores", **EXAMPLES), {"results": [[["", 0.25], ["", 0.75]]]}
    ),
    "features of other kinds": answers(
        "regress",
        of("regress", examples=[{"text": "a", "n": [1, True], "x": [0.5, NAN], "none": []}]),
        {"results": [1.0]},
    ),
    "regress": answers(
        "regress",
        of("regress", examples=[{"text": "a"}, {"text": "é!"}]),
        {"results": [1.0, 3.0]},
    ),
}

CLASSIFY_ERRORS = {
    "no examples": fails("classify", {}, "key 'examples' is expected and was not found"),
    "examples are no list": fails(
        "classify", {"examples": {"text": "a"}}, "Expecting 'examples' value to be an list/array"
    ),
    "empty list of examples": fails(
        "classify", {"examples": []}, "'examples' value is an empty array"
    ),
    "example is no object": fails(
        "classify", {"examples": ["a"]}, "Example must be JSON object but got JSON String"
    ),
    "context is no object": fails(
        "classify",
        {"context": 1, "examples": [{"text": "a"}]},
        "Example must be JSON object but got JSON Number",
    ),
    "feature is null": fails(
        "classify",
        {"examples": [{"text": None}]},
        "Feature: text has element with unexpected JSON type: Null",
    ),
    "feature is nested": fails(
        "classify",
        {"examples": [{"text": [["a"]]}]},
        "Feature: text has element with unexpected JSON type: Array",
    ),
    "feature is an object": fails(
        "classify",
        {"examples": [{"text": {"a": "b"}}]},
        "Feature: text has element with unexpected JSON type: Object",
    ),
    "feature of two kinds": fails(
        "classify",
        {"examples": [{"x": [1, 0.5]}]},
        "Unexpected element type in feature: x expecting type: int64",
    ),
    "feature of too many bits": fails(
        "classify",
        {"examples": [{"x": 2**63}]},
        "Feature: x has uint64_t element. Only int64_t is supported.",
    ),
    "feature that is missing": fails(
        "classify", of("classify", examples=[{"x": 1}]), "Feature: text"
    ),
    "signature of the Predict API": fails(
        "classify", EXAMPLES, "Expected one or two output Tensors, found 3"
    ),
    "signature with several inputs": fails(
        "classify", of("mixed", **EXAMPLES), "Expected one input Tensor."
    ),
    "input of another name": fails(
        "classify", of("single", **EXAMPLES), "No classification inputs found in SignatureDef: "
    ),
    "outputs of other names": fails(
        "classify",
        of("regress", **EXAMPLES),
        'outputs to contain at least one of "classes" or "scores"',
    ),
    "no such signature to classify": fails(
        "classify", of("nothing", **EXAMPLES), "No signature was found with the name: nothing"
    ),
    "unknown model to classify": fails(
        "classify", EXAMPLES, "Servable not found for request: Latest(x)", 404, "x"
    ),
    "no regression": fails("regress", EXAMPLES, "Expected one output Tensor."),
    "no outputs of a regression": fails(
        "regress", of("scores", **EXAMPLES), "No regression outputs found in SignatureDef: "
    ),
    "no inputs of a regression": fails(
        "regress", of("single", **EXAMPLES), "No regression inputs found in SignatureDef: "
    ),
    "no such signature to regress": fails(
        "regress", of("nothing", **EXAMPLES), "No signature was found with the name: nothing"
    ),
}

PATHS = {
    "status": looks("/v1/models/m", _status(2, 1)),
    "status in capitals": looks("/V1/Models/m", _status(2, 1)),
    "status of a version": looks("/v1/models/m/versions/1", _status(1)),
    "status does not heed labels": looks("/v1/models/m/labels/nothing", _status(2, 1)),
    "METADATA in capitals is status": looks("/v1/models/m/METADATA", _status(2, 1)),
    "status of no model": looks("/v1/models", "Missing model name in request.", 400),
    "status of an unknown model": looks(
        "/v1/models/x", "Could not find any versions of model x", 404
    ),
    "status of an unknown version": looks(
        "/v1/models/m/versions/3", "Could not find version 3 of model m", 404
    ),
    "a query is part of the name": looks(
        "/v1/models/m?pretty", "Could not find any versions of model m?pretty", 404
    ),
    "metadata of an unknown model": looks(
        "/v1/models/x/metadata", "Servable not found for request: Latest(x)", 404
    ),
    "metadata of an unknown version": looks(
        "/v1/models/m/versions/3/metadata", "Servable not found for request: Specific(m, 3)", 404
    ),
    "metadata of an unknown label": looks(
        "/v1/models/m/labels/x/metadata", "Unrecognized servable version label: x", 400
    ),
    "path in capitals": Case(
        "POST",
        "/V1/MODELS/m/VERSIONS/1:predict",
        json.dumps({"signature_name": "single", **ONE}),
        200,
        {"predictions": [1]},
    ),
    "unknown model": fails("predict", ONE, "Servable not found for request: Latest(x)", 404, "x"),
    "unknown model, no JSON": fails("predict", "", "JSON Parse error: ", 400, "x"),
    "unknown version": fails(
        "predict", ONE, "Servable not found for request: Specific(m, 3)", 404, "m/versions/3"
    ),
    "unknown label": fails(
        "predict", ONE, "Unrecognized servable version label: x", 400, "m/labels/x"
    ),
    "name that climbs": fails(
        "predict", ONE, "Servable not found for request: Latest(../m)", 404, "%2e%2e%2fm"
    ),
    "name with a folder": fails(
        "predict", ONE, "Servable not found for request: Latest(m/1)", 404, "m%2f1"
    ),
    "name with a zero": fails("predict", ONE, "Servable not found for request: ", 404, "m%00"),
    "version of too many bits": fails(
        "predict",
        ONE,
        "Failed to convert version: 18446744073709551615 to numeric.",
        400,
        "m/versions/18446744073709551615",
    ),
    "version that is no number": fails(
        "predict",
        ONE,
        "Malformed request: POST /v1/models/m/versions/x:predict",
        400,
        "m/versions/x",
    ),
    "version and label": fails("predict", ONE, "Malformed request: ", 400, "m/versions/1/labels/x"),
    "no such method": fails("explain", ONE, "Malformed request: POST /v1/models/m:explain"),
    "method in capitals": fails("PREDICT", ONE, "Malformed request: POST /v1/models/m:PREDICT"),
    "query": fails("predict?x=1", ONE, "Malformed request: POST /v1/models/m:predict?x=1"),
    "predict without a body": looks(
        "/v1/models/m:predict", "Malformed request: GET /v1/models/m:predict", 400
    ),
    "no such resource": looks("/v1/models/m/x", "Malformed request: GET /v1/models/m/x", 400),
    "no such interface": looks("/v1/x", "Malformed request: GET /v1/x", 400),
    "POST of a status": looks("/v1/models/m", "Malformed request: POST", 400, "POST"),
    "PUT": looks("/v1/models/m", "Malformed request: PUT /v1/models/m", 400, "PUT"),
    "DELETE": looks("/v1/models/m", "Malformed request: DELETE /v1/models/m", 400, "DELETE"),
}

CASES = {**PREDICT, **PREDICT_ERRORS, **CLASSIFY, **CLASSIFY_ERRORS, **PATHS}
