"""Comparison: several models trained and measured alike, and which of them to take."""
