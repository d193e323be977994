"""GPT-2 writes and scores prompts: our cache and our prompts beside transformers on PyTorch.

    bash benchmarks/peers/make_env.sh peers
    python benchmarks/peers/generation.py --peers peers/bin/python

All have the same weights: of `--checkpoint`, a GPT-2 in transformers' layout, or random ones of its
public size (124 M), as speed does not depend on them.

- writing: greedy, 64 tokens after prompts of 32, in batches of 1 and of 8, beside
  `GPT2LMHeadModel.generate` with its cache. The note says how many rows are the same.
- scoring: `task="prompt"`, a template and two answers for test texts of SST-2, raw text to
  probabilities, in batches of 32. "transformers" reads each prompt once, in order of length, and
  computes the logits of its last token alone, which is all that answers of one token need;
  "transformers, row by answer" reads prompt and answer for each answer, as evaluation harnesses
  do. The note says by how much probabilities differ from ours at most.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from turns import OURS, Run, command_line, contest, parse, runs, work, write

BENCHMARKS = Path(__file__).parents[1]
sys.path.insert(0, str(BENCHMARKS))
PROMPT, NEW, BATCH = 32, 64, 32
TORCH, BY_ANSWER = "transformers", "transformers, row by answer"


def writing(order: dict[str, Any]) -> Run:
    """Tokens after the prompts; what comes of it is what is written."""
    import tensorflow as tf

    import keras_seqzoo as sz
    from keras_seqzoo.decoding.samplers import make_sampler, sample_tokens

    model = sz.build_model(order["checkpoint"], task="generate")
    sampler = make_sampler("greedy")
    ids = tf.constant(order["ids"], tf.int32)
    features = {"token_ids": ids, "padding_mask": tf.ones_like(ids)}

    @tf.function
    def sample(features: dict[str, tf.Tensor], most: tf.Tensor) -> tf.Tensor:
        return sample_tokens(model.decoding, sampler, features, most, [])

    def run() -> tuple[int, Any]:
        written = sample(features, tf.constant(order["new"])).numpy()
        return written.size, written.tolist()

    return run


def scoring(order: dict[str, Any]) -> Run:
    """Raw texts to the probabilities of the answers."""
    import keras_seqzoo as sz

    model = sz.build_model(
        order["checkpoint"], task="prompt", classes=order["answers"],
        template=order["before"] + "{text}" + order["after"] + " {label}",
    )  # fmt: skip

    def run() -> tuple[int, Any]:
        found = model.predict(order["texts"], batch_size=order["batch"], verbose=0)
        return len(found), found.tolist()

    return run


def alike(theirs: list[list[int]], mine: list[list[int]]) -> str:
    """How many rows are written the same."""
    same = sum(a == b for a, b in zip(theirs, mine, strict=True))
    return f"{same} of {len(mine)} rows the same"


def apart(theirs: list[list[float]], mine: list[list[float]]) -> str:
    """By how much probabilities differ at most."""
    return f"apart {np.abs(np.subtract(theirs, mine)).max():.0e}"


def main() -> None:
    """Measures writing batch by batch, then scoring."""
    parser = command_line(__doc__, (TORCH, BY_ANSWER), "peers_generation.csv")
    parser.add_argument("--checkpoint", type=Path, help="a GPT-2 in transformers' layout")
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 8], help="prompts at once")
    parser.add_argument("--texts", type=int, default=256, help="that are scored; 0: none")
    given = parse(parser)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = given.checkpoint or Path(folder) / "gpt2"
        if not given.checkpoint:
            files = [
                given.shared / "tokenizers" / f"gpt2-{name}"
                for name in ("vocab.json", "merges.txt")
            ]
            script = BENCHMARKS / "make_checkpoint.py"
            subprocess.run([given.peers, script, "gpt2", checkpoint, *files], check=True)
        script = Path(__file__).with_name("generation_torch.py")

        def table(title: str, unit: str, kinds: list[str], note: Any, **order: Any) -> None:
            order["checkpoint"] = str(checkpoint)
            commands: dict[str, list[object]] = {
                OURS: [sys.executable, __file__, "--work"],
                **{kind: [given.peers, script, kind] for kind in kinds},
            }
            write(contest(title, unit, commands, order, given.rounds, note), given.out)

        for batch in given.batches:
            # Any tokens do: the length of what is read and written is what takes time.
            ids = np.random.default_rng(0).integers(0, 50_000, (batch, PROMPT)).tolist()
            kinds = [kind for kind in given.kinds if kind == TORCH]
            title = f"GPT-2 writes, {batch} prompt{'s' * (batch > 1)}"
            table(title, "tokens/s", kinds, alike, ids=ids, new=NEW)
        if given.texts:
            from prompting import LABELS, TEMPLATE
            from quality import SETS

            before, after = TEMPLATE.removesuffix(" {label}").split("{text}")
            texts = [str(t) for t in SETS["sst2"](given.shared / "data")[2].texts[: given.texts]]
            table(
                "GPT-2 scores prompts, SST-2", "texts/s", given.kinds, apart, texts=texts,
                before=before, after=after, answers=list(LABELS.values()), batch=BATCH,
            )  # fmt: skip


def load(order: dict[str, Any]) -> Run:
    """Writing or scoring, as the order is."""
    return writing(order) if "ids" in order else scoring(order)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(runs(load))
    else:
        main()
