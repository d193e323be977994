"""Pairs, several labels and numbers as they are served: warmed up, audited, asked and refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from cpp_session import ask_cpp
from samples import NEGATIVE, POSITIVE
from starlette.testclient import TestClient

import keras_seqzoo as sz
from keras_seqzoo.serving import warmup
from keras_seqzoo.serving.server.app import create_app
from keras_seqzoo.serving.server.sample import sample_command
from keras_seqzoo.serving.server.sources import in_folder
from keras_seqzoo.serving.server.store import ModelStore

TEXTS = POSITIVE + NEGATIVE
PAIRS = list(zip(TEXTS, TEXTS[::-1], strict=True))
ASKED = [("a good film", "awful and dull"), ("", "naïve 🙂"), ("the cast", "")]
MODELS: dict[str, tuple[Any, Any, str | None]] = {
    "pair_classes": (PAIRS, ["same"] * 8 + ["other"] * 8, None),
    "pair_labels": (PAIRS, [["good", "film"], ["good"]] * 4 + [["bad"], []] * 4, None),
    "pair_number": (PAIRS, np.linspace(100, 500, 16), "number"),
    "numbers": (TEXTS, np.stack([np.linspace(1, 5, 16), np.arange(16)], axis=1), "number"),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """Models, untrained but with answers that differ, and the folder of their exports."""
    folder, built = tmp_path_factory.mktemp("models"), {}
    for name, (texts, labels, target) in MODELS.items():
        table = sz.TextTable.from_texts(texts, labels, target=target)
        built[name] = model = sz.build_model("gru", table, units=4, embedding_dim=8)
        rng = np.random.default_rng(0)
        for weight in model.get_layer("logits").weights:
            weight.assign(rng.normal(0, 3, weight.shape))
        if target is None and "labels" in name:  # so that texts have more labels and fewer
            outputs = model.predict(PAIRS, verbose=0)
            model.get_layer("probabilities").thresholds.assign(np.median(outputs, axis=0))
        sz.export_model(model, folder / name)
    return built, folder


@pytest.fixture(scope="module")
def ask(models: Any) -> Iterator[Callable[..., Any]]:
    store = ModelStore(in_folder(models[1]))
    store.refresh()
    with TestClient(create_app(store)) as client:

        def post(path: str, **body: Any) -> Any:
            reply = client.post(f"/v1/models/{path}", json=body)
            return reply.json() if reply.status_code == 200 else reply.json()["error"]

        yield post
    store.close()


def rows_of(pairs: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"text": first, "text_pair": second} for first, second in pairs]


@pytest.mark.parametrize("name", MODELS)
def test_a_server_answers_as_the_model_decodes(name: str, models: Any, ask: Any) -> None:
    model = models[0][name]
    is_pair = model.preprocessor.pair
    asked: Any = ASKED if is_pair else [first for first, _ in ASKED]
    expected = model.task.decode(model.predict(asked, verbose=0))
    answers = ask(f"{name}:predict", instances=rows_of(ASKED) if is_pair else asked)["predictions"]
    for told, answer in zip(expected, answers, strict=True):
        if len(told) == 1:  # a single output stands without its name
            answer = {next(iter(told)): answer}
        assert answer.keys() == told.keys()
        for key, value in told.items():
            if key == "labels":
                assert [label for label in answer[key] if label] == value
            elif isinstance(value, str):
                assert answer[key] == value
            else:
                assert answer[key] == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_tensorflow_s_cpp_loader_answers_as_the_model(name: str, models: Any) -> None:
    model = models[0][name]
    columns = [np.array([t.encode() for t in side], object) for side in zip(*ASKED, strict=True)]
    answer = ask_cpp(models[1] / name / "1", dict(zip(model.served_inputs, columns, strict=False)))
    asked: Any = ASKED if model.pair else [first for first, _ in ASKED]
    expected = model.predict(asked, verbose=0)
    np.testing.assert_allclose(model.task.outputs_of(answer), expected, rtol=1e-4, atol=1e-5)


def test_lists_of_labels_are_as_long_as_the_longest(models: Any, ask: Any) -> None:
    model = models[0]["pair_labels"]
    counts = [len(told["labels"]) for told in model.task.decode(model.predict(PAIRS, verbose=0))]
    assert len(set(counts)) > 1
    answers = ask("pair_labels:predict", instances=rows_of(PAIRS))["predictions"]
    assert {len(answer["labels"]) for answer in answers} == {max(counts)}
    assert [sum(label != "" for label in answer["labels"]) for answer in answers] == counts


def test_the_apis_of_examples(models: Any, ask: Any) -> None:
    built = models[0]
    body = {"signature_name": "regress", "examples": rows_of(ASKED)}
    numbers = built["pair_number"].predict(ASKED, verbose=0)[:, 0]
    assert ask("pair_number:regress", **body)["results"] == pytest.approx(numbers, rel=1e-4)
    for name in ("pair_classes", "pair_labels"):
        body["signature_name"] = "classify"
        answers = ask(f"{name}:classify", **body)["results"]
        expected = built[name].predict(ASKED, verbose=0)
        assert [[n for n, _ in row] for row in answers] == [list(built[name].task.names)] * 3
        np.testing.assert_allclose([[p for _, p in row] for row in answers], expected, atol=1e-5)
    body["signature_name"] = "regress"
    for name in ("pair_classes", "numbers"):  # several numbers are no regression of that API
        assert ask(f"{name}:regress", **body) == "No signature was found with the name: regress"


ONE = {"text": "a"}


@pytest.mark.parametrize(
    ("verb", "body", "message"),
    [
        ("predict", {"instances": [ONE]}, 'JSON object: {"text": "a"} keys must be equal to: '
         "text,text_pair"),
        ("predict", {"instances": ["a"]}, "instances is a plain list, but expecting list of"),
        ("predict", {"inputs": {"text": ["a"]}}, "Missing named input: text_pair in 'inputs'"),
        ("predict", {"inputs": ["a"]}, "inputs is a plain value/list, but expecting an object"),
        ("predict", {"inputs": {"text": ["a"], "text_pair": ["b", "c"]}}, "must have the same"),
        ("classify", {"signature_name": "classify", "examples": [ONE]},
         "Feature: text_pair (data type: string) is required but could not be found."),
    ],
)  # fmt: skip
def test_a_pair_with_one_side_missing(verb: str, body: Any, message: str, ask: Any) -> None:
    assert message in ask(f"pair_classes:{verb}", **body)


def test_warmup_asks_pairs_of_every_signature(models: Any) -> None:
    requests = list(warmup.read(models[1] / "pair_number" / "1"))
    assert {name for name, _ in requests} == {"serving_default", "regress", "tokens", "embed"}
    asked = [inputs for name, inputs in requests if name == "serving_default"]
    assert all(inputs.keys() == {"text", "text_pair"} for inputs in asked)
    assert all(inputs["text"][0] != inputs["text_pair"][0] for inputs in asked)
    [examples] = [inputs["inputs"] for name, inputs in requests if name == "regress"]
    features = [tf.train.Example.FromString(e).features.feature for e in examples]
    assert [f["text_pair"].bytes_list.value[0] for f in features] == list(asked[-1]["text_pair"])


def test_warmup_takes_pairs_of_one_s_own(models: Any, tmp_path: Path) -> None:
    model = models[0]["pair_classes"]
    firsts, seconds = zip(*ASKED, strict=True)
    path = sz.export_model(model, tmp_path, warmup=(list(firsts), list(seconds)))
    *alone, together = [r for name, r in warmup.read(path) if name == "serving_default"]
    told = list(zip(together["text"], together["text_pair"], strict=True))
    assert sorted(told) == sorted((a.encode(), b.encode()) for a, b in ASKED)
    assert len(alone) == 3
    with pytest.raises(TypeError, match="reads two texts a row"):
        sz.export_model(model, tmp_path, warmup=["a", "b"])


@pytest.mark.parametrize("sound", [True, False])
def test_audit_asks_pairs_where_there_are_no_requests(sound: bool, tmp_path: Path) -> None:
    def judge(text: tf.Tensor, text_pair: tf.Tensor) -> dict[str, tf.Tensor]:
        length = tf.cast(tf.strings.length(text) + tf.strings.length(text_pair), tf.float32)
        return {"p": length if sound else length / 0.0}

    specs = [tf.TensorSpec([None], tf.string, name=name) for name in ("text", "text_pair")]
    signature = tf.function(judge).get_concrete_function(*specs)
    tf.saved_model.save(tf.Module(), str(tmp_path / "1"), signatures=signature)
    found = sz.audit(tmp_path / "1")
    assert found.warmup_requests == 0
    assert found.problems == (
        [] if sound else ["serving_default answers p with numbers that are not finite"]
    )


def test_the_note_for_the_server_tells_the_task(models: Any) -> None:
    def note(name: str) -> str:
        return (models[1] / name / "1" / "assets.extra" / "requirements.md").read_text()

    assert "`text` and `text_pair`" in note("pair_labels")
    assert "the task `label`, whose labels are 'bad', 'film', 'good'" in note("pair_labels")
    assert "the task `regress`, whose numbers are 'label'" in note("pair_number")
    assert "Requests with `text`. It" in note("numbers")


def test_a_model_of_another_task_takes_no_one_s_place(models: Any) -> None:
    built, folder = models
    with pytest.raises(ValueError, match=r"task classify \('other', 'same'\) of text, text_pair"):
        sz.export_model(built["pair_labels"], folder / "pair_classes")
    with pytest.raises(ValueError, match=r"of text, and a model of the task regress"):
        sz.export_model(built["pair_number"], folder / "numbers")
    assert sorted(p.name for p in (folder / "numbers").iterdir()) == ["1"]


def test_a_sample_of_pairs_has_two_texts(models: Any, ask: Any) -> None:
    store = ModelStore(in_folder(models[1]))
    store.refresh()
    with store.lease("pair_classes") as lease:
        command = sample_command("http://a", "pair_classes", lease.session.signatures)
    store.close()
    assert '"text": "the soup was lovely", "text_pair": "they liked the soup"' in command
