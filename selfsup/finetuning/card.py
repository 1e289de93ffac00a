"""The card of a fine-tuned model: what it tells, how well, how it was learnt, and how to use it."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData

from selfsup.finetuning.figures import between
from selfsup.finetuning.material import Material
from selfsup.finetuning.provenance import Provenance, provenance
from selfsup.finetuning.scoring import why_kept, without
from selfsup.finetuning.usage import KINDS, SEES, WRITES, aim, snippet
from selfsup.training.card import amount, local_name, num_parameters, save_card, unedited
from selfsup.training.record import placeless, read_record

# What the Hub calls the figures.
_METRICS = {"macro_f1": "f1", "matthews": "matthews_correlation", "pearson": "pearsonr", "spearman": "spearmanr"}


def write_card(run: Path, result: Mapping[str, Any], material: Material) -> bool:
    """Write `model/README.md` of a fine-tuning run, and put its curves beside it.

    Args:
        run: its folder, with run.yaml and, unless it had folds, the exported `model/`.
        result: of `score_task`.
        material: of the task.
    Returns:
        whether it was written: without a model there is none, nor with a head that is not in `KINDS`; one that somebody
        edited is left alone.
    """
    folder, path = run / "model", run / "model" / "README.md"
    kind = KINDS.get(material.task.objective().auto_class)
    if kind is None or not (folder / "config.json").exists() or "folds" in result:
        return False
    if path.exists() and not unedited(path.read_text(encoding="utf-8")):
        print(f"card     {path} was edited, so it stays as it is (delete it to have a fresh one)")
        return False
    if (run / "curves.png").exists():
        shutil.copyfile(run / "curves.png", folder / "curves.png")
    header, arguments = read_record(run)
    config, origin = json.loads((folder / "config.json").read_text()), provenance(material, arguments)
    title, name, scratch = run.resolve().name, local_name(folder), bool(arguments.get("scratch"))
    begun = f"trained from fresh weights in the shape of {origin.base}" if scratch else f"fine-tuned from {origin.base}"
    many, source = (
        ("Many pictures, in a folder", "pictures") if kind == SEES else ("Many rows, in a file", "rows.jsonl")
    )
    pairs = any("text_pair" in example for example in material.train)
    front = front_matter(title, kind, result, material.name, origin, scratch=scratch)
    parts = [
        f"# {title}\n\n{aim(kind, config, material.labels, pairs=pairs)}\n\n{amount(num_parameters(folder))} "
        f"parameters, {begun} for the task `{material.name}` on {origin.text.link} by the library `selfsup`. This card "
        "was generated from the record of the run.",
        f"## How to use it\n\n```python\n{snippet(name, kind, config, pairs=pairs)}\n```\n\n{many}: "
        f'`scripts/predict.py --model "{name}" --input {source} --output predictions.jsonl` of `selfsup`.',
        _figures(result, origin),
        _learning(header, arguments, result, has_curves=(folder / "curves.png").exists()),
        _limits(kind, config, result, origin),
    ]
    body = "\n\n".join(parts)
    save_card(f"---\n{front.to_yaml()}\n---\n\n{body}\n", path, name)
    return True


def front_matter(
    name: str, kind: str, result: Mapping[str, Any], task: str, origin: Provenance, *, scratch: bool = False
) -> ModelCardData:
    """What the Hub reads of a card: tags to be found by, and the figures of the model that was kept."""
    text = origin.text
    results = [
        EvalResult(
            task_type=kind, task_name=task, dataset_type=text.id or "-".join(text.name.split()), dataset_name=text.name,
            dataset_config=origin.config, dataset_split=origin.split, metric_type=_METRICS.get(figure, figure),
            metric_name=figure, metric_value=value,
        )
        for figure, value in result["figures"][result["best_seed"]].items()
    ]  # fmt: skip
    return ModelCardData(
        **origin.inherited,
        library_name="transformers",
        pipeline_tag=kind,
        tags=["selfsup", task],
        datasets=[text.id] if text.id else None,
        base_model=None if scratch else origin.base_id,
        model_name=name,
        eval_results=results,
    )


def _figures(result: Mapping[str, Any], origin: Provenance) -> str:
    human = result["human"]
    beside = [
        between(result["figure"]),
        without(result).replace("  ", " "),
        f"{100 * human[0]:.1f} ({human[1]})" if human else "",
    ]
    lines = [
        "| | this model | mean of the seeds (95 %) | without learning | people |",
        "|---|---|---|---|---|",
    ]
    for name, value in result["figures"][result["best_seed"]].items():
        cells = [name, f"{100 * value:.1f}", *(beside if name == result["metric"] else [""] * 3)]
        lines.append(f"| {' | '.join(cells)} |")
    for name, said in result.get("signatures", {}).items():
        lines += ["", f"Settings of {name}: `{said}`."]
    return (
        f"## Figures\n\nIn hundredths, on {result['held_out']:,} examples of {origin.text.name} ({origin.split}); "
        "they chose neither the epoch nor the seed. The interval is a bootstrap over seeds and examples.\n\n"
        + "\n".join(lines)
    )


def _learning(
    header: Mapping[str, str], arguments: Mapping[str, Any], result: Mapping[str, Any], *, has_curves: bool
) -> str:
    kept, seeds = result["best_seed"], ", ".join(map(str, range(len(result["figures"]))))
    epochs = f"{len(result['curves'][kept])}; kept: number {result['epochs'][kept]}"
    facts = [
        f"- examples: {result['learnt']:,}; epochs: {epochs}",
        f"- seeds: {seeds}; kept: {kept}, {why_kept(result)}",
        *(f"- {what}: {f'`{header[what]}`' if what == 'command' else header[what]}" for what in header),
    ]
    asked = {name: arguments.get(name) for name in ("task", "data", "tune", "objective")}
    recipe = yaml.safe_dump(placeless(asked), sort_keys=False, allow_unicode=True)
    curves = "![Losses and figures by step](curves.png)\n\n" if has_curves else ""
    return (
        "## How it was learnt\n\n" + "\n".join(facts) + f"\n\n{curves}<details><summary>The settings, as "
        f"`scripts/finetune.py --config` reads them</summary>\n\n```yaml\n{recipe}```\n\n</details>"
    )


def _limits(kind: str, config: Mapping[str, Any], result: Mapping[str, Any], origin: Provenance) -> str:
    read = "pictures" if kind == SEES else "text"
    limits = [f"It learnt from {origin.text.name}: on other {read} expect less, and measure."]
    if result["figure"][1] <= result["baseline"][1]:
        limits.append(f"It is not surely better than what needs no learning, the {result['baseline'][0]}.")
    if most := config.get("max_position_embeddings"):
        longer = (
            "a longer text is cut"
            if kind in ("text-classification", WRITES)
            else "`selfsup` reads longer ones in windows"
        )
        limits.append(f"It reads at most {most:,} tokens at once; {longer}.")
    if kind == "token-classification":
        limits.append("The words of `pipeline` stand between spaces; `scripts/predict.py` also parts punctuation.")
    limits.append("The licences of its data and of the model it began from hold. Nothing was filtered for bias.")
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits)
