"""Makes batches of features from tables: tokenized once, bucketed by length, redrawn each epoch."""
