"""Is a sentence of a film review for the film or against it?"""

from selfsup.metrics import Accuracy
from selfsup.objectives import Classification
from selfsup.task import DataSet, Human, Prompt, Task

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
    prompt=Prompt(
        "Review: {text}\nSentiment: {label}",
        "Is the review of the film positive or negative?",
    ),  # Zhao et al. 2021, "Calibrate Before Use", table 5, has the template
)
