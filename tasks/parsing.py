"""On which other word does each word of a sentence depend, and how?"""

from typing import ClassVar

from selfsup.metrics import Attachment, ExactMatch
from selfsup.metrics.trees import write_tree
from selfsup.objectives import SequenceToSequence
from selfsup.task import DataSet, Prompt, Task


class Parsing(SequenceToSequence):
    """A dependency tree, written as a sequence: see `write_tree`.

    Reads `words`, `heads` (places of words from 1 on; 0 for the root) and `relations`.
    """

    roles: ClassVar[tuple[str, ...]] = ("words", "heads", "relations")

    def source(self, example) -> str:
        return " ".join(example["words"])

    def target(self, example) -> str:
        return write_tree(example["words"], example["heads"], example["relations"])


task = Task(
    objective=Parsing,
    metrics=(Attachment, ExactMatch),
    data=(
        DataSet(
            "universal_dependencies/en_ewt",
            {"words": "tokens", "heads": "head", "relations": "deprel"},
            hub="commul/universal_dependencies/en_ewt",  # parquet, made from the treebank; its validation is called dev
        ),
    ),
    prompt=Prompt("{words}\nHead of each word, by its place: {heads}"),
)
