"""An encoder of TF Hub in every format of `export_model`: raw text to answer, in its own runtime.

    python benchmarks/format_speed.py --hub FOLDER --rounds 5

SavedModel, plain and `optimize="int8"`, and OpenVINO read the texts, the others what
`tokenizer.json` makes of them, padded to the longest of a batch. All answer the same texts of
SST-2's test part in turn, in one process: some one by one, and batches of 32 drawn at random. Each
runtime has as many threads as it takes by itself. The head is drawn: answers, but not their worth,
are compared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from quality import ROOT, SETS

import keras_seqzoo as sz
from keras_seqzoo.serving import formats
from keras_seqzoo.serving.tokenizer_files import features_of

BATCH = 32
Answer = Callable[[list[str]], Any]


def served(path: Path) -> Answer:
    """A SavedModel as a server loads it."""
    from keras_seqzoo.serving.session import SavedSession

    session = SavedSession(path)
    return lambda texts: session.run(
        "serving_default", {"text": np.array([t.encode() for t in texts], object)}
    )["probabilities"]


def other(path: Path, format: str) -> Answer:
    """An artifact for another runtime."""
    from tokenizers import Tokenizer

    kind = formats._FORMATS[format]
    ask = kind.load(path / kind.file)
    if not (path / "tokenizer.json").exists():
        return lambda texts: ask({"text": np.array(texts)})["probabilities"]
    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))

    def answer(texts: list[str]) -> Any:
        inputs = {k: v.numpy() for k, v in features_of(tokenizer, texts).items()}
        return ask(inputs)["probabilities"]

    return answer


def main() -> None:
    """Prints a row a format."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = ROOT.parent / "shared"
    parser.add_argument("--hub", type=Path, default=shared / "hub" / "minilm_L-6_H-384_A-12")
    parser.add_argument("--data", type=Path, default=shared / "data")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    train, _, test = SETS["sst2"](given.data)
    texts = [test.texts[at] for at in np.random.default_rng(0).permutation(len(test))][:256]
    model = sz.build_model(str(given.hub), train)
    asked: dict[str, Answer] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = sz.export_model(model, Path(folder, "a"))
        asked["saved_model"] = served(path)
        path = sz.export_model(model, path.parent, optimize="int8", warmup=list(train.texts[:256]))
        asked["saved_model, int8"] = served(path)
        for format in formats._FORMATS:
            asked[format] = other(
                sz.export_model(model, Path(folder, format), format=format), format
            )
        times: dict[str, Any] = {name: ([], []) for name in asked}
        for number in range(given.rounds + 1):
            for name, answer in asked.items():
                alone, begun = [], time.perf_counter()
                for start in range(0, len(texts), BATCH):
                    answer(texts[start : start + BATCH])
                together = len(texts) / (time.perf_counter() - begun)
                for text in texts[:60]:
                    begun = time.perf_counter()
                    answer([text])
                    alone.append(1e3 * (time.perf_counter() - begun))
                if number:  # the first round warms up
                    times[name][0].append(statistics.median(alone))
                    times[name][1].append(together)
        wanted = asked["saved_model"](texts)
        print("| format | one text, ms | least to most | texts/s by 32 | least to most | apart |")
        print("|---|---|---|---|---|---|")
        for name, (alone, rates) in times.items():
            print(
                f"| {name} | {statistics.median(alone):.1f} | {min(alone):.1f} to {max(alone):.1f} "
                f"| {statistics.median(rates):.0f} | {min(rates):.0f} to {max(rates):.0f} "
                f"| {np.abs(asked[name](texts) - wanted).max():.0e} |"
            )
        print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
