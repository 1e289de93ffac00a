"""Pretrain on your own pictures, without labels: `pretrain_pictures.py --corpus FOLDER --output RUN`, or `--help`."""

from pathlib import Path
from typing import Any

from selfsup.data.album import PictureDataConfig
from selfsup.objectives import MaskedAutoencoding
from selfsup.objectives.pictures import Sight
from selfsup.optim.optimizers import OptimConfig
from selfsup.training.command import command
from selfsup.training.export import HubConfig
from selfsup.training.loop import TrainConfig
from selfsup.training.seeing import pretrain_pictures


def main(
    corpus: str,
    output: Path,
    kind: str,
    data: PictureDataConfig,
    optim: OptimConfig,
    train: TrainConfig,
    objective: Sight | None = None,  # a class in the recipe would leave its arguments to one that a flag names
    fields: dict[str, Any] = {},  # noqa: B006 - read only
    hub: HubConfig = HubConfig(),
    data_root: Path | None = None,
    init_from: str | None = None,
    resume: bool = False, trust_remote_code: bool = False, arguments: str = "",
) -> None:  # fmt: skip
    """Pretrain a model of pictures.

    Args:
        corpus: a folder of pictures, a table (.parquet, .jsonl, .csv) with a column of them, a data set of the Hub, or
            "digits", which come with scikit-learn.
        output: folder of the run: model/, checkpoints/, metrics.jsonl, curves.png, results.json, run.yaml.
        kind: of a fresh model, as transformers calls it: selfsup_masked_autoencoder, selfsup_vit, selfsup_convnet,
            vit_mae, resnet …; ignored with `init_from`, and so are the fields.
        data: which pictures, and how they are dealt out.
        optim: how weights move.
        train: how long, and what is left behind.
        objective: MaskedPatches, Contrastive or Rotation; MaskedAutoencoding if absent.
        fields: of its configuration: {hidden_size: 64}; size and channels are those of the pictures, unless named.
        hub: what the model card says, and where the model is pushed.
        data_root: folder that mirrors the Hub: <id>/<config>/<split>.parquet; or the variable SELFSUP_DATA_ROOT.
        init_from: a run, a checkpoint, an exported folder or a model of the Hub to go on from.
        resume: go on from the last checkpoint in `output`.
        trust_remote_code: run Python files that come with `init_from`.
    """
    pretrain_pictures(
        corpus, output, objective or MaskedAutoencoding(), kind, fields, data, optim, train, hub, data_root=data_root,
        init_from=init_from, resume=resume, trust_remote_code=trust_remote_code, arguments=arguments,
    )  # fmt: skip


if __name__ == "__main__":
    command(main, recipe=Path(__file__).parent / "recipes" / "pretrain_pictures_tiny.yaml")
