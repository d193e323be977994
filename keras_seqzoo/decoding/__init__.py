"""Generates tokens one after another: the parts that `generate` and `prompt` share."""
