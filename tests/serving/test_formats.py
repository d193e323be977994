"""Exports for ONNX Runtime, OpenVINO and LiteRT, run by these: they answer as the model does."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from tokenizers import Tokenizer

import keras_seqzoo as sz
from keras_seqzoo.preprocessing.base import with_a_token
from keras_seqzoo.preprocessing.hub import PROBES
from keras_seqzoo.preprocessing.wordpiece import SPECIAL, WordPiecePreprocessor
from keras_seqzoo.preprocessing.words import WordPreprocessor
from keras_seqzoo.serving import formats
from keras_seqzoo.serving.openvino_tokenizer import openvino_core, openvino_tokenizer
from keras_seqzoo.serving.saved import load_predictor
from keras_seqzoo.serving.tokenizer_files import are_same, features_of, tokenizer_of
from keras_seqzoo.serving.versions import read_card

NEEDED = {
    "onnx": ("onnxruntime", "tf2onnx"),
    "openvino": ("openvino", "openvino_tokenizers"),
    "litert": ("ai_edge_litert",),
}
TEXTS = [
    *PROBES,
    "w " * 700,
    "x" * 99,
    "x" * 101,
    "\x00 NUL \x00a a\x7fb a\u0085b a\u2028b a\ufffdb",
    "''LaTeX'' ``quotes'' the dogs' 'tis rock 'n' roll '''three'''",
    "İstanbul ǅ ẞ Å ﬁ ㎏ ① ΟΔΟΣ",
    "never seen words, 日本語 😀 <br /> it's",
]


def needs(format: str) -> Any:
    """A parameter that is left out where its packages are not installed."""
    missing = [module for module in NEEDED[format] if not find_spec(module)]
    return pytest.param(
        format, marks=pytest.mark.skipif(bool(missing), reason=f"needs {' and '.join(missing)}")
    )


FORMATS = [needs(format) for format in NEEDED]


def run_onnx(path: Path) -> Callable[..., Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path / "model.onnx")
    return lambda inputs: session.run(None, inputs)[0]


def run_openvino(path: Path) -> Callable[..., Any]:
    import openvino_tokenizers  # noqa: F401 - the graph holds its operations

    compiled = openvino_core().compile_model(
        path / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    return lambda inputs: compiled(inputs)[0]


def run_litert(path: Path) -> Callable[..., Any]:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path / "model.tflite")).get_signature_runner()
    return lambda inputs: next(iter(runner(**inputs).values()))


RUN = {"onnx": run_onnx, "openvino": run_openvino, "litert": run_litert}


def drawn(model: Any) -> Any:
    """A model whose last layer is not as it was made, so that no answer is one half."""
    draw = np.random.default_rng(0)
    for weight in model.weights:
        if weight.path.startswith(("logits", "wide")):
            weight.assign(np.abs(draw.normal(size=weight.shape)).astype("float32"))
    return model


def tiny(name: str, data: Any, **options: Any) -> Any:
    return drawn(sz.build_model(name, data, weights=None, **sz.model_card(name).tiny, **options))


def features(model: Any, texts: Any) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in model.preprocessor(texts).items()}


def inputs(model: Any, path: Path, texts: list[str]) -> dict[str, np.ndarray]:
    """What an artifact takes."""
    by_text = read_card(path)["inputs"] == ["text"]
    return {"text": np.array(texts)} if by_text else features(model, texts)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "name", ["bert_base", *(pytest.param(n, marks=pytest.mark.slow) for n in ("bigru", "static"))]
)
def test_answers_as_the_model(name: str, format: str, tmp_path: Path, tiny_table: Any) -> None:
    model = tiny(name, tiny_table)
    path = sz.export_model(model, tmp_path, format=format)
    assert (path / "assets.extra" / "README.md").is_file()
    ask = RUN[format](path)
    for texts in (TEXTS, [""], ["", ""], ["a good film"], ["one", "two and three"]):
        found = ask(inputs(model, path, texts))
        np.testing.assert_allclose(found, model.predict(texts, verbose=0), atol=1e-5)
    card = read_card(path)
    assert card["format"] == format
    assert card["classes"] == ["negative", "positive"]
    assert card["artifact"]["outputs"] == {"probabilities": "float32 (batch, 2)"}
    assert card["artifact"]["differs_by"] < 1e-5
    assert (card["artifact"]["tokenizer"] == "inside") == (format == "openvino")
    if format == "openvino":
        return
    nothing = ask({name: np.zeros([2, 3], "int32") for name in formats.FEATURES})
    np.testing.assert_allclose(nothing.sum(axis=1), 1, atol=1e-5)
    by_file = features_of(Tokenizer.from_file(str(path / "tokenizer.json")), TEXTS)
    made = {k: v.numpy() for k, v in with_a_token(by_file, 1).items()}
    np.testing.assert_allclose(ask(made), model.predict(TEXTS, verbose=0), atol=1e-5)


@pytest.mark.parametrize("format", FORMATS)
def test_every_task_answers(format: str, tmp_path: Path) -> None:
    texts = ["a good film", "a bad book", "dull", "great fun"]
    tables = {
        "label": sz.TextTable.from_texts(texts, [["a"], ["b"], ["a", "b"], []]),
        "regress": sz.TextTable.from_texts(texts, [0.5, 1.5, 3.0, 4.5], target="number"),
        "embed": texts,
    }
    for task, data in tables.items():
        model = tiny("static", data, task=task)
        path = sz.export_model(model, tmp_path / task, format=format)
        found = RUN[format](path)(inputs(model, path, texts))
        wanted = model.predict(texts, verbose=0)
        np.testing.assert_allclose(found.reshape(wanted.shape), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_pairs_answer_with_a_saved_tokenizer(format: str, tmp_path: Path) -> None:
    import tensorflow as tf

    pairs = [("a good film", "a film"), ("it rains", "it is dry"), ("", "dull"), ("x " * 300, "y")]
    table = sz.TextTable.from_texts(pairs, ["yes", "no", "no", "yes"])
    model = tiny("gru", table)
    path = sz.export_model(model, tmp_path, format=format)
    tokenize = tf.saved_model.load(str(path / "tokenizer")).signatures["serving_default"]
    first, second = zip(*pairs, strict=True)
    made = tokenize(text=tf.constant(first), text_pair=tf.constant(second))
    found = RUN[format](path)({name: value.numpy() for name, value in made.items()})
    np.testing.assert_allclose(found, model.predict(pairs, verbose=0), atol=1e-5)


def pieces(lowercase: bool) -> WordPiecePreprocessor:
    """Word pieces that tell the signs of `TEXTS` apart."""
    signs = sorted(sign for sign in {*"".join(TEXTS)} if sign.isprintable() and sign != " ")
    vocabulary = [*SPECIAL, *signs, *(f"##{sign}" for sign in signs), "good", "##ness"]
    return WordPiecePreprocessor(512, vocabulary, lowercase)


def all_words() -> WordPreprocessor:
    """Words that tell those of `TEXTS` apart."""
    split = WordPreprocessor(512, ["a"]).split(TEXTS).to_list()
    words = sorted({word.decode() for row in split for word in row})
    return WordPreprocessor(512, words)


@pytest.mark.parametrize("lowercase", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_ids_of_word_pieces_are_the_graph_s(lowercase: bool) -> None:
    preprocessor = pieces(lowercase)
    tokenizer = tokenizer_of(preprocessor)
    assert tokenizer is not None
    for text in TEXTS:
        wanted, found = preprocessor([text]), features_of(tokenizer, [text])
        assert {k: v.numpy().tolist() for k, v in found.items()} == {
            k: v.numpy().tolist() for k, v in wanted.items()
        }, text


def test_ids_of_words_are_the_graph_s() -> None:
    preprocessor = all_words()
    tokenizer = tokenizer_of(preprocessor)
    assert tokenizer is not None
    assert are_same(preprocessor, TEXTS, features_of(tokenizer, TEXTS))


@pytest.mark.parametrize("format", FORMATS[1:2])
def test_ids_within_openvino_are_the_graph_s(format: str) -> None:
    import tensorflow as tf

    for preprocessor in (pieces(True), all_words()):
        graph = openvino_tokenizer(preprocessor)
        assert graph is not None
        run = openvino_core().compile_model(graph, "CPU")
        for texts in (TEXTS, ["", ""]):
            found = run({"text": np.array(texts)})
            made = {name: tf.constant(found[name]) for name in formats.FEATURES}
            assert are_same(preprocessor, texts, made)
    assert is_memory(signal_stack())


class SignalStack(ctypes.Structure):
    """`stack_t` of Linux."""

    _fields_ = (("at", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def signal_stack() -> int | None:
    """Where this thread has its stack for signals; None without one."""
    found = SignalStack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))
    return found.at


def is_memory(address: int | None) -> bool:
    """Whether a signal can use this stack; else the next one ends the process."""
    maps = Path("/proc/self/maps")
    if address is None or not maps.exists():
        return True
    ranges = [line.split()[0].split("-") for line in maps.read_text().splitlines()]
    return any(int(first, 16) <= address < int(last, 16) for first, last in ranges)


def test_bad_input_is_explained(tiny_model: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must be one of \('saved_model', 'onnx', .*'tflite'"):
        sz.export_model(tiny_model, tmp_path, format="tflite")
    writer = sz.build_model("gru", ["a text"], task="generate", units=4, embedding_dim=4)
    with pytest.raises(ValueError, match=r"classify, label, regress, embed.*the task generate"):
        sz.export_model(writer, tmp_path, format="onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", NEEDED)
def test_missing_packages_are_named(
    format: str, tiny_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda module: None)
    with pytest.raises(ValueError, match=rf'pip install "keras-seqzoo\[{format}\]".*no '):
        sz.export_model(tiny_model, tmp_path, format=format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", FORMATS[:1])
def test_other_answers_are_not_published(
    format: str, tiny_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = formats._FORMATS[format]

    def load(file: Path) -> Any:
        ask = kind.load(file)
        return lambda inputs: {name: value + 0.01 for name, value in ask(inputs).items()}

    monkeypatch.setitem(formats._FORMATS, format, kind._replace(load=load))
    with pytest.raises(ValueError, match=r"within 0.0001 .*Nothing was published.*by 0.01"):
        sz.export_model(tiny_model, tmp_path, format=format)
    assert list(tmp_path.iterdir()) == []


@keras.saving.register_keras_serializable("tests")
class LogGamma(keras.layers.Layer):
    """A layer that ONNX cannot hold."""

    def call(self, inputs: Any) -> Any:
        import tensorflow as tf

        return inputs + tf.math.lgamma(tf.abs(inputs) + 1)


@pytest.mark.parametrize("format", FORMATS[:1])
def test_what_a_format_cannot_hold_is_explained(
    format: str, tiny_model: Any, tmp_path: Path
) -> None:
    encoder = tiny_model.encoder
    outputs = dict(encoder.output)
    outputs["sequence_output"] = LogGamma()(outputs["sequence_output"])
    model = type(tiny_model)(
        keras.Model(encoder.input, outputs), tiny_model.preprocessor, tiny_model.task, "mean"
    )
    with pytest.raises(ValueError, match=r"cannot be written as onnx.*Lgamma"):
        sz.export_model(model, tmp_path, format=format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", FORMATS[:1])
def test_formats_do_not_take_each_other_s_place(
    format: str, tiny_model: Any, tmp_path: Path
) -> None:
    path = sz.export_model(tiny_model, tmp_path, format=format)
    with pytest.raises(ValueError, match="in the format onnx, and a model of"):
        sz.export_model(tiny_model, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["1"]
    with pytest.raises(ValueError, match="run in their own runtimes"):
        load_predictor(path)
