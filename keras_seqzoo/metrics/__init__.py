"""What answers are worth: figures, their intervals, and tests of differences. No TensorFlow."""
