"""Which of ten kinds of clothes does a small grey picture show?"""

from selfsup.metrics import Accuracy
from selfsup.objectives import ImageClassification
from selfsup.task import DataSet, Human, Task

task = Task(
    objective=ImageClassification,
    metrics=(Accuracy,),
    data=(
        DataSet(
            "zalando-datasets/fashion_mnist",
            {"image": "image", "label": "label"},
            labels=(
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ),
            held_out="test",
            human=Human(0.835, "Xiao et al. 2017, repository of Fashion-MNIST: 1,000 pictures, no expertise"),
        ),
    ),
)
