"""Byte pairs: the ids of the reference on goldens, hard texts and random ones, in every mode."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_seqzoo.preprocessing.bytepair import (
    END,
    BytePairPreprocessor,
    byte_signs,
    learn_byte_pairs,
    read_byte_pairs,
    read_merges,
)

HARD = [
    "",
    " ",
    "   ",
    " \t\n \r\n",
    "x\n\ny",
    "x  y   z ",
    "x \n y\n\n  \n z",
    " 's 't's it's IT'S ''s 'llama 'REd we'd've",
    "<|endoftext|> a<|endoftext|>b",
    "a\x00b\x00\x00 \x00",
    "\x1c\x1d\x1e\x1f\x0b\x0c\x85\u00a0\u3000 \u3000a\u00a0\u2003b\u180e\u200b",
    "\ufeffa\ufffe\uffff\ufffd\U0010ffff",
    "٣٤ १२ ½ Ⅷ ㊿ 3.14 x2y",
    "😀👩‍👩‍👧‍👦 🇫🇷❤️",
    "e\u0301 \u0301 क्षि 日本語 中文 ﬁ",
    "\U00011380\U00010d40\U0002ebf0 a\U0001e5d0b",  # letters and numbers of Unicode 15.1 and 16
    "a" * 31 + "-" * 77 + "=-" * 50,
]
POOLS = [
    "abcdefghijklmnopqrstuvwxyz",
    "etaoin",
    "ABC",
    "0123456789",
    "٠١३४²½ⅧⅫ",
    "!?.,;:-_=+*/#@'\"()[]<>|",
    "'\u2019\u201c—…",
    " ",
    "  \t\n\r",
    "\u00a0\u3000\u0085\u2003\u2028\u200b\ufeff\x1c\x1f\x0b",
    "😀🎉👩‍👩‍👧🇫🇷❤️👍🏽",
    "中文字日本語한국어",
    "éñüß\u0301\u0308\u093e\u20dd",
    "\x00\x01\x7f\x9f\uffff\ue000",
]
PARTS = ["'s", "'ll", "'S", " the", "ing", "http://", "...", "----", "\n\n", "  ", END, "don't"]
Row = list[int]


def random_texts(count: int, seed: int = 0) -> list[str]:
    choose = random.Random(seed)

    def part() -> str:
        kind = choose.random()
        if kind < 0.3:
            return choose.choice(PARTS)
        if kind < 0.4:
            return chr(choose.choice([choose.randrange(0xD800), choose.randrange(0xE000, 0x30000)]))
        return "".join(choose.choices(choose.choice(POOLS), k=choose.randrange(1, 12)))

    return ["".join(part() for _ in range(choose.randrange(1, 20))) for _ in range(count)]


def reference(vocabulary: dict[str, int], merges: Sequence[str]) -> Callable[..., list[Row]]:
    from tokenizers import Tokenizer, models, pre_tokenizers

    model = models.BPE(vocab=vocabulary, merges=[tuple(merge.split(" ")) for merge in merges])
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return lambda texts: [encoding.ids for encoding in tokenizer.encode_batch(texts)]


def differing(texts: Sequence[str], ours: list[Row], theirs: list[Row]) -> list[str]:
    assert len(texts) == len(ours) == len(theirs)
    return [t for t, a, b in zip(texts, ours, theirs, strict=True) if a != b]


@pytest.fixture(scope="module")
def files(shared: Any) -> tuple[Path, Path]:
    return shared("tokenizers", "gpt2-vocab.json"), shared("tokenizers", "gpt2-merges.txt")


@pytest.fixture(scope="module")
def gpt2(files: tuple[Path, Path]) -> BytePairPreprocessor:
    return BytePairPreprocessor(128, *read_byte_pairs(*files))


@pytest.fixture(scope="module")
def original(files: tuple[Path, Path]) -> Callable[..., list[Row]]:
    return reference(json.loads(files[0].read_text("utf-8")), read_merges(files[1]))


@pytest.fixture(scope="module")
def goldens(shared: Any) -> tuple[list[str], list[Row]]:
    lines = shared("goldens", "gpt2_bpe.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [row["text"] for row in rows], [row["ids"] for row in rows]


@pytest.fixture(scope="module")
def graph(gpt2: BytePairPreprocessor) -> Any:
    return tf.function(gpt2.tokenize, input_signature=[tf.TensorSpec([None], tf.string)])


def eager(layer: BytePairPreprocessor, texts: list[str], folder: Path) -> list[Row]:
    return layer.tokenize(texts).to_list()


def dataset(layer: BytePairPreprocessor, texts: list[str], folder: Path) -> list[Row]:
    batches = tf.data.Dataset.from_tensor_slices(texts).batch(100).map(layer.tokenize)
    return [row for batch in batches for row in batch.to_list()]


def saved(layer: BytePairPreprocessor, texts: list[str], folder: Path) -> list[Row]:
    module = tf.Module()
    module.resources = list(layer.resources)
    module.tokenize = tf.function(
        layer.tokenize, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(folder))
    loaded = tf.saved_model.load(str(folder))
    ops = loaded.tokenize.concrete_functions[0].graph.get_operations()
    assert not [op.type for op in ops if "PyFunc" in op.type]
    assert loaded.tokenize(tf.constant([], tf.string)).to_list() == []
    return loaded.tokenize(tf.constant(texts)).to_list()


@pytest.mark.parametrize("way", [eager, dataset, saved])
def test_ids_are_the_goldens(
    gpt2: BytePairPreprocessor,
    goldens: tuple[list[str], list[Row]],
    original: Any,
    tmp_path: Path,
    way: Callable[..., list[Row]],
) -> None:
    texts, ids = goldens
    found = way(gpt2, texts + HARD, tmp_path)
    assert differing(texts, found[: len(texts)], ids) == []
    assert differing(HARD, found[len(texts) :], original(HARD)) == []


def test_batches_do_not_matter(graph: Any, original: Any) -> None:
    assert [graph(tf.constant([text])).to_list()[0] for text in HARD] == original(HARD)
    ids = graph(tf.constant([], tf.string))
    assert (ids.to_list(), ids.dtype, ids.shape.rank) == ([], tf.int32, 2)


def test_random_texts_are_the_reference_s(graph: Any, original: Any) -> None:
    texts = random_texts(5000)
    assert differing(texts, graph(tf.constant(texts)).to_list(), original(texts)) == []


@pytest.mark.parametrize("pattern", ["a{}a", "1{}1", ".{}.", " {} "])
def test_every_code_point_is_classed_as_in_the_reference(
    graph: Any, original: Any, pattern: str
) -> None:
    points = [*range(0xD800), *range(0xE000, 0x32400), *range(0xE0000, 0xE0200)]
    texts = [pattern.format(chr(point)) for point in points]
    assert differing(texts, graph(tf.constant(texts)).to_list(), original(texts)) == []


LONG = {
    "one sign": "a" * 100_000,
    "two signs": "et" * 50_000,
    "random letters": "".join(random.Random(0).choices(POOLS[0], k=100_000)),
    "marks": "".join(random.Random(0).choices("-=_*", k=100_000)),
    "emoji": "😀" * 25_000,
    "falling ranks": "yzxpbgpdtfyujlncdbniyaeylucyssogellere" * 2600,
    "text of a megabyte": " ".join(random_texts(16_000)),
}


@pytest.mark.parametrize("kind", list(LONG))
def test_a_long_text_is_exact(graph: Any, original: Any, kind: str) -> None:
    text = LONG[kind]
    assert graph(tf.constant([text])).to_list() == original([text])


def test_invalid_utf8_is_read_as_python_replaces_it(graph: Any, original: Any) -> None:
    broken = [b"\xff", b"a\xc3 b", b"\xed\xa0\x80x", b"\xf0\x9f\x98 \x80", b"\xc0\xaf"]
    broken += [np.random.default_rng(i).bytes(i % 50) for i in range(1000)]
    replaced = [text.decode("utf-8", "replace") for text in broken]
    assert differing(replaced, graph(tf.constant(broken)).to_list(), original(replaced)) == []


def test_packing_pads_with_the_end_token(gpt2: BytePairPreprocessor) -> None:
    features = {name: tensor.numpy().tolist() for name, tensor in gpt2(["a b", ""]).items()}
    assert features["token_ids"] == [[64, 275], [50256, 50256]]
    assert features["padding_mask"] == [[1, 1], [1, 0]]
    assert gpt2(["a " * 500])["token_ids"].shape == (1, 128)


def test_assets_bring_everything_back(gpt2: BytePairPreprocessor, tmp_path: Path) -> None:
    gpt2.save_assets(str(tmp_path))
    loaded = BytePairPreprocessor.from_config(gpt2.get_config())
    loaded.load_assets(str(tmp_path))
    assert loaded.vocabulary == gpt2.vocabulary
    assert (loaded.vocabulary[50256], len(loaded.vocabulary)) == (END, 50257)
    assert loaded.fingerprint() == gpt2.fingerprint()
    assert loaded.tokenize(HARD).to_list() == gpt2.tokenize(HARD).to_list()


def test_the_fingerprint_covers_the_merges() -> None:
    ids = {sign: i for i, sign in enumerate([*byte_signs(), "ab", "bc"])}
    digests = {BytePairPreprocessor(8, ids, m).fingerprint() for m in ([], ["a b"], ["b c"])}
    assert len(digests) == 3


@pytest.mark.parametrize("size", [300, 1000, 5000])
def test_a_learnt_vocabulary_gives_the_reference_s_ids(
    goldens: tuple[list[str], list[Row]], size: int
) -> None:
    texts = goldens[0][::2]
    ids, merges = learn_byte_pairs([texts[:900], [*texts[900:], "\ud83d"]], size)
    held_out = goldens[0][1::2] + random_texts(300)
    layer = BytePairPreprocessor(8, ids, merges)
    assert (len(layer.vocabulary), layer.pad_id) == (size, 0)
    assert (
        differing(held_out, layer.tokenize(held_out).to_list(), reference(ids, merges)(held_out))
        == []
    )


@pytest.mark.parametrize("seed", range(8))
def test_merges_in_any_order_give_the_reference_s_ids(seed: int) -> None:
    choose = random.Random(seed)
    ids = {sign: i for i, sign in enumerate(byte_signs())}
    tokens, merges = ["a", "b"], []
    while len(merges) < 40:
        left, right = choose.choices(tokens, k=2)
        if f"{left} {right}" not in merges:
            merges.append(f"{left} {right}")
            if left + right not in ids:
                ids[left + right] = len(ids)
                tokens.append(left + right)
    choose.shuffle(merges)
    texts = ["".join(choose.choices("ab", k=choose.randrange(1, 60))) for _ in range(300)]
    ours = BytePairPreprocessor(8, ids, merges).tokenize(texts).to_list()
    assert differing(texts, ours, reference(ids, merges)(texts)) == []


SIGNS = {sign: i for i, sign in enumerate(byte_signs())}


@pytest.mark.parametrize(
    ("vocabulary", "merges", "message"),
    [
        (SIGNS, None, "vocabulary alone"),
        (None, ["a b"], "merges alone"),
        ({**SIGNS, "ab": 300}, ["a b"], "without gaps"),
        ({"a": 0, "b": 1}, [], "256 bytes"),
        (SIGNS, ["a b"], "merge 'a b'"),
        ({**SIGNS, "ab": 256}, ["ab"], "merge 'ab'"),
        ({**SIGNS, "ab": 256}, ["a b", "a b"], "listed once"),
    ],
)
def test_a_wrong_vocabulary_is_refused(vocabulary: Any, merges: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BytePairPreprocessor(8, vocabulary, merges)


def test_special_tokens_stand_around_a_text() -> None:
    signs = ["<s>", "<pad>", "</s>", *byte_signs(), "go"]
    vocabulary = {sign: i for i, sign in enumerate(signs)}
    pairs = BytePairPreprocessor(4, vocabulary, ["g o"], "<s>", "</s>", "<pad>")
    features = pairs(["go", "", "gogogo"])
    assert features["token_ids"].numpy().tolist() == [
        [0, 259, 2, 1],
        [0, 2, 1, 1],
        [0, 259, 259, 2],
    ]
    rows = tf.RaggedTensor.from_tensor(features["token_ids"])
    assert pairs.detokenize(rows).numpy().tolist() == [b"go", b"", b"gogo"]
    assert pairs.tokenize(["<s>"]).row_lengths().numpy() == [3], "written out, it is text"
    with pytest.raises(ValueError, match=r"special token must be in the vocabulary.*<bos>"):
        BytePairPreprocessor(4, vocabulary, ["g o"], start_token="<bos>")


def test_every_text_comes_back(gpt2: BytePairPreprocessor) -> None:
    spelt = gpt2.detokenize(gpt2.tokenize(HARD)).numpy().tolist()
    # What ends a document has no text of its own; written out, it is spelt in other tokens.
    assert [text.decode() for text in spelt] == HARD


def test_missing_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"vocab.json. Received: .*no.json"):
        read_byte_pairs(tmp_path / "no.json", ["a b"])
    with pytest.raises(FileNotFoundError, match=r"merges.txt. Received: .*no.txt"):
        read_byte_pairs({}, str(tmp_path / "no.txt"))
