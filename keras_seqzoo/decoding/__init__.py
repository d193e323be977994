"""Next tokens, one after another: what `generate` and `prompt` have in common."""
