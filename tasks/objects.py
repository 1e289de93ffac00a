"""Which of ten kinds of things does a small photograph show?"""

from selfsup.metrics import Accuracy
from selfsup.objectives import ImageClassification
from selfsup.task import DataSet, Human, Task

task = Task(
    objective=ImageClassification,
    metrics=(Accuracy,),
    data=(
        DataSet(
            "uoft-cs/cifar10",
            {"image": ("img", "image"), "label": "label"},
            labels=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
            held_out="test",
            human=Human(0.939, "Ho-Phuoc 2018, CIFAR10 to Compare Visual Recognition Performance"),
        ),
    ),
)
