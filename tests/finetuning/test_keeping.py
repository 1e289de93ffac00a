"""A fine-tuning that was killed goes on from its last whole epoch, and comes to the same, byte by byte."""

import json
from itertools import count
from types import SimpleNamespace

import pytest
import torch

from selfsup.finetuning.keeping import KeptEpochs
from selfsup.finetuning.learning import FineTuneConfig, fine_tune
from selfsup.objectives import Classification


class Killed(Exception):
    pass


@pytest.mark.parametrize(("held_back", "optimizer"), [(True, "AdamW"), (False, "AdamW"), (True, "Muon")])
def test_going_on_is_as_never_stopped(network, about_cats, accelerator, tmp_path, monkeypatch, held_back, optimizer):
    clock = count()  # it is asked at the beginning, and at the end of every epoch
    monkeypatch.setattr("selfsup.finetuning.learning.time", SimpleNamespace(monotonic=lambda: next(clock)))
    config = FineTuneConfig(learning_rate=0.01, optimizer=optimizer, epochs=4, batch_size=8, slice_share=0.0)
    slices = about_cats(9, seed=1) if held_back else []

    def tuned(kept=None, dies_after=None):
        model, objective = network(dropout=0.1)
        corrupt, calls = Classification.corrupt, []

        def counted(example, **options):
            calls.append(options["progress"])
            if dies_after is not None and len(calls) > dies_after:
                raise Killed
            return corrupt(objective, example, **options)

        objective.corrupt = counted
        curve = fine_tune(
            model, objective, about_cats(24), config, seed=3, accelerator=accelerator, held_back=slices, kept=kept
        )
        return model.state_dict(), curve, calls

    whole, curve, progress = tuned()
    assert progress[0] == 0.0
    assert progress[-1] == pytest.approx(11 / 12), "share of the run that has passed"
    folder = tmp_path / "epochs"
    with pytest.raises(Killed):
        tuned(KeptEpochs(folder, "this", seconds=0.0), dies_after=24 * 2 + 5)
    assert len(list(folder.glob("checkpoint-*"))) == 1
    assert not list(folder.rglob("*.bin")) + list(folder.rglob("*.pt"))
    weights, again, calls = tuned(KeptEpochs(folder, "this", seconds=0.0))
    assert len(calls) == 24 * 2, "two of four epochs were there"
    assert again == curve
    assert [line["seconds"] for line in again] == [1, 2, 3, 4], "those before the stop count too"
    assert all(torch.equal(weights[name], whole[name]) for name in whole)
    (state,) = folder.glob("checkpoint-*/state.json")
    older = json.loads(state.read_text())
    for line in older["curve"]:
        del line["seconds"]
    state.write_text(json.dumps(older))
    _, again, calls = tuned(KeptEpochs(folder, "this", seconds=0.0))
    assert (calls, [line["seconds"] for line in again]) == ([], [0] * 4), "all epochs of an older version were there"
    with pytest.raises(Killed):
        tuned(KeptEpochs(folder, "another", seconds=0.0), dies_after=24 * 1 + 5)
    _, _, calls = tuned(KeptEpochs(folder, "another", seconds=0.0))
    assert len(calls) == 24 * 3, "what another run has left behind neither counts nor takes its place"
    KeptEpochs(folder, "this").delete()
    assert not folder.exists()


def test_a_full_disk_costs_the_way_back_and_not_the_training(network, about_cats, accelerator, tmp_path, quick, capsys):
    (tmp_path / "file").touch()  # where no folder can be
    model, objective = network()
    kept = KeptEpochs(tmp_path / "file" / "epochs", "this", seconds=0.0)
    curve = fine_tune(model, objective, about_cats(16), quick, seed=0, accelerator=accelerator, kept=kept)
    assert len(curve) == quick.epochs
    assert "this epoch could not be kept" in capsys.readouterr().out


def test_short_epochs_are_not_worth_it(network, about_cats, accelerator, tmp_path, quick):
    model, objective = network()
    kept = KeptEpochs(tmp_path / "epochs", "this")
    fine_tune(model, objective, about_cats(16), quick, seed=0, accelerator=accelerator, kept=kept)
    assert not (tmp_path / "epochs").exists()
