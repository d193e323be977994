"""Classifies a CSV by asking a GPT-2, without training.

python examples/ask_by_prompt.py gpt2 examples/data/reviews.csv
python examples/ask_by_prompt.py path/to/a/gpt2_checkpoint my.csv --text t --label l
"""

import argparse
from pathlib import Path

import keras_seqzoo as sz

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model", help="gpt2, gpt2_medium, … or a folder of a checkpoint")
parser.add_argument("csv", nargs="?", default=Path(__file__).parent / "data" / "reviews.csv")
parser.add_argument("--text", default="review")
parser.add_argument("--label", default="sentiment")
parser.add_argument("--rows", type=int, default=200, help="rows to ask about")
arguments = parser.parse_args()

table = sz.read_table(arguments.csv, text=arguments.text, label=arguments.label)
rest, _, asked = table.split(test=min(0.5, arguments.rows / len(table)), valid=0, seed=0)
shown = [
    (text, table.classes[label])
    for text, label in zip(rest.texts[:4], rest.labels[:4], strict=True)
]
ways = {
    "plain": {},
    "calibrated": {"calibrate": True},
    "4 examples, calibrated": {"examples": shown, "calibrate": True},
}
for name, options in ways.items():
    model = sz.build_model(
        arguments.model,
        task="prompt",
        classes=table.classes,
        template="Review: {text}\nSentiment: {label}",
        **options,
    )
    report = sz.evaluate(model, asked)
    print(f"{name}: accuracy {report.accuracy:.4f}, macro-F1 {report.macro_f1:.4f}")
