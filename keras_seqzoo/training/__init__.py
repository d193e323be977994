"""Training: callbacks, optimizers, learning rates, checkpoints, and several devices or workers."""
