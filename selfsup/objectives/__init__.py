"""What is learnt from: every file one objective. Importing the room makes their class names known to commands."""

from selfsup.objectives.answer_span import AnswerSpan
from selfsup.objectives.classification import Classification
from selfsup.objectives.conditional_masked_tokens import ConditionalMaskedTokens
from selfsup.objectives.contrastive import Contrastive
from selfsup.objectives.denoising import Denoising
from selfsup.objectives.image_classification import ImageClassification
from selfsup.objectives.masked_patches import MaskedAutoencoding, MaskedPatches
from selfsup.objectives.masked_tokens import MaskedTokens
from selfsup.objectives.next_sentence import NextSentence
from selfsup.objectives.next_token import NextToken
from selfsup.objectives.objective import Joint, Objective
from selfsup.objectives.regression import Regression
from selfsup.objectives.replaced_tokens import ReplacedTokens
from selfsup.objectives.rotation import Rotation
from selfsup.objectives.sentence_order import SentenceOrder
from selfsup.objectives.sequence_reward import SequenceReward
from selfsup.objectives.sequence_to_sequence import SequenceToSequence
from selfsup.objectives.supervised import Supervised
from selfsup.objectives.tagging import Tagging

__all__ = [
    "AnswerSpan",
    "Classification",
    "ConditionalMaskedTokens",
    "Contrastive",
    "Denoising",
    "ImageClassification",
    "Joint",
    "MaskedAutoencoding",
    "MaskedPatches",
    "MaskedTokens",
    "NextSentence",
    "NextToken",
    "Objective",
    "Regression",
    "ReplacedTokens",
    "Rotation",
    "SentenceOrder",
    "SequenceReward",
    "SequenceToSequence",
    "Supervised",
    "Tagging",
]
