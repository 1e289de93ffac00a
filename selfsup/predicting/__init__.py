"""What a trained model says: of examples in memory, of the rows of a file, of a question and a passage, of a text."""

from selfsup.predicting.answering import QuestionAnswerer
from selfsup.predicting.translating import Translator

__all__ = ["QuestionAnswerer", "Translator"]
