"""Evaluation: how good the answers are, by the scores of scikit-learn."""
