"""Distillation: a model learns the answers of another model."""
