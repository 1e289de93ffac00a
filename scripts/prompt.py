"""Ask a model in words: `prompt.py --task sentiment --model FOLDER --output runs/prompted --shots '[0,1,2,4,8]'`."""

from pathlib import Path
from typing import Literal

from selfsup.examples import DataChoice
from selfsup.task import load_task
from selfsup.training.command import command

TASKS = Path(__file__).parents[1] / "tasks"


def main(
    task: str, model: str, output: Path | None = None, query: dict[str, str] = {},  # noqa: B006 - read only
    shots: tuple[int, ...] = (0, 1, 2, 4, 8), orderings: int = 5, control: bool = False,
    max_examples: int | None = None, demonstrations: Literal["random", "balanced", "nearest"] = "balanced",
    scoring: Literal["sum", "mean", "calibrated"] = "sum",
    template: str | None = None, description: str | None = None, verbalisers: dict[str, str] = {},  # noqa: B006
    data: DataChoice = DataChoice(), data_root: Path | None = None,
    seed: int = 0, batch_size: int = 16, trust_remote_code: bool = False, arguments: str = "",
) -> None:  # fmt: skip
    """Solve a task by a prompt, without a change of weights: description, examples with their answers, query.

    Args:
        task: a file of tasks/ by name, or a path to one.
        model: one that goes on with a text: a run, an exported folder, or a Hub id.
        output: folder of results.json, predictions.jsonl and shots.png; those of other arguments are not replaced.
        query: one example of your own, by role, in place of those held out: --query.text "so dull".
        shots: numbers of examples in a prompt; a query gets the last one.
        orderings: draws of examples and their order, for the mean and its interval.
        control: ask again with labels by chance.
        max_examples: to ask about at most, drawn once.
        demonstrations: which examples are shown; nearest shares most words with the query. All come from training.
        scoring: of the words of a label: sum of log-likelihood, mean of their tokens, or calibrated by what they get
            after the same prompt about nothing.
        template: in place of the task's; the answer stands last: "{text} It was {label}".
        description: in place of the task's; "" for none.
        verbalisers: words for labels, by name: --verbalisers.positive great.
        data: which data, as for finetune.py.
        data_root: folder that mirrors the Hub: <id>/<config>/<split>.parquet; or the variable SELFSUP_DATA_ROOT.
        seed: of all draws.
        batch_size: sequences of a forward pass; no result depends on it.
        trust_remote_code: run Python files that come with the model; our own need none.
    """
    from selfsup.predicting.opening import one_process
    from selfsup.prompting import asking
    from selfsup.prompting.shots import ShotConfig

    config = ShotConfig(shots, orderings, demonstrations, control, seed)
    found, device = asking.reworded(load_task(task, TASKS), template, description, verbalisers), one_process().device
    opened = asking.Opened(model, device, scoring, batch_size, trust_remote_code)
    if query:
        print(asking.ask(found, query, opened, config, data, data_root))
    else:
        asking.report(found, opened, config, data, data_root, output, max_examples=max_examples, arguments=arguments)


if __name__ == "__main__":
    command(main)
