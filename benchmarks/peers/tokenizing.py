"""Texts to ids: our graphs in tf.data beside Hugging Face's tokenizers in Rust and KerasHub.

    python benchmarks/peers/tokenizing.py

- word pieces: MiniLM's vocabulary on the training texts of SST-2 and the IMDB sample, again and
  again in the same processes.
- byte pairs: GPT-2's on the same texts, and on those of the golden file, which each round reads for
  the first time, in new processes; KerasHub a tenth of them.
- one word: as many random letters without a space, GPT-2's byte pairs, in new processes that have
  tokenised a short text before; KerasHub only the shortest.

Ours is `Preprocessor.tokenize`, the graph that is exported; KerasHub's tokenizers are in a graph,
too. Both run in a tf.data pipeline of batches of 512, as training has them, from its first element
to its last; `tokenizers` in one call of `encode_batch_fast`. All may use all cores. The note says
in how many texts ids differ from ours.
"""

from __future__ import annotations

import json
import random
import string
import sys
import tempfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from turns import MINILM, OURS, Run, command_line, contest, parse, runs, work, write

sys.path.insert(0, str(Path(__file__).parents[1]))
RUST, KERAS_HUB = "tokenizers (Rust)", "KerasHub"
PIECES, PAIRS, WORD = "pieces", "pairs", "word"
# From texts to what reads them; that returns what gives their ids.
Reader = Callable[[list[str]], Callable[[], Callable[[], list[list[int]]]]]


def rust(order: dict[str, Any]) -> Reader:
    """Hugging Face's `tokenizers`."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    if "merges" in order:
        made = Tokenizer(models.BPE.from_file(order["vocabulary"], order["merges"]))
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        made = Tokenizer(models.WordPiece.from_file(order["vocabulary"], unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer()
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()

    def read(texts: list[str]) -> Callable[[], list[list[int]]]:
        rows = made.encode_batch_fast(texts, add_special_tokens=False)
        return lambda: [row.ids for row in rows]

    return lambda texts: partial(read, texts)


def in_tf_data(graph: Any) -> Reader:
    """A function of TensorFlow, in batches."""
    import tensorflow as tf

    def read(batches: tf.data.Dataset) -> Callable[[], list[list[int]]]:
        tokens = list(batches)
        return lambda: [row for batch in tokens for row in batch.to_list()]

    def reader(texts: list[str]) -> Callable[[], Any]:
        batches = tf.data.Dataset.from_tensor_slices(texts).batch(512)
        return partial(read, batches.map(graph, num_parallel_calls=tf.data.AUTOTUNE))

    return reader


def ours(order: dict[str, Any]) -> Reader:
    """The preprocessors of this package."""
    from keras_seqzoo.preprocessing.bytepair import BytePairPreprocessor, read_byte_pairs
    from keras_seqzoo.preprocessing.wordpiece import WordPiecePreprocessor

    if "merges" in order:
        tables = read_byte_pairs(order["vocabulary"], order["merges"])
        return in_tf_data(BytePairPreprocessor(1024, *tables).tokenize)
    pieces = Path(order["vocabulary"]).read_text(encoding="utf-8").splitlines()
    return in_tf_data(WordPiecePreprocessor(512, pieces).tokenize)


def keras_hub(order: dict[str, Any]) -> Reader:
    """The tokenizers of KerasHub."""
    import keras_hub
    import tensorflow as tf

    if "merges" in order:
        made = keras_hub.tokenizers.BytePairTokenizer(order["vocabulary"], order["merges"])
    else:
        made = keras_hub.tokenizers.BertTokenizer(order["vocabulary"], lowercase=True)
    return in_tf_data(tf.function(made))


def load(kind: str, order: dict[str, Any]) -> Run:
    """Tokenises the texts of a file; what comes of it is a checksum of each text's ids."""
    texts = json.loads(Path(order["file"]).read_text(encoding="utf-8"))
    if kind == KERAS_HUB:
        texts = texts[:: order["every"]]
    reader = {OURS: ours, RUST: rust, KERAS_HUB: keras_hub}[kind](order)
    if order["kind"] == WORD:
        reader(["a short text"])()
    read = reader(texts)

    def run() -> tuple[int, Any]:
        ids = read()
        return len(texts), lambda: [zlib.crc32(repr(list(map(int, row))).encode()) for row in ids()]

    return run


def differing(theirs: list[int], mine: list[int]) -> str:
    """In how many texts ids differ; the peer may have had every so many only."""
    mine = mine[:: -(-len(mine) // len(theirs))]
    wrong = sum(a != b for a, b in zip(theirs, mine, strict=True))
    return f"{wrong} of {len(theirs)} differ"


def main() -> None:
    """Measures word pieces, byte pairs, and words of each length."""
    parser = command_line(__doc__, (RUST, KERAS_HUB), "peers_tokenizing.csv")
    parser.add_argument(
        "--what", nargs="+", default=[PIECES, PAIRS, WORD], choices=[PIECES, PAIRS, WORD]
    )
    parser.add_argument(
        "--letters", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="of a word"
    )
    given = parse(parser)
    tokenizers = given.shared / "tokenizers"
    pieces = {"vocabulary": str(given.shared / MINILM / "assets" / "vocab.txt"), "every": 1}
    pairs = {
        "vocabulary": str(tokenizers / "gpt2-vocab.json"),
        "merges": str(tokenizers / "gpt2-merges.txt"), "every": 10,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:

        def table(title: str, what: str, texts: list[str], kinds: list[str], **more: Any) -> None:
            file = Path(folder) / "texts.json"
            file.write_text(json.dumps(texts), encoding="utf-8")
            order = {"kind": what, "file": str(file), **(pieces if what == PIECES else pairs)}
            commands = {kind: [sys.executable, __file__, "--work", kind] for kind in (OURS, *kinds)}
            unit = "s" if what == WORD else "texts/s"
            rows = contest(title, unit, commands, order, given.rounds, differing, **more)
            write(rows, given.out)

        if PIECES in given.what:
            table("word pieces, SST-2 and IMDB", PIECES, read_texts(given.shared), given.kinds)
        if PAIRS in given.what:
            texts = read_texts(given.shared)
            table("byte pairs, SST-2 and IMDB, unseen", PAIRS, texts, given.kinds, cold=True)
            lines = (given.shared / "goldens" / "gpt2_bpe.jsonl").read_text(encoding="utf-8")
            texts = [json.loads(line)["text"] for line in lines.splitlines()]
            table("byte pairs, golden texts, unseen", PAIRS, texts, given.kinds, cold=True)
        for number in given.letters if WORD in given.what else ():
            word = "".join(random.Random(number).choices(string.ascii_lowercase, k=number))
            kinds = [k for k in given.kinds if k != KERAS_HUB or number <= 10_000]
            title = f"byte pairs, a word of {number:,} letters"
            table(title, WORD, [word], kinds, cold=True, less=True)


def read_texts(shared: Path) -> list[str]:
    """The training texts of both sets, in random order."""
    from quality import SETS

    texts = [
        str(t) for name in ("sst2", "imdb_sample") for t in SETS[name](shared / "data")[0].texts
    ]
    random.Random(0).shuffle(texts)
    return texts


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(runs(partial(load, sys.argv[2])))
    else:
        main()
