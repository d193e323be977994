"""Several replicas in one process: two logical CPUs stand in for two GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import replicas
import tensorflow as tf
from trained import few

import keras_seqzoo as sz
from keras_seqzoo.batches.passes import Share

TWO = ["CPU:0", "CPU:1"]
# What is the same code for all is tried with these.
THOROUGHLY = ("gru", "bert_base")


def two() -> tf.distribute.Strategy:
    return sz.distribution("mirrored", devices=TWO, verbose=False)


def one() -> tf.distribute.Strategy:
    return sz.distribution("one_device", verbose=False)


def weights(model: Any) -> np.ndarray:
    return np.concatenate([np.ravel(keras.ops.convert_to_numpy(w)) for w in model.weights])


def assert_same(ours: Any, theirs: Any) -> None:
    for what, values in theirs.items():
        np.testing.assert_allclose(ours[what], values, rtol=1e-4, atol=1e-6, err_msg=what)


@pytest.mark.parametrize("name", few(("gru", "bert_base", "gpt2"), but="(?!gru)"))
def test_two_replicas_take_the_steps_of_one(name: str, tmp_path: Path) -> None:
    alone, model = replicas.build(name, one()), replicas.build(name, two())
    assert_same(replicas.fit(model, tmp_path / "best.keras"), replicas.fit(alone))
    np.testing.assert_allclose(weights(model), weights(alone), rtol=1e-4, atol=1e-5)
    answers = model.predict(replicas.TABLE, verbose=0)
    np.testing.assert_allclose(answers, alone.predict(replicas.TABLE, verbose=0), atol=1e-5)
    assert (tmp_path / "best.keras").is_file()
    if name not in THOROUGHLY:
        return
    data = sz.make_dataset(replicas.TABLE, model, 8)
    np.testing.assert_allclose(
        model.evaluate(data, verbose=0), alone.evaluate(data, verbose=0), rtol=1e-4
    )
    # What is saved needs no strategy.
    model.save(tmp_path / "last.keras")
    loaded = keras.models.load_model(tmp_path / "last.keras")
    assert loaded.distribute_strategy.num_replicas_in_sync == 1
    np.testing.assert_allclose(loaded.predict(replicas.TABLE, verbose=0), answers, atol=1e-5)
    served = tf.saved_model.load(str(sz.export_model(model, tmp_path / "served")))
    probabilities = served.signatures["serving_default"](text=tf.constant(replicas.TABLE.texts))
    np.testing.assert_allclose(probabilities["probabilities"], answers, atol=1e-5)


ADAM = keras.optimizers.Adam
OPTIMIZERS = {
    "accumulated": lambda: ADAM(0.01, global_clipnorm=0.1, gradient_accumulation_steps=2),
    "decayed": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1, use_ema=True),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(ADAM(0.01, clipnorm=0.1)),
}


@pytest.mark.parametrize("kind", few(OPTIMIZERS, but="scaled|decayed"))
def test_optimizers_see_the_gradient_of_all_rows(kind: str) -> None:
    make = OPTIMIZERS[kind]
    alone, model = (replicas.build("gru", s, make) for s in (one(), two()))
    assert_same(replicas.fit(model), replicas.fit(alone))
    np.testing.assert_allclose(weights(model), weights(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("strategy", "steps"),
    [
        (two, 3),
        pytest.param(one, 3, marks=pytest.mark.slow),
        pytest.param(two, 100, marks=pytest.mark.slow),
    ],
)
def test_several_steps_an_execution_end_with_the_epoch(strategy: Any, steps: int) -> None:
    """Four steps an epoch: three do not divide them, and a hundred are more than there are."""
    expected = replicas.fit(replicas.build("gru", one()), epochs=2)
    model = replicas.build("gru", strategy())
    model.steps_per_execution = steps
    assert_same(replicas.fit(model, epochs=2), expected)
    assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == 8


def test_class_weights_and_sample_weights_count() -> None:
    for more in ({"class_weight": {0: 1.0, 1: 3.0}}, {}):
        histories = []
        for strategy in (one(), two()):
            model = replicas.build("gru", strategy)
            if more:
                histories.append(replicas.fit(model, epochs=2, **more))
            else:
                weight = np.linspace(0.1, 2, 17)
                keras.utils.set_random_seed(0)
                histories.append(
                    model.fit(replicas.TABLE, sample_weight=weight, batch_size=5, verbose=0).history
                )
        assert_same(*histories)


def test_language_models_count_tokens() -> None:
    """The mean loss of a step is over tokens, of which replicas have different numbers."""
    histories = []
    for strategy in (one(), two()):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            model = sz.build_model(
                "gru", replicas.TABLE, task="generate", units=8, embedding_dim=8, dropout=0.0,
                sequence_length=16, vocabulary_size=300,
            )  # fmt: skip
        data = sz.make_dataset(replicas.TABLE, model, 5, shuffle=True, seed=0)
        histories.append(model.fit(data, validation_data=data, epochs=2, verbose=0).history)
    assert_same(*histories)


@pytest.mark.slow
def test_mixed_precision_trains() -> None:
    for dtype in ("mixed_bfloat16", "mixed_float16"):
        with two().scope():
            model = sz.build_model("gru", replicas.TABLE, units=8, embedding_dim=8, dtype=dtype)
        assert np.isfinite(replicas.fit(model, epochs=1)["val_loss"]).all()


@pytest.mark.parametrize("shuffle", [False, True])
def test_replicas_share_every_batch(tiny_model: Any, shuffle: bool) -> None:
    """Each row comes to one replica, whatever divides by what."""
    passes = sz.make_dataset(replicas.TABLE, tiny_model, 5, shuffle=shuffle, seed=1).passes

    def rows(share: Share, steps: int) -> list[list[list[int]]]:
        elements = iter(passes.stream(2, share))
        return [
            [row for _ in range(share.parts) for row in next(elements)[0]["token_ids"].numpy()]
            for _ in range(steps)
        ]

    whole = rows(Share(0, 1, 1), 7)
    parts = [rows(Share(0, 2, 3), 7), rows(Share(2, 1, 3), 7)]

    def texts(batch: Any) -> list[tuple[int, ...]]:
        return sorted(tuple(np.trim_zeros(row, "b").tolist()) for row in batch)

    for step in range(7):
        assert texts(whole[step]) == texts([*parts[0][step], *parts[1][step]])


@pytest.mark.parametrize("shuffle", [False, True])
def test_workers_divide_files(tiny_model: Any, tmp_path: Path, shuffle: bool) -> None:
    """Three files of 5, 9 and 2 rows for two workers of two replicas: each row to one, once."""
    start = 0
    for number, rows in enumerate([5, 9, 2]):
        lines = [f"w{i},{i % 2}" for i in range(start, start + rows)]
        (tmp_path / f"part-{number}.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
        start += rows
    stream = sz.read_table(str(tmp_path / "part-*.csv"))
    words = tiny_model.preprocessor.__class__(8, [f"w{i}" for i in range(16)])
    for table, numbers in ((stream, set(range(16))), (stream.split(0.3, 0.2, seed=1)[0], None)):
        passes = sz.make_dataset(table, words, 4, shuffle=shuffle, seed=1).passes
        steps = passes.steps_over(2)

        def read(worker: int, position: int, count: int, passes: Any = passes) -> list[list[int]]:
            elements = passes.stream(position, Share(2 * worker, 2, 4)).take(2 * count)
            return [(f["token_ids"].numpy()[:, :1].ravel() - 2).tolist() for f, _ in elements]

        seen = [row for worker in (0, 1) for part in read(worker, 0, steps) for row in part]
        assert len(seen) == len(set(seen)) == len(table)
        assert numbers is None or set(seen) == numbers
        assert read(0, 1, 2 * steps) == read(0, 0, 2 * steps + 1)[2:], "begun anywhere"
    assert steps_of(stream, words) == {1: 4, 2: 5, 3: 4}


def steps_of(stream: Any, words: Any) -> dict[int, int]:
    """Of 4 rows; files for two workers, and by row for three, since 4 does not divide by 3."""
    passes = sz.make_dataset(stream, words, 4).passes
    return {workers: passes.steps_over(workers) for workers in (1, 2, 3)}


def test_a_stream_goes_on_anywhere(tiny_model: Any) -> None:
    passes = sz.make_dataset(replicas.TABLE, tiny_model, 5, shuffle=True, seed=1).passes

    def labels(position: int, count: int) -> list[list[int]]:
        return [y.numpy().tolist() for _, y in passes.stream(position).take(count)]

    assert labels(0, 12)[7:] == labels(7, 5)
    assert labels(0, 4) != labels(4, 4)


def test_models_that_share_a_dataset_begin_at_its_first_pass(
    tiny_table: Any, tmp_path: Path
) -> None:
    first, second = (sz.build_model("gru", tiny_table, units=4, dropout=0.0) for _ in range(2))
    second.set_weights(first.get_weights())
    data = sz.make_dataset(tiny_table, first, 4, shuffle=True, seed=0)
    losses = [model.fit(data, epochs=2, verbose=0).history["loss"] for model in (first, second)]
    assert losses[0] == losses[1]
    # Nor is the order of a training that was resumed left behind on the dataset.
    recovery = sz.Recovery(tmp_path, keep=True)
    second.fit(data, verbose=0, callbacks=[recovery])
    other = sz.make_dataset(tiny_table, first, 4, shuffle=True, seed=1)
    order = [labels.numpy().tolist() for _, labels in other.passes.stream(0).take(8)]
    second.fit(other, epochs=2, verbose=0, callbacks=[sz.Recovery(tmp_path)])
    assert [labels.numpy().tolist() for _, labels in other.passes.stream(0).take(8)] == order


def test_fits_after_one_another_go_on_with_the_orders(tiny_table: Any) -> None:
    """`fit` twice for one epoch is `fit` for two."""
    results = []
    for calls in (1, 2):
        model = replicas.build("gru", one())
        data = sz.make_dataset(replicas.TABLE, model, 5, shuffle=True, seed=0)
        for _ in range(calls):
            model.fit(data, epochs=2 // calls, verbose=0)
        results.append(weights(model))
    np.testing.assert_allclose(*results, atol=1e-6)


def test_any_dataset_is_divided() -> None:
    """One that `make_dataset` did not make is divided by TensorFlow."""
    model = replicas.build("gru", two())
    features = model.preprocessor(replicas.TABLE.texts)
    plain = tf.data.Dataset.from_tensor_slices((dict(features), replicas.TABLE.labels)).batch(8)
    strings = tf.data.Dataset.from_tensor_slices((replicas.TABLE.texts, replicas.TABLE.labels))
    for data in (plain, strings.batch(8)):
        history = model.fit(data, validation_data=data, epochs=1, verbose=0).history
        assert np.isfinite([*history["loss"], *history["val_loss"]]).all()
        again = model.evaluate(replicas.TABLE.texts, replicas.TABLE.labels, verbose=0)
        np.testing.assert_allclose(model.evaluate(data, verbose=0), again, rtol=1e-5)


def test_what_was_chosen_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    sz.distribution("auto")
    assert "Distribution: no strategy on CPU:0 (there is no GPU)" in capsys.readouterr().err
    assert sz.distribution("auto", devices=TWO) is two()
    assert "MirroredStrategy on CPU:0, CPU:1 (2 devices named)" in capsys.readouterr().err
    chosen = sz.distribution("auto", devices=["cpu:1"])
    assert isinstance(chosen, tf.distribute.OneDeviceStrategy)
    assert "OneDeviceStrategy on CPU:1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "horovod"}, r"must be one of .*Received: name='horovod'"),
        ({"devices": ["GPU:7"]}, r"name devices of this machine.*CPU:0, CPU:1.*\['GPU:7'\]"),
        ({"devices": [0]}, "name devices"),
        ({"devices": []}, "name devices"),
        ({"devices": ["CPU:0", "CPU:0"]}, "each once"),
        ({"name": "one_device", "devices": TWO}, "takes one device"),
        ({"name": "multi_worker"}, "Set TF_CONFIG on each"),
        ({"name": "multi_worker", "communication": "mpi"}, "'auto', 'ring', 'nccl'"),
        ({"name": "multi_worker", "devices": [0]}, "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_wrong_choices_are_explained(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sz.distribution(**{"name": "auto", **arguments})


def test_workers_are_joined_first_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "TF_CONFIG",
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}',
    )
    with pytest.raises(RuntimeError, match="at the start of the program"):
        sz.distribution("auto")


def test_a_batch_smaller_than_the_replicas_is_refused() -> None:
    model = replicas.build("gru", two())
    with pytest.raises(ValueError, match=r"2 or more.*Received: batch_size=1, 2 replicas"):
        model.fit(sz.make_dataset(replicas.TABLE, model, 1), verbose=0)
