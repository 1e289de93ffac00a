"""What a trained model says: of examples in memory, of the rows of a file, of a question and a passage."""

from selfsup.predicting.answering import QuestionAnswerer

__all__ = ["QuestionAnswerer"]
