"""Which of four ways up does a picture lie?"""

from selfsup.metrics import Accuracy
from selfsup.objectives import Rotation
from selfsup.task import DataSet, Task

task = Task(
    objective=Rotation,
    metrics=(Accuracy,),
    data=(
        DataSet("zalando-datasets/fashion_mnist", {"image": "image"}, held_out="test"),
        DataSet("uoft-cs/cifar10", {"image": ("img", "image")}, held_out="test"),
    ),
)
