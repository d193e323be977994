"""Evaluation: how good the answers are, as scikit-learn scores them."""
