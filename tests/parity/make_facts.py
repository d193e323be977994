"""Writes tiny checkpoints in transformers' layout, and what transformers says of them.

Needs torch and transformers, which the tests do not:

    pip install torch==2.13.0 transformers==5.23.0 && python tests/parity/make_facts.py

The weights are random (seed 0), large enough that every part of the network matters.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers

HERE = Path(__file__).parent
TEXTS = [
    "A stirring, funny film.",
    "x\n\ny  it's 2026",
    "dull",
    "the cast was good and the story was not",
]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "the", "film", "story", "cast", "was",
          "good", "not", "dull", "funny", "and", "stir", "##ring", "it", "'", "s", ",", ".", "x",
          "y", "2026"]  # fmt: skip


def main() -> None:
    """Writes both folders and the facts."""
    torch.manual_seed(0)
    facts = {
        "made_with": {"torch": torch.__version__, "transformers": transformers.__version__},
        "texts": TEXTS,
        "gpt2_tiny": gpt2(HERE / "gpt2_tiny"),
        "distilbert_tiny": distilbert(HERE / "distilbert_tiny"),
    }
    (HERE / "facts.json").write_text(json.dumps(facts) + "\n")


def gpt2(folder: Path) -> dict[str, object]:
    """A GPT-2 of 2 layers of 16: logits and last states, text by text."""
    from tokenizers import ByteLevelBPETokenizer

    learnt = ByteLevelBPETokenizer()
    learnt.train_from_iterator(TEXTS * 2, 300, 2, special_tokens=["<|endoftext|>"])
    folder.mkdir(exist_ok=True)
    learnt.save_model(str(folder))
    size = learnt.get_vocab_size()
    config = transformers.GPT2Config(
        vocab_size=size, n_positions=48, n_embd=16, n_layer=2, n_head=2,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = random(transformers.GPT2LMHeadModel(config))
    model.save_pretrained(folder)
    answers = []
    for text in TEXTS:
        ids = torch.tensor([learnt.encode(text).ids])
        with torch.no_grad():
            output = model(ids, output_hidden_states=True)
        answers.append(
            {
                "ids": ids[0].tolist(),
                "last_logits": rounded(output.logits[0, -1]),
                "last_state": rounded(output.hidden_states[-1][0, -1]),
            }
        )
    prompt = torch.tensor([learnt.encode(TEXTS[0]).ids])
    greedy = model.generate(
        prompt, max_length=32, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    return {"answers": answers, "greedy": greedy[0].tolist()}


def distilbert(folder: Path) -> dict[str, object]:
    """A DistilBERT of 2 layers of 16: the first token's state, text by text."""
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in PIECES))
    config = transformers.DistilBertConfig(
        vocab_size=len(PIECES), max_position_embeddings=24, dim=16, n_layers=2, n_heads=2,
        hidden_dim=32,
    )  # fmt: skip
    # Under a head, as the public checkpoints are; KerasHub knows their names of weights alone.
    whole = random(transformers.DistilBertForSequenceClassification(config))
    whole.save_pretrained(folder)
    model = whole.distilbert
    tokenizer = transformers.BertTokenizer(str(folder / "vocab.txt"), do_lower_case=True)
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}\n')
    answers = []
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            state = model(input_ids=ids).last_hidden_state
        answers.append(
            {
                "ids": ids[0].tolist(),
                "first_state": rounded(state[0, 0]),
                "mean_state": rounded(state[0].mean(dim=0)),
            }
        )
    return {"answers": answers}


def random(model: torch.nn.Module) -> torch.nn.Module:
    """Draws all weights anew, wider than transformers does."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            norm = "ln_" in name or "norm" in name.lower()
            weight.normal_(1.0 if norm and name.endswith("weight") else 0.0, 0.3)
    return model.eval()


def rounded(values: torch.Tensor) -> list[float]:
    """Numbers for JSON."""
    return [round(float(value), 6) for value in values]


if __name__ == "__main__":
    main()
