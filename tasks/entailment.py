"""Does a sentence follow from a passage of the news, or not?"""

from selfsup.metrics import Accuracy
from selfsup.objectives import Classification
from selfsup.task import DataSet, Human, Task

task = Task(
    objective=Classification,
    metrics=(Accuracy,),
    data=(
        DataSet(
            "nyu-mll/glue/rte",
            {"text": "sentence1", "text_pair": "sentence2", "label": "label"},
            labels=("entailment", "not_entailment"),
            human=Human(0.936, 'Nangia & Bowman 2019, "Human vs. Muppet": RTE, test'),
        ),
    ),
    prompt="{text}\nTherefore: {text_pair}\nThis is: {label}",
)
