"""What can be said of a run, and what to try then."""

from collections.abc import Mapping
from enum import StrEnum


class Verdict(StrEnum):
    """What is said of a run."""

    MODEL_BIAS = "the model is too small for the data (model bias)"
    OPTIMISATION = "the optimisation is stuck"
    OVERFITTING = "it overfits"
    MISMATCH = "train and test differ (mismatch)"
    HEALTHY = "nothing is wrong that these curves could show"
    UNDECIDED = "not enough evidence"


ADVICE: Mapping[Verdict, tuple[str, ...]] = {
    Verdict.MODEL_BIAS: (
        "Take a wider or deeper model, or one of a kind that suits the data.",
        "Give it inputs that tell more: more context, more features.",
        "Weaken what holds it back: dropout, weight decay, frozen layers.",
    ),
    Verdict.OPTIMISATION: (
        "Sweep the learning rate, three times up and three times down, with warm-up; let it train longer.",
        "Use an optimizer that adapts (AdamW), and clip gradients that burst.",
        "Start better: a standard initialisation, normalisation, residual connections, or pretrained weights.",
    ),
    Verdict.OVERFITTING: (
        "Get more examples, or make them: augmentation, pretraining on text without labels.",
        "Stop where the slice loss is least and keep those weights; add dropout or weight decay.",
        "Take a smaller model, share or freeze weights; look for wrong labels in train.",
    ),
    Verdict.MISMATCH: (
        "Look at test examples with the highest loss: what is there that train lacks?",
        "Check that both splits go through the same preprocessing, and that label numbers mean the same.",
        "Train on examples like those of test, weigh those up that are, or adapt to its inputs without labels.",
    ),
    Verdict.HEALTHY: ("To get lower still, ask for more: a lower floor.",),
    Verdict.UNDECIDED: ("Check that inputs and labels belong together, and that a person could do the task.",),
}
GIVE_FLOOR = "Say what loss would be good and give it as `floor`."
GIVE_SLICE = "Cut a slice from train, never learn from it, and log its loss: it tells overfitting from mismatch."
GIVE_TEST = "Score the test split: without it a mismatch cannot be seen."
GIVE_LARGER = "Train a larger model alike and give it as `larger`."
GIVE_LONGER = "Train the same model longer or with another learning rate and give it as `longer`."
HOLD_OUT_MORE = "Cut a larger slice and test on more: gaps as small as these may be chance."
