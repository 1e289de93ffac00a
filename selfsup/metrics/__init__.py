"""How outputs are scored: every file one metric, opened when its class is first asked for."""

import importlib
from typing import Any

# Not imported here: `evaluate` takes seconds, and training needs intervals of shares alone.
FILES = {
    "Accuracy": "accuracy",
    "Attachment": "attachment",
    "Bleu": "bleu",
    "Chrf": "chrf",
    "Correlation": "correlation",
    "ExactMatch": "exact_match",
    "F1": "f1",
    "Matthews": "matthews",
    "Mention": "mention",
    "Sari": "sari",
    "SpanF1": "span_f1",
    "Squad": "squad",
    "TagAccuracy": "tag_accuracy",
    "TallyMetric": "metric",
}

__all__ = list(FILES)


def __getattr__(name: str) -> Any:
    if name not in FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{FILES[name]}"), name)
