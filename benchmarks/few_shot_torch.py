"""The PyTorch peer of `few_shot.py`, which starts it; needs `setfit` only."""

from __future__ import annotations

import json
import sys

from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments


def main(weights: str) -> None:
    """Reads a draw from every line of standard input, and prints the answers to its test texts."""
    for line in sys.stdin:
        given = json.loads(line)
        model = SetFitModel.from_pretrained(weights)
        settings = TrainingArguments(
            batch_size=16,
            num_epochs=1,
            num_iterations=20,
            seed=given["seed"],
            save_strategy="no",
            report_to="none",
        )
        rows = Dataset.from_dict({"text": given["texts"], "label": given["labels"]})
        Trainer(model=model, args=settings, train_dataset=rows).train()
        answers = model.predict(given["test"], batch_size=64, show_progress_bar=False)
        print(json.dumps([int(answer) for answer in answers]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
