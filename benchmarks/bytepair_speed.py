"""Texts per second of GPT-2's byte pairs on words never seen before, each time in a new process.

    python benchmarks/bytepair_speed.py --rounds 5

"ours" is `BytePairPreprocessor.tokenize`, the graph that is exported, and "kerashub" its GPT-2
tokenizer in a graph, on a tenth of the texts; both in a tf.data pipeline of batches of 512, as
training has them, from its first element to its last. "rust" is Hugging Face's `tokenizers`, the
reference, in one call with all cores. All read the texts of the golden file for the first time in
their process; they take turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def measure(kind: str, shared: Path) -> dict[str, float]:
    """Runs in a process of its own."""
    lines = (shared / "goldens" / "gpt2_bpe.jsonl").read_text(encoding="utf-8").splitlines()
    goldens = [json.loads(line) for line in lines]
    if kind == "kerashub":
        goldens = goldens[::10]
    texts = [golden["text"] for golden in goldens]
    vocabulary = str(shared / "tokenizers" / "gpt2-vocab.json")
    merges = str(shared / "tokenizers" / "gpt2-merges.txt")
    if kind == "rust":
        from tokenizers import ByteLevelBPETokenizer

        begun = time.perf_counter()
        tokenizer = ByteLevelBPETokenizer(vocabulary, merges)
        loaded = begun_reading = time.perf_counter()
        encoded = tokenizer.encode_batch(texts)
        ended = time.perf_counter()
        ids = [row.ids for row in encoded]
    else:
        import tensorflow as tf

        tf.constant(0) + 1  # TensorFlow's own start is not the tokenizer's
        if kind == "ours":
            from keras_seqzoo.preprocessing.bytepair import BytePairPreprocessor, read_byte_pairs

            begun = time.perf_counter()
            tokenize = BytePairPreprocessor(1024, *read_byte_pairs(vocabulary, merges)).tokenize
        else:
            import keras_hub

            begun = time.perf_counter()
            tokenize = tf.function(keras_hub.tokenizers.BytePairTokenizer(vocabulary, merges))
        loaded = time.perf_counter()
        batches = tf.data.Dataset.from_tensor_slices(texts).batch(512)
        batches = batches.map(tokenize, num_parallel_calls=tf.data.AUTOTUNE)
        begun_reading = time.perf_counter()
        tokens = list(batches)
        ended = time.perf_counter()
        ids = [row for batch in tokens for row in batch.to_list()]
    wrong = sum(row != golden["ids"] for row, golden in zip(ids, goldens, strict=True))
    return {
        "tables": loaded - begun,
        "rate": len(texts) / (ended - begun_reading),
        "wrong": wrong,
        "texts": len(texts),
    }


def main() -> None:
    """Prints every round, the medians and the ratios to the reference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.shared)))
        return
    results: dict[str, list[dict[str, float]]] = {"ours": [], "rust": [], "kerashub": []}
    for _ in range(arguments.rounds):
        for kind, rounds in results.items():
            command = [sys.executable, __file__, "--measure", kind]
            done = subprocess.run(
                [*command, "--shared", str(arguments.shared)],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            rounds.append(json.loads(done.stdout.splitlines()[-1]))
        print("  ".join(f"{k} {r[-1]['rate']:,.0f}/s" for k, r in results.items()), flush=True)
    for kind, rounds in results.items():
        rates, tables = ([r[key] for r in rounds] for key in ("rate", "tables"))
        ratios = [a["rate"] / b["rate"] for a, b in zip(rounds, results["rust"], strict=True)]
        print(
            f"{kind}: median {statistics.median(rates):,.0f} texts/s ({min(rates):,.0f} to "
            f"{max(rates):,.0f}), {statistics.median(ratios):.2f} of rust, tables "
            f"{statistics.median(tables):.2f} s, {rounds[0]['wrong']} of {rounds[0]['texts']} wrong"
        )


if __name__ == "__main__":
    main()
