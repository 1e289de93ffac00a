"""Where in a passage is the answer to a question?"""

from functools import partial

from selfsup.metrics import Squad
from selfsup.objectives import AnswerSpan
from selfsup.task import DataSet, Human, Prompt, Task

ROLES = {"question": "question", "context": "context", "answers": "answers"}

task = Task(
    objective=partial(AnswerSpan, window=256),
    metrics=(Squad,),
    data=(
        DataSet(
            "rajpurkar/squad", ROLES, human=Human(0.91221, "Rajpurkar et al. 2016, on the leaderboard of SQuAD 1.1")
        ),
        DataSet("squadshifts", ROLES),  # local only: the Hub has it as a script
    ),
    prompt=Prompt("{context}\nQuestion: {question}\nAnswer: {answers}", "Answer each question from its passage."),
)
