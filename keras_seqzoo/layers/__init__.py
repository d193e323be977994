"""The package's own Keras layers."""
