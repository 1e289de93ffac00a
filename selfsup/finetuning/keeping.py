"""Whole epochs of a long fine-tuning are kept, so that one that was killed goes on from the last of them."""

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from selfsup.training.checkpoint import Damaged, checkpoints, load_checkpoint, prune, read_state, save_checkpoint

SECONDS = 30.0  # of training that are worth a few files


class KeptEpochs:
    """The last whole epoch, and the best weights so far, in a folder: safetensors and JSON, complete or absent.

    An epoch is kept where the training since the last one, or since the beginning, took long enough. The chance of a
    step is keyed by its number, so whoever goes on comes to the same weights, byte by byte.

    Args:
        folder: for this run alone.
        run: names all that decides its weights; what another run has left behind is not gone on with.
        seconds: of training that are worth keeping.
    """

    def __init__(self, folder: Path, run: str, seconds: float = SECONDS) -> None:
        self.folder, self.run, self.seconds = folder, run, seconds
        self.since = time.monotonic()

    def restore(self, model: nn.Module, optimizer: Optimizer) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
        """Put the last epoch back into a model and its optimizer, in place.

        Returns:
            the lines of the epochs that are done, and the best weights; both empty where nothing was kept.
        """
        self.since = time.monotonic()
        for folder in reversed(checkpoints(self.folder)):
            try:
                state = read_state(folder)
                if state["run"] != self.run:  # the newest stays when old ones go: another run's must not be that
                    shutil.rmtree(folder)
                    continue
                best = load_file(self.folder / state["best"]) if state["best"] else {}
                load_checkpoint(folder, {"model": model}, {"model": optimizer})
            except (Damaged, OSError, SafetensorError):
                continue
            device = next(model.parameters()).device
            return state["curve"], {name: value.to(device) for name, value in best.items()}
        return [], {}

    def keep(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        curve: Sequence[Mapping[str, float]],
        best: Mapping[str, Tensor],
    ) -> None:
        """Keep the epoch that has just ended, if it is worth it; on one process.

        Args:
            model: bare.
            optimizer: its own.
            curve: the lines of all epochs that are done.
            best: weights of the best of them by name; empty where the last is the best.
        """
        if time.monotonic() - self.since < self.seconds:
            return
        try:
            self._write(model, optimizer, curve, best)
        except OSError as error:  # a full disk costs the way back, not the training
            print(f"this epoch could not be kept ({error}): if the run is stopped, it goes on from an earlier one")
        self.since = time.monotonic()

    def _write(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        curve: Sequence[Mapping[str, float]],
        best: Mapping[str, Tensor],
    ) -> None:
        name = f"best-{len(curve):04d}.safetensors" if best else ""
        self.folder.mkdir(parents=True, exist_ok=True)
        if best:  # before the checkpoint that names it; tensors that share memory are written as several
            aside = self.folder / f".{name}"
            save_file({key: value.contiguous().clone() for key, value in best.items()}, aside)
            aside.replace(self.folder / name)
        state = {"run": self.run, "curve": [dict(line) for line in curve], "best": name}
        save_checkpoint(self.folder, len(curve), {"model": model}, {"model": optimizer}, state)
        prune(self.folder, 1, None)
        for old in [*self.folder.glob("best-*.safetensors"), *self.folder.glob(".best-*.safetensors")]:
            if old.name != name:
                old.unlink()

    def delete(self) -> None:
        """Delete all of it, once the run is done."""
        shutil.rmtree(self.folder, ignore_errors=True)
