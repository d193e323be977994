"""Tokens per second of greedy generation with a cache, beside transformers on the same weights.

    python benchmarks/generation_speed.py FOLDER --torch PYTHON

FOLDER holds a GPT-2 in transformers' layout (`make_checkpoint.py` writes one of public size).
"torch" is `transformers.GPT2LMHeadModel.generate` in a process of its own
(`generation_speed_torch.py`). Both write 64 tokens after prompts of 32, in batches of 1 and of 8;
they take turns, the first round warms up, ratios are taken round by round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from pathlib import Path

import tensorflow as tf

import keras_seqzoo as sz
from keras_seqzoo.decoding.samplers import make_sampler, sample_tokens

PROMPT, NEW = 32, 64


def main() -> None:
    """Prints the rates round by round, their medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--torch", required=True, help="Python with torch and transformers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    arguments = parser.parse_args()
    model = sz.build_model(str(arguments.checkpoint), task="generate")
    script = Path(__file__).with_name("generation_speed_torch.py")
    peer = subprocess.Popen(
        [arguments.torch, str(script), str(arguments.checkpoint)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    sampler = make_sampler("greedy")

    @tf.function
    def write(features: dict[str, tf.Tensor], most: tf.Tensor) -> tf.Tensor:
        return sample_tokens(model.decoding, sampler, features, most, [])

    def ours(ids: list[list[int]]) -> list[list[int]]:
        features = {"token_ids": tf.constant(ids), "padding_mask": tf.ones_like(ids)}
        return write(features, tf.constant(NEW)).numpy().tolist()

    def theirs(ids: list[list[int]]) -> list[list[int]]:
        assert peer.stdin is not None
        assert peer.stdout is not None
        peer.stdin.write(json.dumps([ids, NEW]) + "\n")
        peer.stdin.flush()
        return json.loads(peer.stdout.readline())

    for batch in arguments.batches:
        # Any tokens do: the length of what is read and written is what takes time.
        ids = tf.random.stateless_uniform((batch, PROMPT), (0, 1), 0, 50_000, tf.int32)
        rows = ids.numpy().tolist()
        rates: dict[str, list[float]] = {"ours": [], "torch": []}
        for round_number in range(arguments.rounds + 1):
            written = {}
            for name, run in (("ours", ours), ("torch", theirs)):
                begun = time.perf_counter()
                written[name] = run(rows)
                if round_number:
                    rates[name].append(batch * NEW / (time.perf_counter() - begun))
            same = sum(a == b for a, b in zip(written["ours"], written["torch"], strict=True))
            if round_number:
                print(
                    f"batch {batch}  ours {rates['ours'][-1]:.1f}  torch {rates['torch'][-1]:.1f} "
                    f"tokens/s  {same} of {batch} rows written alike",
                    flush=True,
                )
        ratios = [a / b for a, b in zip(rates["ours"], rates["torch"], strict=True)]
        print(
            f"batch {batch}: medians {statistics.median(rates['ours']):.1f} and "
            f"{statistics.median(rates['torch']):.1f} tokens/s; ours / torch: median "
            f"{statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}"
        )


if __name__ == "__main__":
    main()
