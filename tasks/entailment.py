"""Does a sentence follow from a passage of the news, or not?"""

from selfsup.metrics import Accuracy
from selfsup.objectives import Classification
from selfsup.task import DataSet, Human, Prompt, Task

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
    prompt=Prompt(
        "{text}\nQuestion: {text_pair} True or False?\nAnswer: {label}",
        "Does the statement follow from the passage?",
        {"entailment": "True", "not_entailment": "False"},
    ),  # Brown et al. 2020, "Language Models are Few-Shot Learners", appendix G
)
