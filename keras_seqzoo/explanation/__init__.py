"""Explanation: which words of a text made a model say what it says."""
