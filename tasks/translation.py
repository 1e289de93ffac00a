"""What does an English sentence say in German, or in French?"""

from selfsup.metrics import Bleu, Chrf
from selfsup.objectives import SequenceToSequence
from selfsup.task import DataSet, Prompt, Task

task = Task(
    objective=SequenceToSequence,
    metrics=(Bleu, Chrf),
    data=(
        DataSet("bentrevett/multi30k", {"source": "en", "target": "de"}),
        # Local only: the Hub has it in English and German alone. Prompts want --template here, for it names a language.
        DataSet("bentrevett/multi30k", {"source": "en", "target": "fr"}, called="multi30k-en-fr"),
    ),
    prompt=Prompt("English: {source}\nGerman: {target}", "Translate from English to German."),
)
