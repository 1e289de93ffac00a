"""Which digit is written here?"""

from selfsup.data.image_folders import DIGITS
from selfsup.metrics import Accuracy
from selfsup.objectives import ImageClassification
from selfsup.task import DataSet, Task

COLUMNS = {"image": "image", "label": "label"}
NAMES = tuple("0123456789")

task = Task(
    objective=ImageClassification,
    metrics=(Accuracy,),
    data=(
        DataSet(DIGITS, COLUMNS, labels=NAMES, held_out="test"),  # 8 x 8 pixels; comes with scikit-learn
        DataSet("ylecun/mnist", COLUMNS, labels=NAMES, held_out="test"),
        DataSet("usps", COLUMNS, labels=NAMES, held_out="test"),  # this and the next under a data root alone
        DataSet("mnist_m", COLUMNS, labels=NAMES, held_out="test"),
    ),
)
