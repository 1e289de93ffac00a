"""Do two sentences of the news mean the same?"""

from functools import partial

from selfsup.metrics import F1, Accuracy
from selfsup.objectives import Classification
from selfsup.task import DataSet, Human, Prompt, Task

task = Task(
    objective=Classification,
    metrics=(partial(F1, positive="equivalent"), Accuracy),
    data=(
        DataSet(
            "nyu-mll/glue/mrpc",
            {"text": "sentence1", "text_pair": "sentence2", "label": "label"},
            labels=("not_equivalent", "equivalent"),
            human=Human(0.863, 'Nangia & Bowman 2019, "Human vs. Muppet": MRPC, test (accuracy 0.808)'),
        ),
    ),
    prompt=Prompt(
        "First: {text}\nSecond: {text_pair}\nThe same: {label}",
        "Do the two sentences mean the same?",
        {"not_equivalent": "no", "equivalent": "yes"},
    ),
)
