"""Models of series as they are served: raw numbers in, numbers out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pandas as pd
import pytest
import uvicorn

import keras_seqzoo as sz
from keras_seqzoo.serving import client_grpc, protocol
from keras_seqzoo.serving.client import AsyncServingClient, ServingClient, ServingError
from keras_seqzoo.serving.client_common import Target, as_rows
from keras_seqzoo.serving.server.app import create_app
from keras_seqzoo.serving.server.sample import sample_command
from keras_seqzoo.serving.server.sources import in_folder
from keras_seqzoo.serving.server.store import ModelStore
from keras_seqzoo.serving.session import SavedSession


def table_of(target: str) -> Any:
    steps = np.arange(80)
    frame = pd.DataFrame(
        {
            "Date": pd.date_range("2024-01-01", periods=80),
            "Close": 50 + 3 * np.sin(steps / 2),
            "Volume": 1000 + 50 * np.cos(steps / 3),
        }
    )
    return sz.read_series(frame, value=["Close", "Volume"], window=6, horizon=2, target=target)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A forecaster and a classifier of directions, hardly trained, and their exports."""
    folder, built = tmp_path_factory.mktemp("series"), {}
    for name in ("future", "direction"):
        table = table_of(name)
        built[name] = sz.build_model("gru", table, units=4)
        built[name].fit(table, verbose=0)
        sz.export_model(built[name], folder / name)
    return built, folder


@pytest.fixture(scope="module")
def url(models: Any) -> Iterator[str]:
    """The development server, on a port of its own."""
    store = ModelStore(in_folder(models[1]))
    store.refresh()
    app = create_app(store)
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, http="h11", ws="none", log_config=None, access_log=False)
    )
    is_up = threading.Event()
    startup = server.startup

    async def started(*args: Any, **kwargs: Any) -> None:
        await startup(*args, **kwargs)
        is_up.set()

    server.startup = started  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run)
    thread.start()
    assert is_up.wait(60)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(60)
    store.close()


def test_forecasts_by_client(models: Any, url: str) -> None:
    table = table_of("future").take(np.arange(9))
    expected = models[0]["future"].predict(table, verbose=0)
    with ServingClient(url, "future", batch_size=4) as client:
        for given in (table, table.windows(), table.windows().tolist()):
            answers = client.predict(given)
            assert len(answers) == 9
            np.testing.assert_allclose(answers, expected, rtol=1e-5)
        # A missing value may be missing here, too.
        windows = table.windows([0])
        windows[0, 2, 1] = np.nan
        np.testing.assert_allclose(
            client.predict(windows), models[0]["future"].predict(windows), rtol=1e-5
        )
        takes = client.metadata()["serving_default"]["inputs"]
        assert takes == {"values": {"dtype": "float32", "shape": [None, 6, 2]}}

    async def ask() -> Any:
        async with AsyncServingClient(url, "future", batch_size=4) as client:
            return await client.predict(table)

    np.testing.assert_allclose(asyncio.run(ask()), expected, rtol=1e-5)


def test_directions_by_client(models: Any, url: str) -> None:
    windows = table_of("direction").windows([0, 1])
    told = models[0]["direction"].task.decode(models[0]["direction"].predict(windows, verbose=0))
    with ServingClient(url, "direction") as client:
        for answer, expected in zip(client.predict(windows), told, strict=True):
            assert answer["label"] == expected["label"]
            assert answer["probabilities"] == pytest.approx(expected["probabilities"], rel=1e-4)


def test_rows_and_columns_of_the_rest_api(models: Any, url: str) -> None:
    windows = table_of("future").windows([0, 1])
    expected = models[0]["future"].predict(windows, verbose=0)
    place = f"{url}/v1/models/future:predict"
    for body, key in (
        ({"instances": windows.tolist()}, "predictions"),
        ({"instances": [{"values": row} for row in windows.tolist()]}, "predictions"),
        ({"inputs": windows.tolist()}, "outputs"),
        ({"inputs": {"values": windows.tolist()}}, "outputs"),
    ):
        reply = httpx2.post(place, json=body).json()
        np.testing.assert_allclose(reply[key], expected, rtol=1e-5)


def test_windows_of_another_shape_are_told(url: str) -> None:
    windows = table_of("future").windows([0, 1])
    with ServingClient(url, "future") as client:
        for wrong in (windows[:, :5], windows[..., :1]):
            with pytest.raises(ServingError, match="shape") as caught:
                client.predict(wrong)
            assert caught.value.status == 400
        with pytest.raises(ValueError, match=r"shape \(rows, window, columns\)"):
            client.predict(windows[0])
        with pytest.raises(ServingError, match="not of expected type: float"):
            client.predict(["a text"])
        with pytest.raises(TypeError, match="Ask about windows with predict"):
            client.classify(windows)


def test_the_grpc_request_is_what_the_export_takes(models: Any) -> None:
    """Without a server between: the bytes of a request to the session, and its answer back."""
    built, folder = models
    table = table_of("future").take([0, 5])
    target = Target("grpc://a:1", "future", None, None, None, None, "text_pair", {}, None)
    call = client_grpc.Calls(target).predict(as_rows(table, windows=True))
    request = protocol.PredictRequest.FromString(call.body)
    assert request.model_spec.name == "future"
    session = SavedSession(folder / "future" / "1")
    inputs = {name: protocol.to_array(tensor) for name, tensor in request.inputs.items()}
    outputs = session.run("serving_default", inputs)
    reply = protocol.PredictResponse()
    for name, array in outputs.items():
        reply.outputs[name].CopyFrom(protocol.to_tensor(np.asarray(array)))
    answers = call.read(reply.SerializeToString())
    np.testing.assert_allclose(answers, built["future"].predict(table, verbose=0), rtol=1e-5)


def test_a_sample_to_ask_with(models: Any) -> None:
    session = SavedSession(models[1] / "future" / "1")
    command = sample_command("http://a", "future", session.signatures)
    assert f'{{"instances": [{[[1, 1]] * 6}]}}' in command
