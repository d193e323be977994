"""What an exported model costs a server: exporting, loading, the first answer, and those after it.

    python benchmarks/serving_speed.py --hub FOLDER
    python benchmarks/serving_speed.py --hub FOLDER --torch PYTHON --checkpoint FOLDER

A row a model: recurrent ones, trained for seconds on the bundled reviews; small transformers (2 x
128) and the TF Hub encoder of `--hub`, under heads that were not trained. All of it goes through
`SavedSession`, which is what `keras-seqzoo serve` asks, from raw text; the last column through that
server, over HTTP on the loopback. Every round takes fresh processes: one that builds and exports,
one that loads and answers at once, one that loads, replays the warm-up requests and then answers;
libraries are imported before a clock starts. Figures are medians of the rounds; p50 and p95 are
those of 300 texts, one at a time.

With `--torch`, transformers' `pipeline("text-classification")` answers the same texts with the
same weights: the encoder of `--checkpoint`, which must be that of `--hub`, under our head
(`serving_speed_torch.py`). Both load in fresh processes each round, then take turns.

    python benchmarks/serving_speed.py --models --wnut FOLDER --hub FOLDER …  # and as above

With `--wnut`, a folder of WNUT 2017, the encoder of `--hub` tags names in its development rows,
under a head that was trained on its training rows for an epoch, and transformers'
`pipeline("token-classification", aggregation_strategy="first")` does with the same weights.

With `--subjqa`, a folder of SubjQA's restaurants, it answers the questions of the test rows, under
pointers that were trained on some training rows for an epoch, and always gives an answer;
`pipeline("question-answering")`, which transformers has up to version 4, reads the same windows.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from peers.turns import Worker, work
from serving_local import (
    RECURRENT,
    Connection,
    Server,
    head_line,
    read_reviews,
    train_model,
)

MODELS = (*RECURRENT, "bert_base", "gpt2")
DEFAULT = ["lstm", "bert_base", "gpt2"]
HUB = "encoder of TF Hub"
LENGTH, STRIDE = 256, 176  # of windows over a context
BATCH, TURNS = 32, 6
Figures = dict[str, list[float]]


def make_tagger(hub: str, wnut: str) -> Any:
    """A tagger whose head alone is trained."""
    import keras

    import keras_seqzoo as sz

    keras.utils.set_random_seed(0)
    table = sz.read_table(Path(wnut) / "wnut17train.conll")
    model = sz.build_model(hub, table, trainable=False)
    model.optimizer.learning_rate = 3e-3
    model.fit(sz.make_dataset(table, model, BATCH, shuffle=True, seed=0), epochs=1, verbose=0)
    return model


def make_answerer(hub: str, subjqa: str) -> Any:
    """A model of questions whose head alone is trained, and which always answers."""
    import keras
    from answering import read

    import keras_seqzoo as sz

    keras.utils.set_random_seed(0)
    with redirect_stdout(sys.stderr):
        table = read(Path(subjqa) / "train.csv").take(range(256))
    model = sz.build_model(hub, table, trainable=False, sequence_length=LENGTH, stride=STRIDE)
    model.optimizer.learning_rate = 3e-3
    model.fit(sz.make_dataset(table, model, BATCH, shuffle=True, seed=0), epochs=1, verbose=0)
    pointers = model.get_layer("logits")
    pointers.threshold.assign(-1e9)
    pointers.bias.assign([0.0, 0.0])  # of no answer, which transformers' head has not
    return model


LEARNT = {"wnut": make_tagger, "subjqa": make_answerer}


def make(order: dict[str, Any]) -> dict[str, Any]:
    """Trains and exports a model."""
    if order["task"]:
        return export(LEARNT[order["task"]](order["model"], order["data"]), order)
    table, _ = read_reviews()
    # Weights do not matter for speed, and a transformer's first steps take a while to compile.
    model = train_model(order["model"], table, 1000 if order["model"] in RECURRENT else 0)
    return export(model, order)


def export(model: Any, order: dict[str, Any]) -> dict[str, Any]:
    """Exports a model, and keeps its head for PyTorch."""
    import keras_seqzoo as sz

    begun = time.perf_counter()
    path = sz.export_model(model, order["folder"])
    seconds = time.perf_counter() - begun
    if order.get("int8"):  # texts of its ranges
        sz.export_model(model, order["folder"], optimize="int8", warmup=order["int8"])
    if Path(order["model"]).is_dir():
        head = model.get_layer("logits")
        np.savez(
            Path(order["folder"]) / "head.npz",
            kernel=head.kernel.numpy(),
            bias=head.bias.numpy(),
            types=model.classes if order["task"] == "wnut" else [],
            windows=[LENGTH, STRIDE] if order["task"] == "subjqa" else [],
        )
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return {"export": seconds, "megabytes": size / 1e6, "path": str(path)}


def serve() -> None:
    """Makes, loads and asks models as it is told."""
    import tensorflow_text  # noqa: F401 - SavedSession would import it while the clock runs

    from keras_seqzoo.serving.session import SavedSession
    from keras_seqzoo.serving.warmup import replay

    session: Any = None

    def do(order: dict[str, Any]) -> Any:
        nonlocal session
        if order["do"] == "make":
            return make(order)
        if order["do"] == "ask":
            return ask(session, order["texts"], order["batch"])
        begun = time.perf_counter()
        if order["do"] == "load":
            session = SavedSession(order["path"])
        else:
            replay(session)
        return {"seconds": time.perf_counter() - begun}

    work(do)


def ask(session: Any, texts: list[Any], size: int) -> dict[str, Any]:
    """Asks a session in batches of `size`; questions come in lists with their contexts."""
    times, answers = [], []
    for start in range(0, len(texts), size):
        begun = time.perf_counter()
        some = texts[start : start + size]
        sides = [some] if isinstance(some[0], str) else zip(*some, strict=True)
        batch = {
            name: np.array([text.encode() for text in side], object)
            for name, side in zip(("text", "text_pair"), sides, strict=False)
        }
        answer = session.run("serving_default", batch)
        times.append(time.perf_counter() - begun)
        if "probabilities" in answer:
            answers += answer["probabilities"].tolist()
            continue
        if "answer" in answer:
            answers += np.stack([answer["start"], answer["end"]], axis=1).tolist()
            continue
        columns = (answer[name].tolist() for name in ("label", "start", "end"))
        rows = (
            [piece for piece in zip(*row, strict=True) if piece[1] >= 0]
            for row in zip(*columns, strict=True)
        )
        answers += [[(kind.decode(), *place) for kind, *place in row] for row in rows]
    return {"times": times, "answers": answers}


def ours() -> Worker:
    """A process of this package."""
    return Worker(sys.executable, __file__, "--work")


def measure(
    model: str, folder: Path, texts: list[Any], peer: Callable[[], Worker] | None, **learnt: str
) -> dict[str, Figures]:
    """A round of one model: figures of `ours`, and of `torch` where there is one."""
    figures: dict[str, Figures] = defaultdict(lambda: defaultdict(list))
    mine = figures["ours"]
    with ExitStack() as workers:
        maker, cold, warm = (workers.enter_context(ours()) for _ in range(3))
        theirs = workers.enter_context(peer()) if peer else None
        made = maker.do("make", model=model, folder=str(folder), **learnt)
        for worker in filter(None, (cold, warm, theirs)):
            worker.wait()
        mine["export"] = [made["export"]]
        mine["megabytes"] = [made["megabytes"]]
        mine["load"] = [cold.do("load", path=made["path"])["seconds"]]
        mine["first, cold"] = cold.ask(texts[:1])
        mine["load"] += [warm.do("load", path=made["path"])["seconds"]]
        mine["warm-up"] = [warm.do("warm up")["seconds"]]
        mine["first, warm"] = warm.ask(texts[:1])
        if theirs is None:
            take_turns({"ours": warm}, texts, figures)
            return figures
        head = str(folder / "head.npz")
        figures["torch"]["load"] = [theirs.do("load", head=head)["seconds"]]
        figures["torch"]["first, cold"] = theirs.ask(texts[:1])
        take_turns({"ours": warm, "torch": theirs}, texts, figures)
    return figures


def take_turns(workers: dict[str, Worker], texts: list[Any], figures: dict[str, Figures]) -> None:
    """Has the workers answer the same texts, some of them at a time, and notes how fast."""
    for worker in workers.values():
        worker.ask(texts[:BATCH], BATCH)  # the first batch of a size takes longer
    times: dict[str, list[float]] = {name: [] for name in workers}
    batches: dict[str, list[float]] = {name: [] for name in workers}
    for turn in range(TURNS):
        for name, worker in workers.items():
            times[name] += worker.ask(texts[turn::TURNS])
    whole = len(texts) // BATCH * BATCH
    while min(map(sum, batches.values())) < 1:  # seconds
        for name, worker in workers.items():
            batches[name] += worker.ask(texts[:whole], BATCH)
    for name in workers:
        figures[name]["p50"], figures[name]["p95"] = ([float(p)] for p in percentiles(times[name]))
        figures[name]["rate"] = [BATCH * len(batches[name]) / sum(batches[name])]
    if len(workers) > 1:
        some = texts[: 2 * BATCH]
        answers = [w.do("ask", texts=some, batch=BATCH)["answers"] for w in workers.values()]
        figures["torch"]["apart"] = [apart(*answers)]
        if not isinstance(texts[0], str):
            alike = workers["torch"].do("ask by words", texts=some)
            figures["torch"]["apart by words"] = [apart(answers[0], alike)]


def apart(ours: list[Any], theirs: list[Any]) -> float:
    """How far probabilities are apart at most, or the share of texts that have other pieces."""
    if all(isinstance(value, float) for row in ours for value in row):
        return float(np.ptp([ours, theirs], axis=0).max())
    return float(np.mean([a != b for a, b in zip(ours, theirs, strict=True)]))


def percentiles(times: list[float]) -> np.ndarray:
    """The median, and what 95 of 100 do not exceed."""
    return np.percentile(times, [50, 95])


def measure_http(folder: Path, names: Iterable[str], texts: list[Any]) -> dict[str, float]:
    """The median seconds of a text through `keras-seqzoo serve`, by model."""
    medians = {}
    with Server(folder) as server:
        connection = Connection(server.port)
        for name in names:
            times = []
            for text in [*texts[:20], *texts]:
                is_one = isinstance(text, str)
                row = text if is_one else dict(zip(("text", "text_pair"), text, strict=True))
                begun = time.perf_counter()
                connection.predict(name, {"instances": [row]})
                times.append(time.perf_counter() - begun)
            medians[name] = statistics.median(times[20:])
        connection.close()
    return medians


COLUMNS: dict[str, tuple[str, float, str]] = {  # figure, factor, format
    "export, s": ("export", 1, ".1f"),
    "on disk, MB": ("megabytes", 1, ".1f"),
    "load, s": ("load", 1, ".2f"),
    "first answer, ms": ("first, cold", 1e3, ".0f"),
    "warm-up, s": ("warm-up", 1, ".2f"),
    "first answer after it, ms": ("first, warm", 1e3, ".1f"),
    "p50, ms": ("p50", 1e3, ".2f"),
    "p95, ms": ("p95", 1e3, ".2f"),
    f"texts/s, batches of {BATCH}": ("rate", 1, ",.0f"),
    "p50 over HTTP, ms": ("http", 1e3, ".2f"),
}
PEER = ("load", "first, cold", "p50", "p95", "rate")


def table(figures: dict[str, Figures]) -> list[str]:
    """A row a model, of medians."""
    lines = [f"| model | {' | '.join(COLUMNS)} |", "|---" * (1 + len(COLUMNS)) + "|"]
    for name, row in figures.items():
        cells = [
            format(factor * statistics.median(row[key]), form)
            for key, factor, form in COLUMNS.values()
        ]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return [*lines, ""]


def compare(mine: Figures, theirs: Figures, task: str) -> list[str]:
    """A row a figure: ours, PyTorch's, and how many times as fast ours is, round by round."""
    lines = ["| | ours | torch | times as fast | range |", "|---|---|---|---|---|"]
    for title, (key, factor, form) in COLUMNS.items():
        if key not in PEER:
            continue
        pairs = list(
            zip(mine[key][:: len(mine[key]) // len(theirs[key])], theirs[key], strict=True)
        )
        ratios = [a / b if key == "rate" else b / a for a, b in pairs]
        cells = [format(factor * statistics.median(f[key]), form) for f in (mine, theirs)]
        lines.append(
            f"| {title} | {' | '.join(cells)} | {statistics.median(ratios):.2f} "
            f"| {min(ratios):.2f} to {max(ratios):.2f} |"
        )
    said = f"by {max(theirs['apart']):.1e} at most"
    if task:
        said = f"in {max(theirs['apart']):.1%} of the texts"
    if task == "subjqa":
        said += f"; in {max(theirs['apart by words']):.1%}, if PyTorch's scores are decoded as ours"
    return [*lines, f"\nAnswers differ {said}.", ""]


def main() -> None:
    """Parses the command line, and runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", choices=MODELS, default=DEFAULT)
    parser.add_argument("--hub", type=Path, help="a TF Hub encoder of BERT's API")
    parser.add_argument("--wnut", default="", help="a folder of WNUT 2017: --hub tags names")
    parser.add_argument("--subjqa", default="", help="of SubjQA: --hub answers questions")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=300, help="at most 500")
    parser.add_argument("--threads", type=int, default=2, help="cores that all may use")
    parser.add_argument("--torch", help="Python of an environment with torch and transformers")
    parser.add_argument("--checkpoint", type=Path, help="the encoder of --hub, for transformers")
    parser.add_argument("--out", type=Path, help="a Markdown file")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        serve()
        return
    if arguments.torch and not (arguments.hub and arguments.checkpoint):
        parser.error("--torch needs --hub and --checkpoint")
    # The processes inherit it, and TensorFlow and PyTorch take as many threads.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
    learnt = {"task": "", "data": ""}
    models = {name: name for name in arguments.models}
    if arguments.hub:
        models[HUB] = str(arguments.hub.resolve())
    texts: list[Any] = read_reviews()[1]
    if arguments.wnut:
        import keras_seqzoo as sz

        learnt = {"task": "wnut", "data": arguments.wnut}
        texts = list(sz.read_table(Path(arguments.wnut) / "emerging.dev.conll").texts)
    if arguments.subjqa:
        from answering import read

        learnt = {"task": "subjqa", "data": arguments.subjqa}
        texts = [list(row) for row in read(Path(arguments.subjqa) / "test.csv").texts]
    texts = texts[: arguments.texts]
    figures: dict[str, dict[str, Figures]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )

    def peer() -> Worker:
        script = Path(__file__).with_name("serving_speed_torch.py")
        return Worker(arguments.torch, script, arguments.checkpoint)

    begun = time.monotonic()
    for number in range(1, arguments.rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            for name, model in models.items():
                theirs = peer if name == HUB and arguments.torch else None
                place = Path(folder) / name.replace(" ", "_")
                for whose, measured in measure(model, place, texts, theirs, **learnt).items():
                    for key, values in measured.items():
                        figures[whose][name][key] += values
                last = {k: v[-1] for k, v in figures["ours"][name].items()}
                told = ", ".join(f"{k} {v:.4g}" for k, v in last.items())
                print(f"{time.monotonic() - begun:.0f} s, {name}: {told}", flush=True)
            places = {name.replace(" ", "_"): name for name in models}
            for place, median in measure_http(Path(folder), places, texts).items():
                figures["ours"][places[place]]["http"].append(median)
            print(f"{time.monotonic() - begun:.0f} s: round {number} is done", flush=True)
    lines = table(figures["ours"])
    if arguments.torch:
        lines += compare(figures["ours"][HUB], figures["torch"][HUB], learnt["task"])
    print("\n".join(lines))
    if arguments.out is not None:
        arguments.out.write_text("\n".join([head_line(), "", *lines]), encoding="utf-8")


if __name__ == "__main__":
    main()
