"""From the cells of a row to the values of roles: text, image, label, words, tags, heads, answers; or why not."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from selfsup.data.files import LONE_SURROGATE
from selfsup.data.images import PictureForm

# Roles that are absent where only predictions are wanted.
ANSWERS = ("label", "tags", "answers", "number", "target", "heads", "relations")
LISTS = ("words", "tags", "answers", "heads", "relations")  # roles that CSV has no cells for
NO_LABEL = "no label (-1)"  # as the Hub marks rows whose labels are kept elsewhere


def reader(
    role: str,
    column: str,
    *,
    names: tuple[str, ...] = (),
    several: bool = False,
    is_text: bool = False,
    form: PictureForm | None = None,
) -> Callable[[Any, bool], Any]:
    """What reads the cells of a role.

    Args:
        role: text, image, label, words, tags, heads, relations, answers, number, target, id; any other is text.
        column: where the cells stand, for sentences.
        names: of labels and tags, in the order of their numbers; then no other label is taken.
        several: a label is a list.
        is_text: cells are strings, as in CSV, that may stand for numbers.
        form: of pictures, as the model wants them.
    Returns:
        from a cell, and whether it must be filled, to its value; it refuses a cell with a ValueError, by `NO_LABEL` one
        whose label is kept elsewhere.
    Example:
        >>> reader("label", "label", names=("bad", "good"))(1, True)
        'good'
    """
    match role:
        case "image":
            if form is None:
                raise ValueError(f"a model that reads pictures is wanted for {column!r}, but this one reads text")
            return form.reader(column)
        case "label" if not several:
            return lambda value, _: _label(value, column=column, names=names, is_text=is_text)
        case "label" | "tags":
            return partial(_labels, column=column, names=names)
        case "words" | "relations":
            return partial(_words, column=column)
        case "heads":
            return partial(_heads, column=column)
        case "target":
            return partial(_target, column=column)
        case "answers":
            return partial(_answers, column=column)
        case "number":
            return partial(_number, column=column, is_text=is_text)
        case "id":
            return lambda value, _: None if value is None else str(value)
        case _:
            return partial(_text, column=column)


def compare_lengths(example: dict[str, Any]) -> None:
    """Refuse words and tags of different length, and words that have no head or no relation each."""
    words = example.get("words")
    for role, one in {"tags": "tag", "heads": "head", "relations": "relation"}.items():
        values = example.get(role)
        if words is not None and values is not None and len(words) != len(values):
            raise ValueError(
                f"a {one} for each word was wanted, but there are {len(words)} words and {len(values)} {role}"
            )


def _text(value: Any, needed: bool, *, column: str) -> str | None:
    if value is None and not needed:
        return None
    if not isinstance(value, str | None):
        raise ValueError(f"text was wanted in {column!r}, but {_short(value)} came")
    if not value or value.isspace():
        raise ValueError(f"text was wanted in {column!r}, but it is {'missing' if value is None else 'empty'}")
    if half := LONE_SURROGATE.search(value):
        raise ValueError(f"text was wanted in {column!r}, but it holds half a character, \\u{ord(half[0]):04x}")
    return value


def _words(value: Any, needed: bool, *, column: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ValueError(f"a list of words was wanted in {column!r}, but {_short(value)} came")
    if not value:
        raise ValueError(f"a list of words was wanted in {column!r}, but it is empty")
    if any(LONE_SURROGATE.search(word) for word in value):
        raise ValueError(f"words were wanted in {column!r}, but one holds half a character")
    return value


def _target(value: Any, needed: bool, *, column: str) -> str | None:
    """A text, or a list of texts (its sentences), which is read as one with a space between them."""
    if isinstance(value, list) and value:
        return " ".join(str(_text(part, True, column=column)) for part in value)
    return _text(value, needed, column=column)


def _heads(value: Any, needed: bool, *, column: str) -> list[int]:
    """Places of words, as numbers or as their digits: treebanks on the Hub have the one or the other."""
    cells = value if isinstance(value, list) else []
    heads = [int(head) if isinstance(head, str) and head.isdecimal() else head for head in cells]
    if not heads or not all(type(head) is int and head >= 0 for head in heads):
        raise ValueError(f"a list of heads, as [2, 0, 2], was wanted in {column!r}, but {_short(value)} came")
    return heads


def _label(value: Any, *, column: str, names: tuple[str, ...], is_text: bool) -> str:
    value = value.strip() if isinstance(value, str) else value
    if value is None or value == "" or value != value:  # NaN
        raise ValueError(f"a label was wanted in {column!r}, but it is missing")
    if isinstance(value, str) and is_text and value not in names:
        value = _as_number(value)
    if isinstance(value, bool) and not names:
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value == -1:
        raise ValueError(NO_LABEL)
    if isinstance(value, int) and names:
        if not 0 <= value < len(names):
            raise ValueError(
                f"a label from 0 to {len(names) - 1} ({_few(names)}) was wanted in {column!r}, but {value} came"
            )
        return names[value]
    if isinstance(value, int) and value >= 0:
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"a label was wanted in {column!r}, a name or a number from 0 on, but {_short(value)} came")
    if names and value not in names:
        raise ValueError(f"a label was wanted in {column!r} that is one of {_few(names)}, but {value!r} came")
    return value


def _labels(value: Any, needed: bool, *, column: str, names: tuple[str, ...]) -> list[str]:
    if not isinstance(value, list):
        raise ValueError(f"a list of labels was wanted in {column!r}, but {_short(value)} came")
    if -1 in value and value != [-1] * len(value):
        raise ValueError(f"labels were wanted in {column!r}, but some of them are -1, which is none")
    return [_label(label, column=column, names=names, is_text=False) for label in value]


def _number(value: Any, needed: bool, *, column: str, is_text: bool) -> float:
    if isinstance(value, str) and is_text:
        value = _as_number(value)
    if value is None or value == "" or value != value:  # NaN
        raise ValueError(f"a number was wanted in {column!r}, but it is missing")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"a number was wanted in {column!r}, but {_short(value)} came")
    return float(value)


def _answers(value: Any, needed: bool, *, column: str) -> dict[str, list[Any]]:
    """As SQuAD has them, or as a list of pairs."""
    if isinstance(value, list) and all(isinstance(answer, dict) for answer in value):
        value = {key: [answer.get(key) for answer in value] for key in ("text", "answer_start")}
    texts, starts = (value.get(key) for key in ("text", "answer_start")) if isinstance(value, dict) else (None, None)
    right = isinstance(texts, list) and isinstance(starts, list) and len(texts) == len(starts)
    if not right or not all(isinstance(t, str) and type(s) is int for t, s in zip(texts, starts, strict=True)):  # type: ignore[arg-type]
        form = '{"text": ["a mill"], "answer_start": [17]}'
        raise ValueError(f"answers like {form} were wanted in {column!r}, but {_short(value)} came")
    return {"text": texts, "answer_start": starts}  # type: ignore[dict-item]


def _as_number(text: str) -> Any:
    """The number that a cell of CSV holds; other cells as they are."""
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (" …" if len(names) > 20 else "")


def _short(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
