"""How good answers are: figures, their intervals, and tests of differences. No TensorFlow."""
