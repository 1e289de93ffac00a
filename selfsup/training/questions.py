"""Does a text hold anything to ask? Found out before a run, not after it."""

from collections.abc import Iterable, Iterator
from itertools import count

from selfsup.data.dealing import Dealer, Row, Source
from selfsup.objectives.objective import Objective
from selfsup.training.batches import VALIDATION_SEED, batch_of

ROWS = 4096  # of training that are looked at; what is asked more rarely than that is not learnt either


def check_questions(objective: Objective, plan: Dealer, held_out: Dealer, eval_rows: int) -> None:
    """Make sure that every objective asks something, in training and in validation.

    Args:
        objective: bound.
        plan: of the training text.
        held_out: of the validation text.
        eval_rows: rows of validation that are scored.
    Raises:
        ValueError: the text holds no question for one of them.
    """
    for where, corpus, rows, seed in (
        ("training", plan.corpus, _first_rows(plan), plan.seed),
        ("validation", held_out.corpus, held_out.epoch(eval_rows), VALIDATION_SEED),
    ):
        silent = _silent(objective, corpus, rows, seed)
        if silent:
            raise ValueError(
                f"the {where} part of {corpus.name} holds no question for the objective {', '.join(silent)}: give "
                "documents of several sentences or more text"
                + (", hold out more of it (--data.validation_share)" if where == "validation" else "")
                + _without(objective, silent)
            )


def _without(objective: Objective, silent: list[str]) -> str:
    """How to leave out the members of a `Joint` that ask nothing."""
    members = [member for member in getattr(objective, "members", ()) if not set(silent) & set(member.weights)]
    left = ", ".join(f"{next(iter(member.weights))}: {{class_path: {type(member).__name__}}}" for member in members)
    return f", or leave the objective out: --objectives '{{{left}}}'" if left else ""


def _silent(objective: Objective, corpus: Source, rows: Iterable[Row], seed: int) -> list[str]:
    """Names of the answers that no row asks for; as few rows are read as it takes."""
    silent = set(objective.weights)
    for row in rows:
        batch = batch_of(corpus, [row], objective, seed)
        for turn in objective.turns:
            silent -= {name for name, number in objective.counts(batch, turn).items() if number}
        if not silent:
            break
    return sorted(silent)


def _first_rows(plan: Dealer) -> Iterator[Row]:
    """The first rows of training, at most one epoch of them."""
    looked = 0
    for step in count():
        for row in plan.rows(step):
            if looked == ROWS or row[0].epoch:
                return
            yield row
            looked += 1
