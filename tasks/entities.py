"""Which words of a sentence name a person, a place, an organisation? Tags begin with B- and I-, or are O."""

from selfsup.metrics import SpanF1, TagAccuracy
from selfsup.objectives import Tagging
from selfsup.task import DataSet, Prompt, Task

task = Task(
    objective=Tagging,
    metrics=(SpanF1, TagAccuracy),
    # The data set itself is a script; the Hub keeps its conversion to parquet as a revision.
    data=(DataSet("eriktks/conll2003@convert/parquet", {"words": "tokens", "tags": "ner_tags"}),),
    prompt=Prompt("{words}\nNames: {tags}"),
)
