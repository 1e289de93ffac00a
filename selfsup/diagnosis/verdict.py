"""Diagnosis of a training run from its curves: which of four troubles it has, by what evidence, and what to try.

What a model lacks on the test split is a sum of parts, and each has a cure of its own:

    test - floor  =  (train - floor)   too small a model, or an optimisation that is stuck
                   + (slice - train)   overfitting: the slice was cut from train, so only memory tells them apart
                   + (test - slice)    mismatch: neither was trained on, so only where they come from tells them apart

The first part is split by other runs. The same model, trained longer or otherwise, that comes down: it could, and was
not brought to it. A larger model that comes down: the smaller one could not. A larger model that stays above the
smaller one: it could copy that one and does not, so the optimisation is stuck. A larger model that learns as little as
the smaller one, nothing: size is not what is lacking.

Source: Hung-yi Lee 2021, "Machine Learning", National Taiwan University, lecture "General Guide"; He et al. 2016,
"Deep Residual Learning for Image Recognition", figure 1, for the last. The sum is Ng 2018, "Machine Learning
Yearning", chapters 40 to 43.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selfsup.diagnosis.advice import (
    ADVICE,
    GIVE_FLOOR,
    GIVE_LARGER,
    GIVE_LONGER,
    GIVE_SLICE,
    GIVE_TEST,
    HOLD_OUT_MORE,
    Verdict,
)
from selfsup.diagnosis.curves import Curves, end

# All thresholds are shares, so the unit of a loss cancels.
# Of what there is to learn, blind - floor:
LARGE = 0.2  # a part that is worth a verdict; a slice of some hundred examples is sure to about a twentieth only
UNLEARNT = 0.5  # a model that has not learnt half of its training data is not said to overfit, whatever the slice says
LITTLE = 0.1  # a run that got no further than this has learnt nothing
# Of what is missing in the training loss, train - floor:
MADE_UP = 0.5  # the same model otherwise trained makes up half: the greater share was a matter of optimisation
HELPS = 0.25  # a comparison run makes up a quarter: more than chance, though it may want to be larger or longer still
HARMS = 0.1  # a larger model, or a constant guess, differs by a tenth: more than runs differ by seed on a plateau
FALLING = 0.1  # the last third of the run brought a tenth: it was ended, not done
FEWEST_TO_FALL = 4  # points; the first of fewer still holds the start of the run

COULD_COPY = "It could copy this model and let the rest do nothing, but is not brought there."
_BEYOND_TRAINING: Mapping[str, tuple[Verdict, tuple[str, ...]]] = {
    "slice": (Verdict.OVERFITTING, ()),
    "test": (Verdict.MISMATCH, ()),
    "slice or test": (Verdict.UNDECIDED, (GIVE_SLICE,)),
}


@dataclass(frozen=True)
class Diagnosis:
    """A verdict and its reasons.

    Args:
        verdict: one of `Verdict`.
        evidence: sentences with the numbers behind it.
        advice: sentences on what to try, the most promising first.
        parts: shares of what there is to learn that are missing, by where they are lost.
    """

    verdict: Verdict
    evidence: tuple[str, ...]
    advice: tuple[str, ...]
    parts: Mapping[str, float]


def diagnose(curves: Curves, *, larger: Curves | None = None, longer: Curves | None = None) -> Diagnosis:
    """Say what a run suffers from; what cannot be told for want of a run or a curve is said to be so.

    Args:
        curves: of the run in question, with its floor and blind; where these are absent, the lowest and the highest
            training loss of all runs stand in.
        larger: a run of a larger model, trained alike on the same data.
        longer: a run of the same model on the same data, trained longer or otherwise.
    Returns:
        verdict, evidence and advice; the same when all losses, floor and blind are multiplied by one number.
    Raises:
        ValueError: no loss of the runs is above the floor, or a loss is below 0 and no floor is given.
    Example:
        >>> run = Curves([(1, 0.5), (2, 0.1), (3, 0.0)], slice=[(3, 0.6)], test=[(3, 0.65)], floor=0.0, blind=0.7)
        >>> diagnose(run).verdict
        <Verdict.OVERFITTING: 'it overfits'>
    """
    runs = [run for run in (curves, larger, longer) if run is not None]
    floor, blind, evidence = _bounds(curves, runs)
    parts = _parts(curves, floor, blind)
    evidence += _told(curves, parts)
    worst = "training" if parts["training"] >= UNLEARNT else max(parts, key=lambda part: parts[part])
    if parts[worst] < LARGE:
        verdict, wanted = _nothing_large(curves, larger, longer, parts, blind, evidence)
    elif worst == "training":
        verdict, wanted = _bias_or_optimisation(curves, larger, longer, floor, blind, evidence)
    else:
        verdict, wanted = _BEYOND_TRAINING[worst]
    return Diagnosis(verdict, tuple(evidence), wanted or ADVICE[verdict], parts)


def _bounds(curves: Curves, runs: Sequence[Curves]) -> tuple[float, float, list[str]]:
    """Floor and blind, and what there is to say of them."""
    floor, blind = curves.floor, curves.blind
    evidence = []
    if blind is None:
        blind = max(loss for run in runs for _, loss in run.train)
        evidence.append(f"No blind loss was given: the highest training loss, {blind:.4g}, stands in.")
    if floor is None:
        floor = min(run.fit for run in runs)
        evidence.append(f"No floor was given: the lowest loss that a run came to on train, {floor:.4g}, stands in.")
        if floor < 0 or blind <= 0:
            raise ValueError(
                f"a floor is wanted where losses are not above 0, but none came with {floor:.4g}: give one"
            )
    elif blind <= floor:
        raise ValueError(
            f"losses above the floor are wanted, but all are below {floor:g}: give blind, or a lower floor"
        )
    else:
        evidence.append(f"There is {blind - floor:.4g} to learn, from {blind:.4g} (blind) down to {floor:.4g} (floor).")
    return floor, blind, evidence


def _parts(curves: Curves, floor: float, blind: float) -> dict[str, float]:
    """Shares of what there is to learn, by where they are lost; a test loss without a slice cannot be split.

    Where no floor is known it lies between 0 and what a run has reached, and each share is the least that it can be.
    """
    whole, held_out = blind - (0.0 if curves.floor is None else floor), curves.slice_loss
    parts = {"training": (curves.fit - floor) / whole}
    if held_out is not None:
        parts["slice"] = (held_out - curves.fit) / whole
    if curves.test:
        lost = (curves.test[-1][1] - (curves.fit if held_out is None else held_out)) / whole
        parts["test" if held_out is not None else "slice or test"] = lost
    return parts


def _told(curves: Curves, parts: Mapping[str, float]) -> list[str]:
    """What the curves say by themselves, with numbers."""
    least = "at least " if curves.floor is None else ""
    told = [f"Train comes to {curves.fit:.4g}: {least}{parts['training']:.0%} of what there is to learn is missing."]
    if parts["training"] < 0:
        told = [f"Train comes to {curves.fit:.4g}, below the floor."]
    held_out = curves.slice_loss
    if held_out is not None:
        told.append(f"The slice cut from train is at {held_out:.4g}, {parts['slice']:+.0%} from train.")
        best, place = min((loss, place) for place, loss in curves.slice)
        if parts["slice"] >= LARGE and best < held_out:
            told.append(f"It was least at {curves.unit} {place:g}: {best:.4g}.")
    if curves.test:
        part, than = ("test", "the slice") if "test" in parts else ("slice or test", "train")
        told.append(f"Test is at {curves.test[-1][1]:.4g}, {parts[part]:+.0%} from {than}.")
    return told


def _nothing_large(
    curves: Curves,
    larger: Curves | None,
    longer: Curves | None,
    parts: Mapping[str, float],
    blind: float,
    evidence: list[str],
) -> tuple[Verdict, tuple[str, ...]]:
    """Whether all is well, or only looks so because something is not known; says why in `evidence`."""
    learnt = blind - curves.fit
    small = curves.blind is not None and curves.fit < LARGE * blind  # at every floor, for the least is 0
    if curves.floor is None and not small:
        if learnt >= LITTLE * blind and larger and larger.fit - curves.fit >= HARMS * learnt:
            evidence.append(f"The larger one comes to {larger.fit:.4g} only. {COULD_COPY}")
            return Verdict.OPTIMISATION, ()
        if learnt < LITTLE * blind or not (larger and longer):
            return Verdict.UNDECIDED, (GIVE_FLOOR, *_wanted(larger, longer))
    if sum(parts.values()) >= LARGE:
        evidence.append(f"No part is large, but together they are {sum(parts.values()):.0%}.")
        return Verdict.UNDECIDED, (HOLD_OUT_MORE,)
    if curves.slice_loss is None and not curves.test:
        return Verdict.UNDECIDED, (GIVE_SLICE, GIVE_TEST)
    return Verdict.HEALTHY, () if curves.test else (GIVE_TEST,)


def _bias_or_optimisation(
    curves: Curves, larger: Curves | None, longer: Curves | None, floor: float, blind: float, evidence: list[str]
) -> tuple[Verdict, tuple[str, ...]]:
    """Why the training loss is high, from runs that differ in one thing; says so in `evidence`."""
    missing = curves.fit - floor
    if curves.fit - blind >= HARMS * missing:
        evidence.append("That is worse than a constant guess, which any model could make.")
        return Verdict.OPTIMISATION, ()
    by_size, by_training = ((curves.fit - run.fit) / missing if run else 0.0 for run in (larger, longer))
    last = (end(curves.train, until=2 / 3) - end(curves.train)) / missing
    falling = len(curves.train) >= FEWEST_TO_FALL and last >= FALLING
    for run, what, share in ((longer, "same model, otherwise trained,", by_training), (larger, "larger one", by_size)):
        if run:
            evidence.append(f"The {what} comes to {run.fit:.4g}: {share:+.0%} of what was missing is made up.")
    if by_training >= MADE_UP or by_training >= max(HELPS, by_size):
        evidence.append("The model is large enough: trained otherwise, the same one does better.")
        return Verdict.OPTIMISATION, ()
    if by_size <= -HARMS:
        evidence.append(COULD_COPY)
        return Verdict.OPTIMISATION, ()
    if falling and not longer:
        evidence.append(f"The last third of the run still made up {last:.0%} of what is missing now.")
        return (Verdict.UNDECIDED, (GIVE_LONGER,)) if by_size >= HELPS else (Verdict.OPTIMISATION, ())
    if by_size >= HELPS:
        evidence.append("A larger model trained alike does better: this one has come to its end.")
        return Verdict.MODEL_BIAS, ()
    if larger and min(curves.fit, larger.fit) - floor >= (1 - LITTLE) * (blind - floor):
        evidence.append("Both learn nothing, though there is something to learn: size is not what they lack.")
        return Verdict.OPTIMISATION, ADVICE[Verdict.OPTIMISATION] + ADVICE[Verdict.UNDECIDED]
    if larger and longer:
        evidence.append("Neither helps: the floor may be too low, or what would help was not tried.")
        return Verdict.UNDECIDED, ()
    return Verdict.UNDECIDED, _wanted(larger, longer)


def _wanted(larger: Curves | None, longer: Curves | None) -> tuple[str, ...]:
    """Which runs would decide."""
    return tuple(advice for run, advice in ((larger, GIVE_LARGER), (longer, GIVE_LONGER)) if run is None)
