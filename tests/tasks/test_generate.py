"""Language models: learning from running text, writing on, and their SavedModel."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from trained import few

import keras_seqzoo as sz
from keras_seqzoo.batches.packing import pack_tokens, packed_batches, read_corpus
from keras_seqzoo.preprocessing.bytepair import BytePairPreprocessor, byte_signs

VERSE = "red wheel barrow\n"
TINY = {"num_layers": 2, "num_heads": 2, "hidden_dim": 32, "intermediate_dim": 64}
OPTIONS: dict[str, dict[str, Any]] = {
    "gpt2": {"weights": None, "dropout": 0.0, **TINY},
    "gru": {"units": 48, "embedding_dim": 16, "dropout": 0.0},
    "lstm": {"units": 48, "embedding_dim": 16, "num_layers": 2, "dropout": 0.0},
}
# No multiple of it is one of the verse's tokens, so rows begin anywhere in it.
LENGTH = 23
RATES = {"gpt2": (0.005, 120), "gru": (0.02, 100), "lstm": (0.02, 10)}
PROMPTS = ["red", "", "red wheel bar", "wheel"]
SAMPLERS = [
    *(("gpt2", sampler) for sampler in ("greedy", "top_k", "top_p", "beam", "contrastive")),
    *(("gru", sampler) for sampler in ("greedy", "random", "beam", "contrastive")),
    pytest.param("lstm", "beam", marks=pytest.mark.slow),
]


def build(name: str, **options: Any) -> Any:
    keras.utils.set_random_seed(0)
    settings = {"sequence_length": LENGTH, "vocabulary_size": 300, **OPTIONS[name], **options}
    return sz.build_model(name, [VERSE], task="generate", **settings)


class Learnt(dict[str, Any]):
    """Models that know the verse by heart, or at least have begun to; made when asked for."""

    def __missing__(self, name: str) -> Any:
        self[name] = model = build(name)
        model.schedule, model.warmup = "constant", 0.0
        model.optimizer.learning_rate, epochs = RATES[name]
        model.fit([VERSE] * LENGTH, epochs=epochs, batch_size=8, verbose=0)
        return model


@pytest.fixture(scope="module")
def learnt() -> dict[str, Any]:
    return Learnt()


@pytest.fixture(params=few(OPTIONS, but="lstm"))
def model(request: pytest.FixtureRequest, learnt: dict[str, Any]) -> Any:
    return learnt[request.param]


def test_probabilities_of_tokens_are_no_frame(learnt: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the task 'generate'"):
        learnt["gru"].predict([VERSE], as_frame=True)


@pytest.mark.parametrize("name", ["gpt2", "gru"])
def test_learns_a_text_by_heart(name: str, learnt: dict[str, Any]) -> None:
    model = learnt[name]
    assert model.evaluate([VERSE], verbose=0, return_dict=True)["perplexity"] < 1.2
    assert model.generate("red", LENGTH, "greedy") == VERSE, "and it ends where the text does"


def test_perplexity_is_that_of_the_logits(model: Any) -> None:
    tokens = pack_tokens([VERSE], model.preprocessor)[None]
    features = {"token_ids": tokens[:, :-1], "padding_mask": np.ones_like(tokens[:, :-1])}
    features["segment_ids"] = np.zeros_like(tokens[:, :-1])
    logits = model(features).numpy()[0]
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    nats = -logits[np.arange(len(logits)), tokens[0, 1:]].mean()
    measured = model.evaluate([VERSE], verbose=0, return_dict=True)
    assert measured["loss"] == pytest.approx(nats, rel=1e-4)
    assert measured["perplexity"] == pytest.approx(math.exp(nats), rel=1e-4)


@pytest.mark.parametrize(("name", "sampler"), SAMPLERS)
def test_seeds_repeat_and_batch_mates_change_nothing(
    name: str, sampler: str, learnt: dict[str, Any]
) -> None:
    model = learnt[name]
    first = model.generate(PROMPTS, 20, sampler, temperature=2.0, seed=3)
    assert first == model.generate(PROMPTS, 20, sampler, temperature=2.0, seed=3)
    assert all(text.startswith(prompt) for text, prompt in zip(first, PROMPTS, strict=True))
    if sampler in ("top_k", "top_p", "random"):
        others = [model.generate(PROMPTS, 20, sampler, temperature=2.0, seed=s) for s in (4, 5, 6)]
        assert any(other != first for other in others)
    else:
        alone = [model.generate(prompt, 20, sampler, temperature=2.0) for prompt in PROMPTS]
        assert alone == first
        assert model.generate(PROMPTS, 20, sampler, temperature=2.0, batch_size=1) == first


def test_a_seed_gives_its_text_to_every_thread(learnt: dict[str, Any]) -> None:
    model = learnt["gru"]

    def write(seed: int) -> str:
        return str(model.generate("red", 20, "random", temperature=2.0, seed=seed))

    expected = [write(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(write, [0, 1, 2, 3] * 4)) == expected * 4


def test_padding_changes_no_score(model: Any) -> None:
    features = {k: v.numpy() for k, v in model.preprocessor(["red wheel"]).items()}
    padded = {k: np.pad(v, ((0, 0), (0, 5))) for k, v in features.items()}
    length = features["token_ids"].shape[1]
    np.testing.assert_allclose(model(padded)[:, :length], model(features), atol=1e-5)


def test_cache_gives_what_the_whole_text_gives(model: Any) -> None:
    """Greedy, token by token, without a cache."""
    ids = model.preprocessor.tokenize(["red wh"]).to_list()[0]
    while len(ids) < 20:
        row = np.array([ids])
        features = {"token_ids": row, "padding_mask": np.ones_like(row)}
        logits = model({**features, "segment_ids": np.zeros_like(row)})
        ids.append(int(np.argmax(logits[0, -1])))
    end = ids.index(model.preprocessor.pad_id) if model.preprocessor.pad_id in ids else 20
    text = model.preprocessor.detokenize(tf.ragged.constant([ids[:end]], dtype=tf.int32))
    assert model.generate("red wh", 20, "greedy") == text.numpy()[0].decode("utf-8", "replace")


def test_stop_ends_before_the_string(learnt: dict[str, Any]) -> None:
    model = learnt["gpt2"]
    assert model.generate("red", LENGTH, "greedy", stop="arrow") == "red wheel b"
    assert model.generate(["red w"], LENGTH, "greedy", stop=["z", "w"]) == ["red wheel barro"]


@pytest.mark.parametrize("name", ["gpt2", "gru"])
def test_next_tokens_are_ranked(name: str, learnt: dict[str, Any]) -> None:
    model = learnt[name]
    best = model.next_tokens("red wheel", k=3)
    assert best[0][0] == " "
    assert best[0][1] > 0.5 > best[1][1] >= best[2][1]
    probabilities = model.predict(["red wheel", ""])
    assert probabilities.shape == (2, len(model.preprocessor.vocabulary))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert probabilities[0].max() == pytest.approx(best[0][1], abs=1e-6)


def test_file_brings_back_the_model(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.generate(PROMPTS, 20, "greedy") == model.generate(PROMPTS, 20, "greedy")
    assert loaded.evaluate([VERSE], verbose=0) == pytest.approx(
        model.evaluate([VERSE], verbose=0), rel=1e-4
    )


def test_saved_model_writes_as_generate_does(model: Any, tmp_path: Path) -> None:
    model.sampler, model.max_length = "greedy", 20
    prompts = [*PROMPTS, "red wheel " * 40]
    expected = model.generate(PROMPTS)
    exported = tf.saved_model.load(str(sz.export_model(model, tmp_path)))
    generate = exported.signatures["generate"]
    answer = generate(text=tf.constant(prompts))
    assert [text.decode() for text in answer["text"].numpy()] == [*expected, prompts[-1]]
    assert answer["generated"].numpy()[-1] == b"", "a prompt beyond `max_length` is left as it is"
    assert generate(text=tf.constant([], tf.string))["text"].shape == (0,)
    broken = generate(text=tf.constant([b"red \xff"]))["text"].numpy()[0]
    assert broken.decode().startswith("red \ufffd"), "a server's JSON is UTF-8"
    # As TensorFlow Serving loads it.
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(tmp_path / "1"))
        signature = loaded.signature_def["serving_default"]
        texts = session.run(
            signature.outputs["text"].name, {signature.inputs["text"].name: PROMPTS}
        )
    assert [text.decode() for text in texts] == expected
    model.sampler, model.max_length = "top_p", None


def test_exported_draws_differ_from_call_to_call(learnt: dict[str, Any], tmp_path: Path) -> None:
    model = learnt["gru"]
    model.sampler, model.temperature = "random", 3.0
    generate = tf.saved_model.load(str(sz.export_model(model, tmp_path))).signatures["generate"]
    first, second = (generate(text=tf.constant(["re"]))["text"].numpy()[0] for _ in range(2))
    model.sampler, model.temperature = "top_p", 1.0
    assert first != second


def test_served_graph_has_core_ops_alone(learnt: dict[str, Any], tmp_path: Path) -> None:
    """TensorFlow Serving has kernels for no op of XLA."""
    model = learnt["gpt2"]
    exported = tf.saved_model.load(str(sz.export_model(model, tmp_path)))
    graph = exported.signatures["generate"].graph.as_graph_def()
    ops = {node.op for part in (graph, *graph.library.function) for node in _nodes(part)}
    assert not [op for op in ops if op.startswith("Xla") or "PyFunc" in op]
    model.sampler = "beam"
    with pytest.raises(ValueError, match=r"not in TensorFlow Serving.*'beam'"):
        sz.export_model(model, tmp_path)
    model.sampler = "top_p"
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def _nodes(part: Any) -> Any:
    return part.node if hasattr(part, "node") else part.node_def


def test_sampler_object_is_taken(learnt: dict[str, Any]) -> None:
    sampler = keras_hub.samplers.BeamSampler(num_beams=2)
    assert learnt["gru"].generate("red", 12, sampler).startswith("red")


def test_encoder_of_a_language_model_goes_on_as_classifier(
    learnt: dict[str, Any], tmp_path: Path, tiny_table: Any
) -> None:
    learnt["gpt2"].save(tmp_path / "lm.keras")
    model = sz.build_model("gpt2", tiny_table, weights=str(tmp_path / "lm.keras"))
    np.testing.assert_allclose(
        sz.embed(model, ["red"]), sz.embed(learnt["gpt2"], ["red"]), atol=1e-6
    )


def test_fit_takes_files_tables_and_datasets(tmp_path: Path) -> None:
    path = tmp_path / "verse.txt"
    path.write_text(VERSE)
    model = build("gru", tokens="words")
    data = sz.make_dataset(str(path), model, batch_size=2, shuffle=True, seed=1)
    history = model.fit(data, validation_data=path, verbose=0).history
    assert {"loss", "perplexity", "val_perplexity"} <= set(history)
    table = sz.TextTable.from_texts([VERSE, "a red barrow"])
    model.fit(table, validation_data=["a red barrow"], verbose=0)
    assert model.generate("a red", 6, seed=0).startswith("a red ")


def test_vocabulary_is_learnt_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "verse.txt"
    path.write_text(VERSE * 3)
    model = sz.build_model("gru", path, task="generate", units=4, vocabulary_size=300)
    assert "Ġbarrow" in model.preprocessor.vocabulary


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sampler": "best"}, ValueError, "`sampler` must be one of.*'best'"),
        ({"max_length": 2}, ValueError, "counts the tokens of the prompt too.*max_length=2"),
        ({"max_length": 99}, ValueError, "has 23 positions.*max_length=99"),
        ({"prompts": "red wheel " * 30}, ValueError, "must leave room to write.*has 23 positions"),
        ({"sampler": object(), "temperature": 2.0}, ValueError, "temperature of its own"),
        ({"prompts": 3}, TypeError, "list or array of strings"),
        ({"prompts": [None]}, TypeError, "Every text must be a string"),
        ({"temperature": 0}, ValueError, "`temperature` must be a number above 0"),
        ({"stop": [""]}, ValueError, "`stop` must be strings"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be a whole number"),
    ],
)
def test_wrong_calls_are_explained(
    options: dict[str, Any], error: type[Exception], message: str, learnt: dict[str, Any]
) -> None:
    with pytest.raises(error, match=message):
        learnt["gpt2"].generate(**{"prompts": "red wheel", **options})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bilstm", {}, "must read forwards only.*'bilstm'"),
        ("bert_base", {"weights": None, **TINY}, "must read forwards only"),
        ("gru", {"classes": ["a", "b"]}, "Generated text has no classes"),
        ("gru", {"tokens": "letters"}, "`tokens` must be 'words' or 'byte_pairs'"),
        ("gru", {"sampler": "best"}, "`sampler` must be one of"),
        ("gpt2", {"weights": None, **TINY, "sequence_length": 8, "max_length": 9}, "8 positions"),
    ],
)
def test_wrong_models_are_explained(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sz.build_model(name, [VERSE], task="generate", **options)


def test_nothing_to_learn_from_is_explained(tmp_path: Path, learnt: dict[str, Any]) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    for source, error, message in (
        ("nowhere.txt", FileNotFoundError, r"no such file.*\[text\].*nowhere"),
        (tmp_path / "empty.txt", ValueError, "no text to learn from"),
        (tmp_path / "latin.txt", ValueError, "must be UTF-8"),
        ([1], TypeError, "Documents are strings"),
    ):
        with pytest.raises(error, match=message):
            learnt["gru"].fit(source, verbose=0)
    with pytest.raises(ValueError, match="its own target"):
        learnt["gru"].fit([VERSE], [1], verbose=0)


def test_packing_loses_and_repeats_nothing() -> None:
    signs = {sign: i + 1 for i, sign in enumerate(byte_signs())}
    pairs = BytePairPreprocessor(8, {"<|endoftext|>": 0, **signs}, [])
    long = "line one\n\nline two, é 日\n" * 600
    tokens = pack_tokens(["ab", "", long], pairs)
    assert tokens[:5].tolist() == [0, *pairs.tokenize(["ab"]).to_list()[0], 0, 0]
    assert tokens[-1] == 0
    whole = pairs.tokenize([long]).to_list()[0]
    assert tokens[5:-1].tolist() == whole, "cut for speed, the text has the same tokens"
    batches = list(packed_batches(tokens, 7, 5, shuffle=True, seed=0))
    real = np.concatenate([w.numpy().ravel() for _, _, w in batches]) > 0
    targets = np.concatenate([y.numpy().ravel() for _, y, _ in batches])[real]
    assert len(targets) == len(tokens) - 1
    assert sorted(targets) == sorted(tokens[1:])
    features, targets, _ = batches[0]
    np.testing.assert_array_equal(features["token_ids"][:, 1:], targets[:, :-1])


def test_epochs_are_shuffled_anew_and_seeds_repeat() -> None:
    tokens = np.arange(101, dtype=np.int32)
    data = packed_batches(tokens, 4, 25, shuffle=True, seed=5)
    first, second = (next(iter(data))[1].numpy().tolist() for _ in range(2))
    again = next(iter(packed_batches(tokens, 4, 25, shuffle=True, seed=5)))[1].numpy().tolist()
    assert first == again != second


def test_corpus_of_a_stream_is_every_text(reviews_csv: Path) -> None:
    stream = sz.read_table(reviews_csv, text="review", label="sentiment", stream=True)
    table = sz.read_table(reviews_csv, text="review", label="sentiment")
    assert read_corpus(stream) == list(table.texts)


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_corpus_of_a_file_is_decoded_by_its_mark(codec: str, tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_bytes("naïve\r\nend".encode(codec))
    assert read_corpus(tmp_path / "book.txt") == ["naïve\nend"]


def test_corpus_of_utf16_without_a_mark_is_refused(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_bytes("end".encode("utf-16-le"))
    with pytest.raises(ValueError, match=r"must be UTF-8, or begin with .*holds NUL"):
        read_corpus(tmp_path / "book.txt")
