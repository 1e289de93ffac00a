"""Is a sentence of a film review for the film or against it?"""

from selfsup.metrics import Accuracy
from selfsup.objectives import Classification
from selfsup.task import DataSet, Human, Task

task = Task(
    objective=Classification,
    metrics=(Accuracy,),
    data=(
        DataSet(
            "stanfordnlp/sst2",
            {"text": "sentence", "label": "label"},
            labels=("negative", "positive"),
            human=Human(0.978, 'Nangia & Bowman 2019, "Human vs. Muppet": SST-2, test'),
        ),
    ),
    prompt="{text}\nSentiment: {label}",
)
