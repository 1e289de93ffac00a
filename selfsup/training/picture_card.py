"""The card of a model that was pretrained on pictures: what it reached, how to open it, and what it cannot do."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from selfsup.training.card import (
    amount,
    is_hub_id,
    licences,
    local_name,
    num_parameters,
    save_card,
    training_section,
    unedited,
)
from selfsup.training.record import Text, placeless, read_record, training_text

SCRIPT = "pretrain_pictures.py"
# What `pipeline` calls what an answer can be used for.
_TASKS = {"turn": "image-classification"}
_CALLED = {"patches": "hidden patches", "view": "other view of the same picture", "turn": "which way up"}
_BLIND = {"patches": "the mean of what is visible", "view": "by chance", "turn": "by chance"}


def write_picture_card(
    run: Path,
    figures: Mapping[str, Any],
    *,
    name: str | None = None,
    license: str = "apache-2.0",
    data_license: str | None = None,
    data_name: str | None = None,
) -> bool:
    """Write `model/README.md` of a run on pictures, and put its curves beside it; an edited card is left alone.

    Args:
        run: its folder, with `run.yaml` and the exported `model/`.
        figures: what the run reached, see `summarise`.
        name: on the Hub; the folder itself if absent.
        license: of the weights, as the Hub spells it.
        data_license: of the pictures.
        data_name: what to call them; a Hub id is linked.
    Returns:
        whether the card was written.
    """
    folder = run / "model"
    path = folder / "README.md"
    if path.exists() and not unedited(path.read_text(encoding="utf-8")):
        print(f"card     {path} was edited, so it stays as it is (delete it to have a fresh one)")
        return False
    header, arguments = read_record(run)
    data = training_text(arguments, data_name)
    if (run / "curves.png").exists():
        shutil.copyfile(run / "curves.png", folder / "curves.png")
    name = name or local_name(folder)
    config = json.loads((folder / "config.json").read_text())
    title = run.resolve().name if name.startswith(".") else name.split("/")[-1]
    answers = [found[1] for key in figures if (found := re.fullmatch(r"validation_(\w+)_count", key))]
    task = next((_TASKS[answer] for answer in answers if answer in _TASKS), "image-feature-extraction")
    init_from = arguments.get("init_from")
    front = ModelCardData(
        license=license,
        library_name="transformers",
        pipeline_tag=task,
        tags=["selfsup", "self-supervised", "pretraining", task],
        datasets=[data.id] if data.id else None,
        base_model=init_from if init_from and is_hub_id(init_from) else None,
        model_name=title,
        eval_results=_eval_results(answers, figures, data, task),
    )
    parts = [
        _opening(config, num_parameters(folder), arguments, data),
        _how_to_load(name, config, task),
        _results(answers, header, figures, arguments, data, resumed=any(run.glob("run.[0-9]*.yaml"))),
        training_section(run, header, arguments, figures, data, script=SCRIPT, unit="pictures", of="collection",
                         has_curves=(folder / "curves.png").exists()),
        licences(license, data_license or data.license, data, front.base_model, init_from, of="pictures"),
        _limits(config, figures, data, init_from),
    ]  # fmt: skip
    body = "\n\n".join(parts)
    save_card(f"---\n{front.to_yaml()}\n---\n\n{body}\n", path, name)
    return True


def _eval_results(answers: list[str], figures: Mapping[str, Any], data: Text, task: str) -> list[EvalResult]:
    results = []
    for answer in answers:
        where: dict[str, Any] = {
            "task_type": task,
            "task_name": _CALLED.get(answer, answer),
            "dataset_type": data.id or re.sub(r"[^\w.-]+", "-", data.name).strip("-"),
            "dataset_name": f"{data.name}, validation part",
            "dataset_split": "validation",
        }
        accuracy = figures.get(f"validation_{answer}_accuracy")
        if accuracy is None:
            value = figures[f"validation_{answer}_loss"]
            results.append(EvalResult(**where, metric_type="loss", metric_value=value, metric_name="error of a pixel"))
        else:
            results.append(
                EvalResult(**where, metric_type="accuracy", metric_value=accuracy, metric_name="share right")
            )
    return results


def _opening(config: Mapping[str, Any], size: int, arguments: Mapping[str, Any], data: Text) -> str:
    init_from = arguments.get("init_from")
    begun = "from scratch"
    if init_from:
        begun = f"from {init_from if is_hub_id(init_from) else f'an earlier model, `{Path(init_from).name}`,'}"
    kind = config.get("model_type", "a model").removeprefix("selfsup_").replace("_", " ")
    asked = arguments.get("objective") or {"class_path": "MaskedAutoencoding"}
    objective = str(asked["class_path"]).split(".")[-1]
    return (
        f"# {kind.capitalize()} pretrained on {data.name}\n\n"
        f"{amount(size)} parameters, trained {begun} on {data.link} with {objective} by the library `selfsup`, without "
        "anybody's labels. It is a start for fine-tuning.\n\nThis card was generated from the record of the run."
    )


def _how_to_load(name: str, config: Mapping[str, Any], task: str) -> str:
    trust = ", trust_remote_code=True" if "auto_map" in config else ""
    hides = "mask_ratio" in config  # that of transformers, which also shuffles patches: its body is read as a ViT
    auto = "AutoModelForImageClassification" if task == "image-classification" else "ViTModel" if hides else "AutoModel"
    lines = ["## How to load it", ""]
    if trust:
        lines += [
            "With `torch` and `transformers` alone. The code of the model lies beside its weights, so `transformers` "
            "wants `trust_remote_code=True`.",
            "",
        ]
    lines += [
        "```python",
        "from PIL import Image",
        f"from transformers import AutoImageProcessor, {auto}",
        "",
        f'processor = AutoImageProcessor.from_pretrained("{name}")',
        f'model = {auto}.from_pretrained("{name}"{trust})',
        f'picture = Image.open("picture.png").convert("{"L" if config.get("num_channels") == 1 else "RGB"}")',
        'output = model(**processor(picture, return_tensors="pt"))',
        "print(model.config.id2label[int(output.logits.argmax())])"
        if task == "image-classification"
        else f"print(output.{'last_hidden_state' if hides else 'pooler_output'}.shape)",
        "```",
        "",
        f'To teach it labels: `scripts/finetune.py --task TASK --model "{name}" --output runs/tuned` of `selfsup`.',
    ]
    return "\n".join(lines)


def _results(
    answers: list[str],
    header: Mapping[str, str],
    figures: Mapping[str, Any],
    arguments: Mapping[str, Any],
    data: Text,
    *,
    resumed: bool,
) -> str:
    rows = []
    for answer in answers:
        beside, called = _BLIND.get(answer, "without learning"), _CALLED.get(answer, answer)
        accuracy, blind = (figures.get(f"validation_{answer}_{kind}accuracy") for kind in ("", "blind_"))
        if accuracy is None:
            blind = figures.get(f"validation_{answer}_blind_loss")
            told = "" if blind is None else f"{blind:.4f} ({beside})"
            rows.append((f"{called}: error of a pixel", f"{figures[f'validation_{answer}_loss']:.4f}", told))
            continue
        low, high = (100 * bound for bound in figures[f"validation_{answer}_interval"])
        count = figures[f"validation_{answer}_count"]
        told = "" if blind is None else f"{100 * blind:.1f} % ({beside})"
        share = f"{100 * accuracy:.1f} % ({low:.1f} to {high:.1f}) of {count:,}"
        rows.append((f"{called}: share right (95 % interval)", share, told))
    table = ["| | this model | without learning | printed by |", "|---|---|---|---|"]
    table += [f"| {' | '.join(row)} | (1) |" for row in rows]
    speed = f"{figures['pictures_per_second']:,.0f} pictures/s; {figures['peak_memory_gib']:.2f} GiB"
    table.append(f"| speed (median); peak memory | {speed} | | (1) |")
    chosen = arguments["data"]
    if named := chosen.get("validation"):
        where = f"on other pictures, {Path(str(named)).name if Path(named).exists() else placeless(named)}"
    elif figures.get("held_out", True):
        where = f"on {100 * chosen['validation_share']:g} % of {data.name}, which the training did not read"
    else:
        where = f"on the validation split of {data.name}"
    command = f"`{header['command']}`" if "command" in header else f"`scripts/{SCRIPT}`, with the recipe below"
    return (
        f"## Figures\n\nMeasured {where}: {arguments['train']['eval_rows']:,} pictures at most, each once and asked "
        "the same every time, one run, one seed.\n\n" + "\n".join(table) + f"\n\n(1) {command}, as its last table; "
        + (
            "the run was gone on with under other arguments (the earlier ones are in run.*.yaml), so that command "
            "alone does not give these figures."
            if resumed
            else "with the same data, versions and machine it gives the same figures, speed aside."
        )
    )  # fmt: skip


def _limits(config: Mapping[str, Any], figures: Mapping[str, Any], data: Text, init_from: Any) -> str:
    limits = [
        f"It has seen {figures['corpus_pictures']:,} pictures of {data.name}: of what does not look like them, "
        + ("it knows what the earlier model knew." if init_from else "it knows nothing."),
        f"It reads {'grey pictures' if config.get('num_channels') == 1 else 'colours'}; its image processor makes them "
        "of the size that it wants.",
        "Nothing was filtered for safety, bias or privacy.",
        "It was measured on pictures like those of its training, and on no task.",
    ]
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits)
