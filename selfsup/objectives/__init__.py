"""What is learnt from: every file one objective. Importing the room makes their class names known to commands."""

from selfsup.objectives.answer_span import AnswerSpan
from selfsup.objectives.classification import Classification
from selfsup.objectives.masked_tokens import MaskedTokens
from selfsup.objectives.next_sentence import NextSentence
from selfsup.objectives.next_token import NextToken
from selfsup.objectives.objective import Joint, Objective
from selfsup.objectives.regression import Regression
from selfsup.objectives.replaced_tokens import ReplacedTokens
from selfsup.objectives.sentence_order import SentenceOrder
from selfsup.objectives.supervised import Supervised
from selfsup.objectives.tagging import Tagging

__all__ = [
    "AnswerSpan",
    "Classification",
    "Joint",
    "MaskedTokens",
    "NextSentence",
    "NextToken",
    "Objective",
    "Regression",
    "ReplacedTokens",
    "SentenceOrder",
    "Supervised",
    "Tagging",
]
