"""How near in meaning are two sentences, from 1 to 5?"""

from selfsup.metrics import Correlation
from selfsup.objectives import Regression
from selfsup.task import DataSet, Prompt, Task

task = Task(
    objective=Regression,
    metrics=(Correlation,),
    data=(
        # Local only: the Hub has it as a script.
        DataSet("sick", {"text": "sentence_A", "text_pair": "sentence_B", "number": "relatedness_score"}),
    ),
    prompt=Prompt("{text}\n{text_pair}\nRelated, from 1 to 5: {number}"),
)
