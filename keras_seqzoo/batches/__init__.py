"""From tables to batches of features: tokenised once, bucketed by length, drawn anew each epoch."""
