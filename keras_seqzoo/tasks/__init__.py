"""Tasks: what a model is for. One file a task: its head, loss, metrics and serving outputs."""
