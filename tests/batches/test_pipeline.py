"""The pipeline: every row once, in a repeatable order, with little padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import keras_seqzoo as sz
from keras_seqzoo.preprocessing.words import WordPreprocessor

WORDS = [f"w{i}" for i in range(200)]


@pytest.fixture(scope="module")
def words() -> WordPreprocessor:
    return WordPreprocessor(64, WORDS)


@pytest.fixture(scope="module")
def table() -> sz.TextTable:
    """103 texts; text i is the word w_i, repeated a random number of times."""
    lengths = np.random.default_rng(0).integers(1, 40, 103)
    texts = [" ".join([f"w{i}"] * n) for i, n in enumerate(lengths)]
    return sz.TextTable.from_texts(texts, [i % 3 for i in range(103)])


def rows(dataset: tf.data.Dataset) -> list[int]:
    """The numbers of the texts, in the order in which a dataset yields them."""
    return [
        i for features, _ in dataset for i in (features["token_ids"][:, 0].numpy() - 2).tolist()
    ]


def padding(dataset: tf.data.Dataset) -> float:
    masks = [features["padding_mask"].numpy() for features, _ in dataset]
    return 1 - sum(mask.sum() for mask in masks) / sum(mask.size for mask in masks)


def test_batches_have_the_contract_s_form(table: sz.TextTable, words: WordPreprocessor) -> None:
    batches = list(sz.make_dataset(table, words, batch_size=10))
    assert len(batches) == 11
    for features, labels in batches:
        assert set(features) == {"token_ids", "padding_mask", "segment_ids"}
        assert {f.dtype for f in features.values()} == {tf.int32}
        assert len({tuple(f.shape) for f in features.values()}) == 1
        assert labels.dtype == tf.int32
        assert features["token_ids"].shape[1] % 8 == 0
    assert batches[-1][1].shape == (3,)


def test_without_shuffling_the_table_s_order_is_kept(
    table: sz.TextTable, words: WordPreprocessor
) -> None:
    dataset = sz.make_dataset(table, words, batch_size=10)
    assert rows(dataset) == list(range(103))
    labels = np.concatenate([labels.numpy() for _, labels in dataset])
    assert (labels == table.labels).all()


def test_no_thread_tunes_batches_whose_sleep_the_end_of_fit_would_wait_for(
    table: sz.TextTable, words: WordPreprocessor, tiny_model: Any
) -> None:
    dataset = sz.make_dataset(table, words, 10)
    texts = tf.data.Dataset.from_tensor_slices((["good", "bad"], [1, 0])).batch(2)
    own = tiny_model._read(texts, None, None, None)[0]
    for read in (dataset, dataset.passes.stream(0), own):
        assert read.options().autotune.enabled is False
    asked = tf.data.Options()
    asked.autotune.enabled = True
    own = tiny_model._read(texts.with_options(asked), None, None, None)[0]
    assert own.options().autotune.enabled is True


@pytest.mark.parametrize("bucket", [True, False])
def test_every_row_comes_once_an_epoch_with_its_label(
    table: sz.TextTable, words: WordPreprocessor, bucket: bool
) -> None:
    dataset = sz.make_dataset(table, words, 10, shuffle=True, seed=1, bucket=bucket)
    for _ in range(2):
        for features, labels in dataset:
            assert ((features["token_ids"][:, 0].numpy() - 2) % 3 == labels.numpy()).all()
        assert sorted(rows(dataset)) == list(range(103))


def test_orders_repeat_for_a_seed_and_differ_between_epochs(
    table: sz.TextTable, words: WordPreprocessor
) -> None:
    def epochs(seed: int | None) -> list[list[int]]:
        dataset = sz.make_dataset(table, words, 10, shuffle=True, seed=seed)
        return [rows(dataset), rows(dataset)]

    first, second = epochs(1)
    assert epochs(1) == [first, second]
    assert first != second
    assert epochs(2)[0] != first


def test_keras_seed_governs_the_order_where_none_is_given(
    table: sz.TextTable, words: WordPreprocessor
) -> None:
    import keras

    orders = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        orders.append(rows(sz.make_dataset(table, words, 10, shuffle=True)))
    assert orders[0] == orders[1]


def test_buckets_spare_padding(table: sz.TextTable, words: WordPreprocessor) -> None:
    plain = padding(sz.make_dataset(table, words, 10, shuffle=True, seed=0, bucket=False))
    bucketed = padding(sz.make_dataset(table, words, 10, shuffle=True, seed=0))
    assert bucketed < 0.5 * plain


@pytest.mark.parametrize("where", ["memory", "nowhere", "folder"])
def test_ids_are_the_same_wherever_they_are_kept(
    table: sz.TextTable, words: WordPreprocessor, where: str, tmp_path: Path
) -> None:
    cache: Any = {"memory": True, "nowhere": False, "folder": tmp_path / "ids"}[where]
    expected = list(sz.make_dataset(table, words, 10, shuffle=True, seed=5).as_numpy_iterator())
    for _ in range(2):
        dataset = sz.make_dataset(table, words, 10, shuffle=True, seed=5, cache=cache)
        for (features, labels), (wanted, wanted_labels) in zip(
            dataset.as_numpy_iterator(), expected, strict=True
        ):
            np.testing.assert_array_equal(features["token_ids"], wanted["token_ids"])
            np.testing.assert_array_equal(labels, wanted_labels)


def test_folder_keeps_different_data_and_vocabularies_apart(
    table: sz.TextTable, words: WordPreprocessor, tmp_path: Path
) -> None:
    sz.make_dataset(table, words, cache=tmp_path)
    sz.make_dataset(table, words, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    sz.make_dataset(table, WordPreprocessor(64, WORDS[::-1]), cache=tmp_path)
    sz.make_dataset(table.take(range(50)), words, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_stream_gives_what_the_table_gives(
    words: WordPreprocessor, table: sz.TextTable, tmp_path: Path
) -> None:
    lines = [f"{text},{label}" for text, label in zip(table.texts, table.labels, strict=True)]
    (tmp_path / "a.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    stream = sz.read_table(tmp_path / "a.csv", stream=True)
    assert rows(sz.make_dataset(stream, words, 10)) == list(range(103))
    shuffled = sz.make_dataset(stream, words, 10, shuffle=True, seed=1)
    assert sorted(rows(shuffled)) == list(range(103))
    assert shuffled.cardinality() == 11
    kept = sz.make_dataset(stream, words, 10, shuffle=True, seed=1, cache=tmp_path / "ids")
    assert rows(kept) == rows(sz.make_dataset(stream, words, 10, shuffle=True, seed=1))


def test_stream_has_windows_of_whole_batches(
    words: WordPreprocessor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("keras_seqzoo.batches.pipeline._STREAM_WINDOW_ROWS", 25)
    lines = [f"w{i},{i % 2}" for i in range(95)]
    (tmp_path / "a.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    stream = sz.read_table(tmp_path / "a.csv", stream=True)
    dataset = sz.make_dataset(stream, words, 10, shuffle=True, seed=1)
    assert [len(labels) for _, labels in dataset].count(10) == 9
    epoch = rows(dataset)
    assert sorted(epoch) == list(range(95))
    assert max(epoch[:20]) < 20  # shuffled within windows of 20 rows


def test_table_without_labels_gives_features_alone(words: WordPreprocessor) -> None:
    batch = next(iter(sz.make_dataset(sz.TextTable.from_texts(["w1", "w2"]), words)))
    assert isinstance(batch, tuple)
    assert len(batch) == 1


def test_empty_table_gives_no_batch(table: sz.TextTable, words: WordPreprocessor) -> None:
    assert list(sz.make_dataset(table.take([]), words)) == []


def test_wrong_arguments_are_explained(table: sz.TextTable, tiny_model: Any) -> None:
    with pytest.raises(ValueError, match="`batch_size` must be a whole number"):
        sz.make_dataset(table, tiny_model, batch_size=0)
    with pytest.raises(TypeError, match=r"Use read_table.*Received: list"):
        sz.make_dataset(["text"], tiny_model)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"classes=model.classes.*'0', '1', '2'"):
        sz.make_dataset(table, tiny_model)


def test_mirrored_replicas_share_a_batch(table: sz.TextTable, words: WordPreprocessor) -> None:
    dataset = sz.make_dataset(table, words, 10)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    whole = rows(dataset)
    parts = [rows(dataset.with_options(options).shard(2, i)) for i in range(2)]
    assert sorted(parts[0] + parts[1]) == whole


@pytest.fixture
def stream(table: sz.TextTable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> sz.TextStream:
    """The rows of the table, 25 or fewer a window."""
    monkeypatch.setattr("keras_seqzoo.batches.pipeline._STREAM_WINDOW_ROWS", 25)
    lines = [f"{text},{label}" for text, label in zip(table.texts, table.labels, strict=True)]
    (tmp_path / "rows.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    return sz.read_table(tmp_path / "rows.csv", stream=True)


def test_folder_serves_every_batch_size_and_tables_beside_streams(
    table: sz.TextTable, stream: sz.TextStream, words: WordPreprocessor, tmp_path: Path
) -> None:
    for source in (table, stream):
        for size in (10, 7):
            kept = sz.make_dataset(source, words, size, shuffle=True, seed=1, cache=tmp_path)
            fresh = sz.make_dataset(source, words, size, shuffle=True, seed=1)
            assert [len(labels) for _, labels in kept] == [len(labels) for _, labels in fresh]
            assert rows(kept) == rows(fresh)
            np.testing.assert_array_equal(
                [
                    n
                    for features, _ in kept.passes.stream(5).take(4)
                    for n in features["token_ids"][:, 0]
                ],
                [
                    n
                    for features, _ in fresh.passes.stream(5).take(4)
                    for n in features["token_ids"][:, 0]
                ],
            )


@pytest.mark.parametrize("damage", ["a file is gone", "a file is cut", "all is gone"])
def test_what_is_damaged_in_a_folder_is_made_again(
    damage: str, stream: sz.TextStream, words: WordPreprocessor, tmp_path: Path
) -> None:
    folder = tmp_path / "ids"
    sz.make_dataset(stream, words, 10, cache=folder)
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        if damage == "all is gone" or file.suffix == ".snapshot":
            file.write_bytes(file.read_bytes()[:-20]) if "cut" in damage else file.unlink()
    assert rows(sz.make_dataset(stream, words, 10, cache=folder)) == list(range(103))
    assert len(list(folder.iterdir())) == 1


def test_two_processes_may_write_one_folder(
    table: sz.TextTable, words: WordPreprocessor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save = tf.data.Dataset.save

    def save_second(windows: tf.data.Dataset, path: str) -> None:
        monkeypatch.setattr(tf.data.Dataset, "save", save)
        sz.make_dataset(table, words, cache=tmp_path)  # the other one is done first
        windows.save(path)

    monkeypatch.setattr(tf.data.Dataset, "save", save_second)
    assert rows(sz.make_dataset(table, words, cache=tmp_path)) == list(range(103))
    assert len(list(tmp_path.iterdir())) == 1
