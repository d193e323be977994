"""`sz.compare` on real data: tables of docs/benchmarks/, and what comparing costs.

    python benchmarks/comparison.py sst2 --hub DIR/minilm_L-6_H-384_A-12 --budget 15min --seeds 1

Data sets are looked for in ../shared/data, beside the clone; see `--data`; `reviews` are the
bundled ones. Everything, with the page (`report.html`), goes to `--folder`, and a run that was
interrupted goes on there. The table is written to `benchmarks/results/comparison_<set>.md`, a
plot of time and quality beside it; both hold no text of the data.
"""

from __future__ import annotations

import argparse
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from quality import SETS

import keras_seqzoo as sz

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SMALL = {
    "weights": None,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 128,
    "intermediate_dim": 512,
}
MODELS: dict[str, Any] = {
    "lstm": "lstm",
    "gru": "gru",
    "bilstm": "bilstm",
    "bigru": "bigru",
    "electra 2 x 128": {"model": "electra_small", **SMALL, "embedding_dim": 128, "epochs": 5},
    "distilbert 6 x 768": {"model": "distilbert", "weights": None},
}
# Small models that take something of the encoder, which is `minilm`.
STUDENTS: dict[str, Any] = {
    "static, its words": {"model": "static"},
    "bigru, its words": {"model": "bigru"},
    "bigru, its words, taught": {"model": "bigru", "teacher": "minilm"},
    "bigru, its words, taught, 5 texts made of each": {
        "model": "bigru",
        "teacher": "minilm",
        "augment": 5,
    },
}
SHOWN = {
    "macro_f1": "{:.3f}",
    "accuracy": "{:.3f}",
    "log_loss": "{:.3f}",
    "calibration_error": "{:.3f}",
    "parameters": "{:,.0f}",
    "training_s": "{:,.0f}",
    "examples_per_s": "{:,.0f}",
    "size_mb": "{:,.1f}",
    "p50_ms": "{:,.2f}",
    "p95_ms": "{:,.2f}",
    "texts_per_s": "{:,.0f}",
    "memory_mb": "{:,.0f}",
}


def main() -> None:
    """Compares, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=[*SETS, "reviews"])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--hub", type=Path, help="a TF Hub encoder, which stands as `minilm`")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument(
        "--students", action="store_true", help="with --hub: small models of its words and answers"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.set == "reviews":
        table = sz.read_table(ROOT / "examples/data/reviews.csv", text="review", label="sentiment")
        parts = table.split(valid=0.1, test=0.1, seed=0)
    else:
        parts = SETS[arguments.set](arguments.data)
    models = {name: MODELS[name] for name in arguments.models}
    if arguments.hub:
        models["minilm"] = str(arguments.hub)
    if arguments.hub and arguments.students:
        models |= {k: {**v, "vectors": str(arguments.hub)} for k, v in STUDENTS.items()}
    folder = arguments.folder or Path("comparisons") / arguments.set
    options = [f"--seeds {arguments.seeds}"]
    options += [f"--budget {arguments.budget}"] if arguments.budget else []
    options += ["--hub DIR"] if arguments.hub else []
    options += ["--students"] if arguments.students else []
    if list(arguments.models) != list(MODELS):
        options.append("--models " + " ".join(map(repr, arguments.models)))
    command = f"python benchmarks/comparison.py {arguments.set} {' '.join(options)}"
    comparison = sz.compare(
        models,
        *parts,
        seeds=arguments.seeds,
        budget=arguments.budget,
        folder=folder,
        command=command,
    )
    print(comparison)
    print(f"\n{comparison.recommend()}")
    comparison.save(folder / "report")
    name = f"{'students' if arguments.students else 'comparison'}_{arguments.set}"
    text = markdown(arguments.set, comparison, command)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / f"{name}.md").write_text(text, encoding="utf-8")
    for picture in sorted((folder / "report").rglob("cost_p95_ms.png")):
        shutil.copy(picture, arguments.out / f"{name}_{picture.name}")


def markdown(name: str, comparison: sz.Comparison, command: str) -> str:
    """The table, what differs, and how long what took."""
    table = comparison.table
    head = ["model", "macro-F1 (95 %)", *list(SHOWN)[1:], "notes"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for label, row in table.iterrows():
        cells = ["" if row[c] != row[c] else form.format(row[c]) for c, form in SHOWN.items()]
        if cells[0]:
            cells[0] += f" ({row['macro_f1_low']:.3f} to {row['macro_f1_high']:.3f})"
        entry = next(e for e in comparison.results.entries if e.label == label)
        notes = "; ".join({*(run.stopped for run in entry.runs), entry.missing} - {""})
        lines.append(f"| {label} | " + " | ".join(cells) + f" | {notes} |")
    date = datetime.now(UTC).date().isoformat()
    environment = ", ".join(f"{k} {v}" for k, v in comparison.results.environment.items())
    return "\n\n".join(
        [
            f"# `compare` on {name}, {date}",
            f"`{command}` on {environment}",
            "\n".join(lines),
            "\n".join(f"- {difference}" for difference in comparison.differences),
            str(comparison.recommend()),
            "\n".join(times(comparison)) + "\n",
        ]
    )


def times(comparison: sz.Comparison) -> list[str]:
    """What the whole took, and what its parts, as the workers measured them."""
    parts: dict[str, float] = {}
    for path in comparison.folder.glob("models/*/facts.json"):
        for part, seconds in json.loads(path.read_text())["seconds"].items():
            parts[part] = parts.get(part, 0.0) + seconds
    whole = comparison.results.seconds
    inside = sum(parts.values())
    work = inside - parts.get("imports", 0.0)
    rows = "".join(f"| {part} | {seconds:,.1f} |\n" for part, seconds in parts.items())
    table = "| part, all models | s |\n|---|---|\n" + rows
    if whole is None:
        return [table, "It was made in several calls, so that the whole was not timed."]
    return [
        table,
        f"Whole {whole:,.1f} s; parts {inside:,.1f} s: {100 * (whole / inside - 1):.1f} % more. "
        f"Without the imports of TensorFlow, which each process makes: {work:,.1f} s, "
        f"{100 * (whole / work - 1):.1f} % more.",
    ]


if __name__ == "__main__":
    main()
