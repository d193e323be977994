"""Tasks: what a model is for. One file a task: its head, loss, metrics and serving outputs."""

TASKS = {
    "classify": "keras_seqzoo.tasks.classify",
    "embed": "keras_seqzoo.tasks.embed",
    "generate": "keras_seqzoo.tasks.generate",
    "prompt": "keras_seqzoo.tasks.prompt",
}

# What a model is for where the data tells what is to be answered, and the user does not say.
TASK_OF_TARGET = {
    "class": "classify",
    "labels": "label",
    "number": "regress",
    "future": "forecast",
}
