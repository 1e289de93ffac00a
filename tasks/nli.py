"""Does a sentence follow from another, contradict it, or neither?"""

from selfsup.metrics import Accuracy
from selfsup.objectives import Classification
from selfsup.task import DataSet, Human, Prompt, Task

LABELS = ("entailment", "neutral", "contradiction")

task = Task(
    objective=Classification,
    metrics=(Accuracy,),
    data=(
        DataSet(
            "stanfordnlp/snli",
            {"text": "premise", "text_pair": "hypothesis", "label": "label"},
            labels=LABELS,
            human=Human(0.890, "Bowman et al. 2015, SNLI: how often one annotator gives the label of most"),
        ),
        # Local only: the Hub has it as a script.
        DataSet("sick", {"text": "sentence_A", "text_pair": "sentence_B", "label": "label"}, labels=LABELS),
    ),
    prompt=Prompt(
        "{text}\nQuestion: {text_pair} True, False, or Neither?\nAnswer: {label}",
        "Does the statement follow from the sentence, contradict it, or neither?",
        {"entailment": "True", "neutral": "Neither", "contradiction": "False"},
    ),  # Brown et al. 2020, "Language Models are Few-Shot Learners", appendix G
)
