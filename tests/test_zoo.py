"""The registry, and what `build_model` refuses."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import keras
import pytest
import tensorflow as tf

import keras_seqzoo as sz
from keras_seqzoo.encoders.registry import MODELS
from keras_seqzoo.tasks import TASK_OF_TARGET
from keras_seqzoo.zoo import ModelCard, check_options, find_model, register


def test_listing_imports_nothing_heavy() -> None:
    script = (
        "import sys, keras_seqzoo as sz; sz.list_models(); sz.model_card('lstm');"
        "import keras_seqzoo.cli.main;"
        "heavy = {'tensorflow', 'keras', 'pandas', 'sklearn'} & set(sys.modules); print(heavy);"
        "sys.exit(len(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_list_models_filters_by_pattern() -> None:
    assert {"lstm", "gru", "bilstm", "bigru"} <= set(sz.list_models())
    assert sz.list_models("bi*gru") == ["bigru"]
    assert sz.list_models("nothing*") == []


def test_public_names_are_there() -> None:
    assert all(hasattr(sz, name) for name in sz.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        sz.nonsense


def test_unknown_name_lists_close_matches() -> None:
    with pytest.raises(ValueError, match=r"Did you mean .*'bilstm'.*Received: name='bi_lstm'"):
        sz.build_model("bi_lstm")


def test_name_without_close_match_lists_all() -> None:
    with pytest.raises(ValueError, match=r"Choose one of: .*bigru.*lstm"):
        sz.model_card("resnet50")


def test_name_can_be_registered_once() -> None:
    card = ModelCard("lstm", "x", "x", 1, {}, "x", "x", "x")
    with pytest.raises(ValueError, match="registered only once"):
        register(card)(lambda data: None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unit": 3}, "no such option. Did you mean 'units'"),
        ({"zzz": 1}, r"Choose one of: bidirectional, dropout, dtype, .*Received: zzz=1"),
        ({"dropuot": 1}, r"Did you mean 'dropout'( or '(?!dropout')\w+')*\?"),
        ({"bidirectional": "false"}, "`bidirectional` must be True or False"),
        ({"bidirectional": None}, "`bidirectional` must be True or False"),
        ({"units": "8"}, "`units` must be a whole number"),
        ({"dropout": "0.5"}, "`dropout` must be a rate"),
        ({"cell": "LSTM"}, "no such option"),
        ({"task": "classification"}, "`task` must be one of"),
        ({"units": 0}, "`units` must be a whole number"),
        ({"num_layers": 1.5}, "`num_layers` must be a whole number"),
        ({"embedding_dim": True}, "`embedding_dim` must be a whole number"),
        ({"dropout": 1.0}, "`dropout` must be a rate"),
        ({"recurrent_dropout": -0.1}, "`recurrent_dropout` must be a rate"),
        ({"pooling": "median"}, "`pooling` of this model must be one of"),
        ({"dtype": "float17"}, "`dtype` must be a Keras dtype policy"),
        ({"sequence_length": 0}, "`sequence_length` must be a whole number"),
        ({"sequence_length": 2.5}, "`sequence_length` must be a whole number"),
        ({"vocabulary_size": 2}, "`vocabulary_size` must be at least 3"),
        ({"vocabulary": ["a", "b", "a"]}, "lists each word once"),
        ({"vocabulary": ["a", "[UNK]"]}, "without the special tokens"),
        ({"classes": ["one"]}, "at least two classes"),
        ({"classes": ["one", "one"]}, "must differ"),
        ({"classes": "ab"}, "at least two classes"),
        ({"weights": "no-such-file.keras"}, "no such file"),
        ({"weights": "imagenet"}, "starts from scratch"),
    ],
)
def test_wrong_arguments_are_explained(
    tiny_table: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        sz.build_model("lstm", tiny_table, **arguments)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("gru", "bidirectional", "true"),
        ("bert_base", "lowercase", "no"),
        ("gpt2", "lowercase", "false"),
        ("gru", "bidirectional", 1),
    ],
)
def test_a_flag_is_true_or_false_before_anything_is_loaded(
    name: str, option: str, value: Any
) -> None:
    with pytest.raises(ValueError, match=f"`{option}` must be True or False"):
        check_options(name, {option: value})
    check_options(name, {option: False})


@pytest.mark.parametrize("value", ["false", 0])
def test_a_flag_of_a_task_is_no_other_value(value: Any) -> None:
    with pytest.raises(ValueError, match="`calibrate` must be True or False"):
        sz.build_model("gpt2", task="prompt", classes=["a", "b"], calibrate=value)


def test_direction_is_an_option(tiny_table: Any) -> None:
    one, two = (
        sz.build_model("gru", tiny_table, units=3, bidirectional=both) for both in (False, True)
    )
    assert one.encoder.output["pooled_output"].shape == (None, 3)
    assert two.encoder.output["pooled_output"].shape == (None, 6)


def test_texts_or_vocabulary_are_needed() -> None:
    with pytest.raises(ValueError, match=r"learns its vocabulary from texts.*data=None"):
        sz.build_model("gru", classes=["a", "b"])


def test_other_backend_is_refused(monkeypatch: pytest.MonkeyPatch, tiny_table: Any) -> None:
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(RuntimeError, match="KERAS_BACKEND=tensorflow"):
        sz.build_model("gru", tiny_table)


def test_options_reach_the_model(tiny_table: Any) -> None:
    model = sz.build_model(
        "bilstm", tiny_table, units=3, embedding_dim=5, num_layers=2, pooling="last",
        vocabulary_size=9, sequence_length=4, recurrent_dropout=0.1,
    )  # fmt: skip
    assert model.encoder.get_layer("token_embedding").embeddings.shape == (9, 5)
    assert model.encoder.output["sequence_output"].shape == (None, None, 6)
    assert model.encoder.get_layer("bidirectional_1").forward_layer.recurrent_dropout == 0.1
    assert model.preprocessor(["a b c d e f"])["token_ids"].shape == (1, 4)
    assert model.predict(["a good film"], verbose=0).shape == (1, 2)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_float32_answers(tiny_table: Any, policy: str) -> None:
    model = sz.build_model("gru", tiny_table, units=4, dtype=policy)
    model.fit(tiny_table, epochs=1, verbose=0)
    answers = model.predict(["a good film"], verbose=0)
    assert answers.dtype == "float32"
    assert answers.sum() == pytest.approx(1, abs=1e-5)


def test_weights_of_a_saved_model_start_a_new_one(
    tiny_model: Any, tmp_path: Any, tiny_table: Any
) -> None:
    tiny_model.save(tmp_path / "old.keras")
    texts = sz.TextTable.from_texts(["a film", "a book", "no"], ["film", "book", "neither"])
    model = sz.build_model("gru", texts, weights=str(tmp_path / "old.keras"))
    assert model.classes == ("book", "film", "neither")
    assert model.preprocessor.vocabulary == tiny_model.preprocessor.vocabulary
    old = tiny_model.encoder.get_layer("token_embedding").embeddings.numpy()
    assert (model.encoder.get_layer("token_embedding").embeddings.numpy() == old).all()
    with pytest.raises(ValueError, match="size is that of the saved model"):
        sz.build_model("gru", texts, weights=str(tmp_path / "old.keras"), units=8)
    with pytest.raises(ValueError, match="holds a 'gru'"):
        sz.build_model("lstm", texts, weights=str(tmp_path / "old.keras"))


@pytest.mark.parametrize("name", ["lstm", "gru", "bilstm", "bigru"])
def test_recurrent_layers_stay_eligible_for_cudnn(
    name: str, tiny_table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With a GPU in the list, Keras writes the cuDNN kernel into the training graph where the layer
    # and its mask allow it; tracing needs no GPU. (That masks are right-padded and never empty,
    # which the kernel asserts when it runs, is tested with the preprocessor.)
    model = sz.build_model(name, tiny_table, units=4)
    slow = sz.build_model(name, tiny_table, units=4, recurrent_dropout=0.1)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: ["a GPU"])
    kernels = 2 if name.startswith("bi") else 1
    assert _training_ops(model).count("CudnnRNNV3") == kernels
    assert _training_ops(slow).count("CudnnRNNV3") == 0


def _training_ops(model: Any) -> list[str]:
    specs = {k: tf.TensorSpec((None, None), tf.int32) for k in model.input}
    graph = tf.function(lambda x: model(x, training=True)).get_concrete_function(specs).graph
    return [op.type for op in graph.get_operations()]


def test_the_target_tells_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASK_OF_TARGET, "number", "embed")
    texts = Texts(["a good film", "a bad film"])
    assert sz.build_model("gru", texts, classes=["a", "b"], units=4).classes == ("a", "b")
    texts.target = SimpleNamespace(kind="number")
    assert sz.build_model("gru", texts, units=4).classes == ()
    assert sz.build_model("gru", texts, task="classify", classes=["a", "b"]).classes == ("a", "b")


class Texts(list[str]):
    """Texts that say what is to be answered, and what they are, as a table does."""

    target: Any = None
    inputs: Any = None


@pytest.mark.usefixtures("registry")
def test_what_takes_pairs_is_told_of_them() -> None:
    asked = []

    def build(data: Any, *, sequence_length: Any, weights: Any, units: int = 4, pair: bool) -> Any:
        asked.append(pair)
        return MODELS["gru"].build(data, {"units": units}, task="classify")

    register(ModelCard("reader", "x", "x", 1, {}, "x", "x", "x"))(build)
    texts = Texts(["a good film", "a bad film"])
    arguments: dict[str, Any] = {"task": "embed", "units": 3}
    models = [
        sz.build_model("reader", texts, **arguments),
        sz.build_model("reader", texts, inputs="pair", **arguments),
    ]
    texts.inputs = SimpleNamespace(name="pair")
    models.append(sz.build_model("reader", texts, **arguments))
    assert asked == [False, True, True]
    assert [getattr(m.preprocessor, "pair", False) for m in models] == asked
    with pytest.raises(ValueError, match=r"`inputs` must be one of.*Received: inputs='text', data"):
        sz.build_model("reader", texts, inputs="text", **arguments)
    with pytest.raises(ValueError, match=r"no such option\. Did you mean 'units'"):
        sz.build_model("reader", texts, unit=3)


@pytest.mark.parametrize("inputs", ["pairs", 2])
def test_other_inputs_are_refused(inputs: Any) -> None:
    with pytest.raises(ValueError, match=r"`inputs` must be one of \('text', 'pair'\)"):
        sz.build_model("gru", ["a", "b"], classes=["a", "b"], inputs=inputs)


def test_an_option_s_default_is_that_of_the_name() -> None:
    options = {name: find_model(name).options for name in ("bigru", "gru", "small_bert_l2_h128")}
    assert options["bigru"]["bidirectional"].default is True
    assert options["gru"]["bidirectional"].default is False
    assert options["small_bert_l2_h128"]["num_layers"].shown == "2"
    assert "cell" not in options["gru"]
    assert options["gru"]["units"].types == {"int"}


def test_every_option_of_ours_is_told() -> None:
    for name in sz.list_models():
        assert [o.name for o in find_model(name).options.values() if not o.help] == []
