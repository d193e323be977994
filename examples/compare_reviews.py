"""Compares models on a CSV, says which to take and why, writes the report, exports the choice.

python examples/compare_reviews.py
python examples/compare_reviews.py my.csv --models lstm bigru --seeds 1 --max-latency-ms 2

The folder keeps what was trained: the same command goes on where an earlier one ended.
"""

import argparse
from pathlib import Path

import keras_seqzoo as sz

# Learns from the CSV alone. A name such as electra_small downloads a pretrained encoder instead.
SMALL_ELECTRA = {
    "model": "electra_small", "weights": None, "num_layers": 2, "hidden_dim": 64, "num_heads": 2,
    "intermediate_dim": 256, "embedding_dim": 64, "vocabulary_size": 2000, "sequence_length": 128,
    "learning_rate": 1e-3,
}  # fmt: skip

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("csv", nargs="?", default=Path(__file__).parent / "data" / "reviews.csv")
parser.add_argument("--text", default="review")
parser.add_argument("--label", default="sentiment")
parser.add_argument(
    "--models",
    nargs="+",
    default=["lstm", "gru", "small_electra"],
    help="names of sz.list_models(), or small_electra: two layers, from scratch",
)
parser.add_argument("--seeds", type=int, default=3, help="trainings of each model")
parser.add_argument("--budget", default="5min", help="most time of one training")
parser.add_argument("--epochs", type=int, help="most passes over the rows; by default the model's")
parser.add_argument("--rows", type=int, help="train on so many rows only")
parser.add_argument("--max-latency-ms", type=float, default=5.0, help="limit of the second choice")
parser.add_argument("--folder", type=Path, default=Path("comparisons/reviews_example"))
parser.add_argument("--report", type=Path, default=Path("comparisons/reviews_example.html"))
parser.add_argument("--out", type=Path, default=Path("saved_models/reviews_compared"))
arguments = parser.parse_args()

table = sz.read_table(arguments.csv, text=arguments.text, label=arguments.label)
train, valid, test = table.split(valid=0.1, test=0.1, seed=0)
if arguments.rows:
    train = train.take(range(min(arguments.rows, len(train))))

comparison = sz.compare(
    {name: SMALL_ELECTRA if name == "small_electra" else name for name in arguments.models},
    train,
    valid,
    test,
    seeds=arguments.seeds,
    budget=arguments.budget,
    epochs=arguments.epochs,
    folder=arguments.folder,
)
print(comparison)  # the table, and which differences are more than chance

choice = comparison.recommend()
print(f"\nTake {choice}")
limit = arguments.max_latency_ms
try:
    print(f"Within {limit:g} ms a text: {comparison.recommend(max_latency_ms=limit)}")
except ValueError as error:  # no model is as fast
    print(f"Within {limit:g} ms a text: {error}")
print("None is both faster and better than these:", ", ".join(comparison.pareto_front("p95_ms")))

arguments.report.parent.mkdir(parents=True, exist_ok=True)
print("Report:", comparison.to_html(arguments.report))

neural = comparison.table.query("not baseline and missing == ''")
if choice.model in neural.index:
    chosen = choice.model
elif len(neural):
    chosen = neural.index[0]  # the table is sorted by macro-F1
    print(f"{choice.model} is a baseline and has no SavedModel; exporting {chosen} instead")
else:
    raise SystemExit("No model was trained to the end, so there is nothing to export")
exported = sz.export_model(comparison.load(chosen), arguments.out)
print(f"{chosen} is exported to {exported}")
