"""Which part of speech is each word of a sentence?"""

from selfsup.metrics import TagAccuracy
from selfsup.objectives import Tagging
from selfsup.task import DataSet, Prompt, Task

task = Task(
    objective=Tagging,
    metrics=(TagAccuracy,),
    data=(
        DataSet(
            "universal_dependencies/en_ewt",
            {"words": "tokens", "tags": "upos"},
            hub="commul/universal_dependencies/en_ewt",  # parquet, made from the treebank; its validation is called dev
        ),
    ),
    prompt=Prompt("{words}\nParts of speech: {tags}"),
)
