"""What is the answer to a question about a passage, written rather than found?"""

from typing import ClassVar

from selfsup.metrics import Squad
from selfsup.objectives import SequenceToSequence
from selfsup.task import DataSet, Human, Prompt, Task

ROLES = {"question": "question", "context": "context", "answers": "answers"}


class Answering(SequenceToSequence):
    """The answer to a question, written from the question and the passage behind it.

    Reads `question`, `context` and `answers`; learnt is the first, and any of them is right. The question stands
    first: a passage that is too long loses its end.
    """

    roles: ClassVar[tuple[str, ...]] = ("question", "context", "answers")
    optional: ClassVar[tuple[str, ...]] = ("id",)

    def source(self, example) -> str:
        return f"{example['question']}\n{example['context']}"

    def target(self, example) -> str:
        if not (texts := example["answers"]["text"]):
            raise ValueError("an answer was wanted, but there is none: leave the question out")
        return texts[0]

    def reference(self, example) -> list[str]:
        return list(example["answers"]["text"])


task = Task(
    objective=Answering,
    metrics=(Squad,),
    data=(
        DataSet(
            "rajpurkar/squad", ROLES, human=Human(0.91221, "Rajpurkar et al. 2016, on the leaderboard of SQuAD 1.1")
        ),
        DataSet("squadshifts", ROLES),  # local only: the Hub has it as a script
    ),
    prompt=Prompt("{context}\nQuestion: {question}\nAnswer: {answers}", "Answer each question from its passage."),
)
