"""Is a sentence grammatical English?"""

from selfsup.metrics import Matthews
from selfsup.objectives import Classification
from selfsup.task import DataSet, Human, Prompt, Task

task = Task(
    objective=Classification,
    metrics=(Matthews,),
    data=(
        DataSet(
            "nyu-mll/glue/cola",
            {"text": "sentence", "label": "label"},
            labels=("unacceptable", "acceptable"),
            human=Human(0.664, 'Nangia & Bowman 2019, "Human vs. Muppet": CoLA, test'),
        ),
    ),
    prompt=Prompt(
        "Sentence: {text}\nGrammatical: {label}",
        "Is the sentence grammatical English?",
        {"unacceptable": "no", "acceptable": "yes"},
    ),
)
