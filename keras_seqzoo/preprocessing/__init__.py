"""Text to ids: one TensorFlow graph for training, `predict` and the SavedModel."""
