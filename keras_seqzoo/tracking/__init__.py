"""Models in MLflow: `log` logs a model, and `served` is the code that is logged with it."""
