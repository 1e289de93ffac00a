"""What every metric promises; a new file in selfsup/metrics is found and tested without a word here."""

import importlib
import inspect
import pkgutil
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import evaluate
import numpy as np
import pytest
from numpy.random import Generator, default_rng

import selfsup.metrics
from selfsup.metrics.metric import TallyMetric

NAMES = ["B-place", "I-place", "O"]  # labels, tags and answers at once
TEXTS = ["The old house stands by the river.", "An old mill stands by the river!", "Nobody lives in the house by it."]
TREES = ["We nsubj+1 saw root+0 it obj-1", "Rain nsubj+1 fell root+0", "No det+1 one nsubj+1 saw root+0 us obj-1"]
DRAWN = {"Attachment": TREES, "Bleu": TEXTS, "Chrf": TEXTS, "Sari": TEXTS}  # what texts are drawn from; names elsewhere
EXAMPLES = 41


def found() -> list[type[TallyMetric]]:
    """Concrete metrics of all files of the room."""
    kinds = set()
    for room in pkgutil.iter_modules(selfsup.metrics.__path__, "selfsup.metrics."):
        for kind in vars(importlib.import_module(room.name)).values():
            if inspect.isclass(kind) and issubclass(kind, TallyMetric) and not inspect.isabstract(kind):
                kinds.add(kind)
    return sorted(kinds, key=lambda kind: kind.__name__)


def value(feature: Any, rng: Generator, texts: list[str], least: int = 0) -> Any:
    """Something of a kind that a metric takes; lists are as long as `least`, or longer."""
    if isinstance(feature, dict):  # a source and its targets: of several that differ no prediction is perfect
        return {
            name: [value(of.feature, rng, texts)] if isinstance(of, datasets.List) else value(of, rng, texts)
            for name, of in feature.items()
        }
    if isinstance(feature, datasets.List):
        return [value(feature.feature, rng, texts) for _ in range(rng.integers(least, 5))]
    drawn = {"string": rng.choice(texts).item(), "int64": int(rng.integers(3)), "float64": float(rng.integers(9))}
    return drawn[feature.dtype]


def perfect(features: datasets.Features, reference: Any) -> Any:
    """The prediction that nothing beats: the reference, or the first of several, or nothing where there are none."""
    if features["predictions"] == features["references"]:
        return reference
    golds = reference["targets"] if isinstance(reference, dict) else reference
    return golds[0] if golds else ""


def spoilt(features: datasets.Features, prediction: Any, rng: Generator, texts: list[str]) -> Any:
    """Another prediction of the same length."""
    if isinstance(prediction, list):
        return [value(features["predictions"].feature, rng, texts) for _ in prediction]
    return value(features["predictions"], rng, texts)


@pytest.fixture(
    params=[(kind, number) for kind in found() for number in range(len(kind.takes))],
    ids=lambda param: f"{param[0].__name__}-{param[1]}",
)
def case(request):
    """A metric, references, and predictions that are perfect or not."""
    kind, number = request.param
    features, rng = kind.takes[number], default_rng(0)
    labels = list(range(3)) if "int64" in str(features) else NAMES
    options = {"labels": labels} if "labels" in inspect.signature(kind).parameters else {}
    texts = DRAWN.get(kind.__name__, NAMES)
    one_of_several = features["predictions"] != features["references"]
    least = int(one_of_several and kind.__name__ != "Squad")  # a question may have no answer
    references = [value(features["references"], rng, texts, least) for _ in range(EXAMPLES)]
    best = [perfect(features, reference) for reference in references]
    some = [spoilt(features, prediction, rng, texts) if rng.random() < 0.4 else prediction for prediction in best]
    return kind(**options), options, references, best, some


def test_the_room_exports_all_that_is_found():
    assert {kind.__name__ for kind in found()} | {"TallyMetric"} == set(selfsup.metrics.__all__)
    assert all(getattr(selfsup.metrics, kind.__name__) is kind for kind in found())
    with pytest.raises(AttributeError, match="no attribute 'Precision'"):
        selfsup.metrics.Precision  # noqa: B018


def test_intervals_need_no_metrics():
    """Training reads them, and `evaluate` takes seconds to import."""
    asked = (
        "import sys, selfsup.metrics.wilson, selfsup.metrics.bootstrap\n"
        "print({'evaluate', 'datasets'} & {*sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True).stdout == "set()\n"


def test_perfect_is_best(case):
    metric, _, references, best, some = case
    at_best, otherwise = (metric.compute(predictions=side, references=references) for side in (best, some))
    assert at_best[metric.main] == pytest.approx(1, abs=1e-12)
    assert otherwise[metric.main] < 1
    assert at_best.keys() == otherwise.keys()
    assert all(otherwise[name] <= at_best[name] + 1e-12 for name in at_best)
    assert all(-1 <= figure <= 1 for figure in otherwise.values())


def test_figures_of_parts_add_up(case):
    """Halves of the examples, added, give the figures of all; and every example has a row of its own."""
    metric, _, references, _, some = case
    whole = metric.tallies(some, references)
    assert whole.shape[0] == EXAMPLES
    assert whole.dtype == np.float64
    parts = [metric.tallies(some[part], references[part]) for part in (slice(17), slice(17, None))]
    if not metric.whole_sample:
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    figures = metric.figures(whole[:17].sum(axis=0) + whole[17:].sum(axis=0))
    wanted = metric.compute(predictions=some, references=references)
    assert {name: float(figure) for name, figure in figures.items()} == pytest.approx(wanted, abs=1e-12)


def test_figures_take_any_leading_axes(case):
    metric, _, references, _, some = case
    weights = default_rng(1).multinomial(EXAMPLES, np.full(EXAMPLES, 1 / EXAMPLES), size=(2, 3))
    totals = weights @ metric.tallies(some, references)
    together = metric.figures(totals)
    np.testing.assert_array_equal(metric.figure(totals), together[metric.main])
    for place in np.ndindex(2, 3):
        for name, figure in metric.figures(totals[place]).items():
            assert together[name][place] == pytest.approx(float(figure), abs=1e-12)


def test_batches_come_to_the_same(case):
    metric, _, references, _, some = case
    for part in (slice(9), slice(9, 30), slice(30, None)):
        metric.add_batch(predictions=some[part], references=references[part])
    assert metric.compute() == metric.compute(predictions=some, references=references)


def test_nothing_and_uneven_pairs_are_refused_in_a_sentence(case):
    metric, _, references, _, some = case
    for call in (metric.compute, lambda **given: metric.tallies(**given)):
        with pytest.raises(ValueError, match=r"^predictions and references are wanted, but none came: "):
            call(predictions=[], references=[])
        with pytest.raises(ValueError, match=r"^one prediction for each reference is wanted, but 41 came for 40$"):
            call(predictions=some, references=references[1:])
    with pytest.raises(ValueError, match="but none came"):
        metric.compute()
    assert metric.main in metric.compute(predictions=some, references=references)  # and goes on as if nothing had been


@pytest.fixture(scope="module")
def caches(tmp_path_factory) -> Iterator[Path]:
    """Folders of evaluate's own, one for all tests: Python knows only one place of `evaluate_modules`."""
    folder = tmp_path_factory.mktemp("caches")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate.config, "HF_MODULES_CACHE", str(folder / "modules"))
        patch.setattr(evaluate.config, "HF_METRICS_CACHE", str(folder / "metrics"))
        patch.setattr(sys, "path", [*sys.path])
        yield folder
    for name in [name for name in sys.modules if name.startswith("evaluate_modules")]:
        del sys.modules[name]


def test_a_file_on_its_own_can_be_loaded(case, caches, tmp_path, monkeypatch):
    """By path, without network, and with nothing written beside it or into a cache of metrics."""
    metric, options, references, _, some = case
    room = tmp_path / "room"
    room.mkdir()
    source = Path(inspect.getfile(type(metric)))
    shutil.copy(source, room)
    monkeypatch.chdir(room)
    loaded = evaluate.load(str(room / source.name), **options)
    assert type(loaded) is not type(metric)
    wanted = metric.compute(predictions=some, references=references)
    assert loaded.compute(predictions=some, references=references) == wanted
    prefixed = evaluate.combine({"a": loaded, "b": metric}).compute(predictions=some, references=references)
    assert prefixed == {f"{side}_{name}": figure for side in "ab" for name, figure in wanted.items()}
    assert [path.name for path in room.iterdir()] == [source.name]
    assert not (caches / "metrics").exists()
