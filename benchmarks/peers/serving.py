"""Raw text to answer: an exported model beside ONNX Runtime, OpenVINO and transformers.

    bash benchmarks/peers/make_env.sh peers
    python benchmarks/peers/serving.py --peers peers/bin/python --hub FOLDER --checkpoint FOLDER

All answer the same texts with the same weights, those of `--checkpoint`, which must be the encoder
of `--hub`, under the same head, on as many threads, each in a process of its own. Ours is the
export of `sz.export_model` as `keras-seqzoo serve` asks it, and the same with `optimize="int8"`,
its ranges found on 256 training texts of the first set; the peers tokenise with Hugging Face's
tokenizer in Rust and pad to the longest text of a batch. In a round each answers the same batches
of 32, drawn at random, and 50 of the texts one by one; the first round warms up. int8 is compared
with int8. The note says by how much probabilities differ from ours in float32 at most. A process
also loads and, but for ours, converts its model, which its memory includes.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from turns import MINILM, OURS, Worker, command_line, parse, table_rows, take_turns, write

sys.path.insert(0, str(Path(__file__).parents[1]))
from quality import SETS

BATCH = 32
PEERS = ("ONNX Runtime, fused", "ONNX Runtime", "ONNX Runtime, int8", "OpenVINO", "transformers")
OURS_INT8 = "keras_seqzoo, int8"
SCRIPT = Path(__file__).parents[1] / "serving_speed.py"


def export(given: Any, folder: Path) -> None:
    """Writes our two versions, and the head for the peers."""
    order = {"model": str(given.hub), "folder": str(folder), "task": "", "data": ""}
    texts = list(SETS[given.sets[0]](given.shared / "data")[0].texts[:256])
    with Worker(sys.executable, SCRIPT, "--work") as maker:
        maker.do("make", **order, int8=texts)


def start(given: Any, folder: Path, stack: ExitStack) -> dict[str, Worker]:
    """The processes, loaded."""
    workers = {}
    for name, version in ((OURS, "1"), (OURS_INT8, "2")):
        workers[name] = stack.enter_context(Worker(sys.executable, SCRIPT, "--work"))
        workers[name].do("load", path=str(folder / version))
    peer = Path(__file__).with_name("serving_peers.py")
    for name in given.kinds:
        workers[name] = stack.enter_context(Worker(given.peers, peer, name, given.checkpoint))
        workers[name].do("load", head=str(folder / "head.npz"))
        print(f"{name} is ready", flush=True)
    return workers


def measure(name: str, texts: list[str], given: Any, folder: Path) -> list[dict[str, str]]:
    """The rows of one data set."""
    some = texts[: 4 * BATCH]
    int8 = [who for who in (OURS_INT8, *given.kinds) if "int8" in who]
    plain = [who for who in (OURS, *given.kinds) if "int8" not in who]
    with ExitStack() as stack:
        workers = start(given, folder, stack)

        def ask(who: str) -> dict[str, float]:
            rate = len(some) / sum(workers[who].ask(some, BATCH))
            return {"rate": rate, "p50": 1e3 * statistics.median(workers[who].ask(texts[:50]))}

        found = take_turns(workers, given.rounds, ask)
        answers = {
            who: np.array(worker.do("ask", texts=some, batch=BATCH)["answers"])
            for who, worker in workers.items()
        }
        notes = {
            who: f"apart {np.abs(answer - answers[OURS]).max():.0e}"
            for who, answer in answers.items()
        }
        abouts = {who: worker.do("about") for who, worker in workers.items()}
    rows = []
    for kind, names in (("", plain), (", int8", int8)):
        some_found = {who: found[who] for who in names}
        for title, unit, figure in (
            (f"batches of {BATCH}", "texts/s", "rate"),
            ("one text", "ms", "p50"),
        ):
            rows += table_rows(
                f"serving {name}{kind}, {title}", unit, some_found, abouts, notes,
                figure=figure, less=figure == "p50",
            )  # fmt: skip
    return rows


def main() -> None:
    """Measures set by set."""
    parser = command_line(__doc__, PEERS, "peers_serving.csv")
    parser.add_argument("--checkpoint", type=Path, required=True, help="in transformers' layout")
    parser.add_argument("--hub", type=Path, help="the same in TF Hub's layout")
    parser.add_argument("--sets", nargs="+", default=["sst2", "imdb_sample"], choices=list(SETS))
    given = parse(parser)
    given.hub = given.hub or given.shared / MINILM
    with tempfile.TemporaryDirectory() as folder:
        export(given, Path(folder))
        for name in given.sets:
            test = list(SETS[name](given.shared / "data")[2].texts)
            drawn = np.random.default_rng(0).permutation(len(test))
            rows = measure(name, [test[at] for at in drawn], given, Path(folder))
            write(rows, given.out)


if __name__ == "__main__":
    main()
