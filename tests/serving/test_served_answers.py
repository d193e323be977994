"""Models that answer as they are served: questions and contexts in, answers out, over both APIs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

import keras_seqzoo as sz
from keras_seqzoo.serving import client_grpc, client_http, protocol
from keras_seqzoo.serving.client_common import Target, as_rows
from keras_seqzoo.serving.server.app import create_app
from keras_seqzoo.serving.server.sources import in_folder
from keras_seqzoo.serving.server.store import ModelStore
from keras_seqzoo.serving.session import SavedSession

FEW = [("who ?", "Zoe\u0301 saw 😀 Rome"), ("", ""), ("no ?", "x"), ("who ?", "Rome, Rome")]
GOLDENS = Path(__file__).parents[1] / "goldens" / "goldens.json"
PAIRS = [*FEW, *(("who ?", g["text"]) for g in json.loads(GOLDENS.read_text("utf-8")))]
FIELDS = {
    "answer", "start", "end", "start_byte", "end_byte", "probability", "no_answer",
}  # fmt: skip


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """An untrained model that always answers, and the folder of its export."""
    table = sz.TextTable.from_texts(FEW[2:], ["x", ""], target="answer")
    model = sz.build_model("gru", table, units=4, embedding_dim=4)
    model.get_layer("logits").bias.assign([-9.0, -9.0])
    folder = tmp_path_factory.mktemp("answerer")
    sz.export_model(model, folder / "asked")
    return model, folder


@pytest.mark.slow
def test_both_apis(answerer: Any) -> None:
    model, folder = answerer
    expected = model.predict(PAIRS)
    assert [bool(said["answer"]) for said in expected[:4]] == [True, False, True, True]
    target = Target("http://a:1", "asked", None, None, None, None, "text_pair", {}, None)
    call = client_http.Calls(target).predict(as_rows(PAIRS))
    store = ModelStore(in_folder(folder))
    store.refresh()
    with TestClient(create_app(store)) as server:
        reply = server.post(call.path, content=call.body)
        assert reply.status_code == 200, reply.text
        check(call.read(reply.content), expected)
        lacking = server.post(call.path, json={"instances": [{"text": "who ?"}]})
        assert lacking.status_code == 400
    store.close()

    # gRPC without a server between: the bytes of a request to the session, and its answer back.
    target = Target("grpc://a:1", "asked", None, None, None, None, "text_pair", {}, None)
    call = client_grpc.Calls(target).predict(as_rows(tuple(zip(*PAIRS, strict=True))))
    request = protocol.PredictRequest.FromString(call.body)
    session = SavedSession(folder / "asked" / "1")
    inputs = {name: protocol.to_array(tensor) for name, tensor in request.inputs.items()}
    reply = protocol.PredictResponse()
    for name, array in session.run("serving_default", inputs).items():
        reply.outputs[name].CopyFrom(protocol.to_tensor(np.asarray(array)))
    check(call.read(reply.SerializeToString()), expected)
    session.close()


def check(answers: Any, expected: Any) -> None:
    for (_, context), ours, said in zip(PAIRS, answers, expected, strict=True):
        assert ours.keys() == FIELDS
        for name, value in said.items():
            is_float = isinstance(value, float)
            assert ours[name] == (pytest.approx(value, abs=1e-4) if is_float else value)
        if ours["answer"]:
            part = context.encode()[ours["start_byte"] : ours["end_byte"]]
            assert part.decode() == ours["answer"]
