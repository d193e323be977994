"""Taggers as they are served: texts in, pieces out, over both APIs."""

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

FEW = ["Zoe\u0301 saw 😀 Rome", "", "no", "Rome, Rome, Rome"]
GOLDENS = Path(__file__).parents[1] / "goldens" / "goldens.json"
TEXTS = [*FEW, "Rome " * 200, *(g["text"] for g in json.loads(GOLDENS.read_text("utf-8")))]
FIELDS = {"label", "text", "start", "end", "start_byte", "end_byte", "probability"}


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """What an untrained model answers that tags every word, and the folder of its export."""
    table = sz.TextTable.from_texts(FEW, [[(0, 4, "person")], [], [], [(0, 4, "place")]],
                                    target="tags")  # fmt: skip
    model = sz.build_model("gru", table, units=4, embedding_dim=4, sequence_length=64)
    model.get_layer("logits").bias.assign([0.0, 3.0, 0.0, 2.0, 0.0])
    folder = tmp_path_factory.mktemp("tagger")
    sz.export_model(model, folder / "tags")
    return model.predict(TEXTS), folder


@pytest.mark.parametrize("signature", [None, "serving_default"])
def test_rest(tagger: Any, signature: str | None) -> None:
    expected, folder = tagger
    assert [len(pieces) for pieces in expected[:5]] == [4, 0, 1, 5, 200]
    target = Target("http://a:1", "tags", None, None, signature, None, "text_pair", {}, None)
    call = client_http.Calls(target).predict(as_rows(TEXTS))
    store = ModelStore(in_folder(folder))
    store.refresh()
    with TestClient(create_app(store)) as server:
        reply = server.post(call.path, content=call.body)
        assert reply.status_code == 200, reply.text
        answers = call.read(reply.content)
        flat = server.post(call.path, json={"signature_name": "spans", "inputs": FEW}).json()
        # A row a piece is no row a text.
        wrong = server.post(call.path, json={"signature_name": "spans", "instances": FEW})
        assert wrong.status_code == 400
    store.close()
    check(answers, expected)
    outputs = flat["outputs"]
    assert outputs["row_splits"] == [0, 4, 4, 5, 10]
    assert outputs["text"] == [piece["text"] for pieces in expected[:4] for piece in pieces]
    assert set(outputs) == FIELDS | {"row_splits"}


def test_grpc(tagger: Any) -> None:
    """Without a server between: the bytes of a request to the session, and its answer back."""
    expected, folder = tagger
    target = Target("grpc://a:1", "tags", None, None, None, None, "text_pair", {}, None)
    call = client_grpc.Calls(target).predict(as_rows(TEXTS))
    request = protocol.PredictRequest.FromString(call.body)
    session = SavedSession(folder / "tags" / "1")
    inputs = {name: protocol.to_array(tensor) for name, tensor in request.inputs.items()}
    reply = protocol.PredictResponse()
    for name, array in session.run("serving_default", inputs).items():
        reply.outputs[name].CopyFrom(protocol.to_tensor(np.asarray(array)))
    check(call.read(reply.SerializeToString()), expected)


def check(answers: Any, expected: Any) -> None:
    assert json.loads(json.dumps(answers)) == answers
    for text, ours, pieces in zip(TEXTS, answers, expected, strict=True):
        for one, piece in zip(ours, pieces, strict=True):
            assert one.keys() == FIELDS
            assert text.encode()[one["start_byte"] : one["end_byte"]].decode() == one["text"]
            assert one["probability"] == pytest.approx(piece["probability"], abs=1e-4)
            assert all(one[name] == piece[name] for name in ("label", "text", "start", "end"))
