"""Where in a passage is the answer to a question?"""

from selfsup.metrics import Squad
from selfsup.objectives import AnswerSpan
from selfsup.task import DataSet, Human, Task

ROLES = {"question": "question", "context": "context", "answers": "answers"}

task = Task(
    objective=AnswerSpan,
    metrics=(Squad,),
    data=(
        DataSet(
            "rajpurkar/squad", ROLES, human=Human(0.91221, "Rajpurkar et al. 2016, on the leaderboard of SQuAD 1.1")
        ),
        DataSet("squadshifts", ROLES),  # local only: the Hub has it as a script
    ),
    prompt="{context}\nQuestion: {question}\nAnswer: {answers}",
)
