"""The model card: what a run did and reached, how to open the model, and what it cannot do."""

import json
import re
import shutil
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from safetensors import safe_open

from selfsup.training.checkpoint import STATE_FILE, checkpoints
from selfsup.training.loading import how_to_load
from selfsup.training.record import Text, placeless, read_record, training_text

# What `pipeline` calls what an answer of pretraining can be used for, and the Auto class that opens it.
_TASKS = {
    "tokens": "fill-mask",
    "next_token": "text-generation",
    "denoised": "text2text-generation",
    "replaced": "token-classification",
    "order": "text-classification",
    "next": "text-classification",
}
_USES = {
    "fill-mask": "It fills in hidden words, and ",
    "token-classification": "It tells tokens that a small generator made up from original ones, and ",
}
_SCRIPTS = {"text-generation": "pretrain_decoder.py", "text2text-generation": "pretrain_encoder_decoder.py"}
_MARKER = re.compile(r"\n<!-- selfsup card (?P<digest>[0-9a-f]{16}) of (?P<name>.+): .*-->\n$")


def write_card(
    run: Path,
    figures: Mapping[str, Any],
    *,
    name: str | None = None,
    license: str = "apache-2.0",
    data_license: str | None = None,
    data_name: str | None = None,
    language: str | None = None,
) -> bool:
    """Write `model/README.md` of a run, and put its curves beside it; a card that somebody edited is left alone.

    Args:
        run: its folder, with `run.yaml` and the exported `model/`.
        figures: what the run reached, see `summarise`.
        name: on the Hub; the folder itself if absent.
        license: of the weights, as the Hub spells it.
        data_license: of the training text.
        data_name: what to call the training text; a Hub id is linked.
        language: code of the language; by default that of the sentence splitter.
    Returns:
        whether the card was written.
    """
    folder = run / "model"
    path = folder / "README.md"
    if path.exists() and not unedited(path.read_text(encoding="utf-8")):
        print(f"card     {path} was edited, so it stays as it is (delete it to have a fresh one)")
        return False
    header, arguments = read_record(run)
    text = training_text(arguments, data_name)
    language = language or arguments["data"]["language"]
    if (run / "curves.png").exists():
        shutil.copyfile(run / "curves.png", folder / "curves.png")
    name = name or local_name(folder)
    config = json.loads((folder / "config.json").read_text())
    title = run.resolve().name if name.startswith(".") else name.split("/")[-1]
    front = front_matter(title, arguments, figures, text, language=language, license=license)
    parts = [
        _opening(config, num_parameters(folder), arguments, text, front.pipeline_tag),
        how_to_load(name, config, front.pipeline_tag, language),
        _results(header, figures, arguments, text, resumed=any(run.glob("run.[0-9]*.yaml"))),
        training_section(
            run,
            header,
            arguments,
            figures,
            text,
            script=_SCRIPTS.get(front.pipeline_tag or "", "pretrain.py"),
            has_curves=(folder / "curves.png").exists(),
        ),
        licences(license, data_license or text.license, text, front.base_model, arguments.get("init_from")),
        _limits(figures, config, text, language, arguments.get("init_from")),
    ]
    body = "\n\n".join(parts)
    save_card(f"---\n{front.to_yaml()}\n---\n\n{body}\n", path, name)
    return True


def readdress(folder: Path, repo: str) -> None:
    """Tell the card of an exported model under which name it is going to be found; an edited card is left alone.

    Args:
        folder: exported.
        repo: user/name.
    """
    path = folder / "README.md"
    found = unedited(path.read_text(encoding="utf-8")) if path.exists() else None
    if found is None or found["name"] == repo:
        return
    card = ModelCard(found.string[: found.start()])
    setattr(card.data, "model_name", repo.split("/")[-1])  # noqa: B010 - typed as the class above
    save_card(str(card).replace(f'"{found["name"]}"', f'"{repo}"'), path, repo)


def num_parameters(folder: Path) -> int:
    """How many numbers the safetensors files of a folder hold; shared ones are in there once."""
    total = 0
    for path in folder.glob("model*.safetensors"):
        with safe_open(path, framework="np") as file:
            for key in file.keys():  # noqa: SIM118 - it is no dictionary
                size = 1
                for width in file.get_slice(key).get_shape():
                    size *= width
                total += size
    return total


def front_matter(
    name: str,
    arguments: Mapping[str, Any],
    figures: Mapping[str, Any],
    text: Text,
    *,
    language: str,
    license: str,
) -> ModelCardData:
    """What the Hub reads of a card: tags to be found by, and the results.

    Args:
        name: of the model.
        arguments: of the run.
        figures: what it reached.
        text: it was trained on.
        language: code.
        license: of the weights.
    """
    task = _task(figures)
    init_from = arguments.get("init_from")
    start = init_from if init_from and is_hub_id(init_from) else None
    return ModelCardData(
        language=language,
        license=license,
        library_name="transformers",
        pipeline_tag=task,
        tags=["selfsup", "self-supervised", "pretraining", task],
        datasets=[text.id] if text.id else None,
        base_model=start,
        model_name=name,
        eval_results=_eval_results(figures, text),
    )


def _eval_results(figures: Mapping[str, Any], text: Text) -> list[EvalResult]:
    results = []
    for answer in _answers(figures):
        if answer == "tokens" and _task(figures) != "fill-mask":
            continue  # the generator's, which is not published
        where: dict[str, Any] = {
            "task_type": _TASKS.get(answer, "other"),
            "task_name": _called(answer),
            "dataset_type": text.id or re.sub(r"[^\w.-]+", "-", text.name).strip("-"),
            "dataset_name": f"{text.name}, validation part",
            "dataset_split": "validation",
        }
        if answer == "tokens":
            value = figures["validation_tokens_perplexity"]
            results.append(
                EvalResult(**where, metric_type="perplexity", metric_value=value, metric_name="masked-token perplexity")
            )
        if answer == "next_token":
            value = figures["validation_bits_per_byte"]
            results.append(
                EvalResult(**where, metric_type="bits_per_byte", metric_value=value, metric_name="bits per byte")
            )
        if f"validation_{answer}_accuracy" in figures:
            value = figures[f"validation_{answer}_accuracy"]
            label = f"share right (95 % interval {_interval(figures, answer)} %)"
            results.append(EvalResult(**where, metric_type="accuracy", metric_value=value, metric_name=label))
    return results


def _opening(config: Mapping[str, Any], size: int, arguments: Mapping[str, Any], text: Text, task: str | None) -> str:
    init_from = arguments.get("init_from")
    begun = "from scratch"
    if init_from:
        begun = f"from {init_from if is_hub_id(init_from) else f'an earlier model, `{Path(init_from).name}`,'}"
    width, blocks = config.get("hidden_size"), config.get("num_hidden_layers")
    shape = f" ({blocks} blocks, {width} wide)" if width and blocks else ""
    objectives = [str(each["class_path"]).split(".")[-1] for each in arguments["objectives"].values()]
    return (
        f"# {config.get('model_type', 'A model').removeprefix('selfsup_').replace('_', ' ').capitalize()} "
        f"pretrained on {text.name}\n\n"
        f"{amount(size)} parameters{shape}, trained {begun} on {text.link} with {' and '.join(objectives)} by the "
        "library `selfsup`. "
        + (
            "It goes on with text, in the manner of what it has read, and is a start for fine-tuning; it does not chat."
            if task == "text-generation"
            else f"{_USES.get(task or '', 'It ')}is a start for fine-tuning; it does not chat, and does not write text."
        )
        + "\n\n"
        "This card was generated from the record of the run."
    )


def _results(
    header: Mapping[str, str], figures: Mapping[str, Any], arguments: Mapping[str, Any], text: Text, *, resumed: bool
) -> str:
    rows = []
    whose = "" if _task(figures) == "fill-mask" else " of the generator, which is not published"
    for answer in _answers(figures):
        count = f" of {figures[f'validation_{answer}_count']:,}"
        if answer == "tokens":
            unigram = figures.get("unigram_perplexity")
            beside = f"{unigram:.1f} (unigram: every token guessed by its frequency)" if unigram else ""
            rows.append((f"masked-token perplexity{whose}", f"{figures['validation_tokens_perplexity']:.1f}", beside))
        if answer == "next_token":
            unigram = figures["unigram_perplexity"], figures["unigram_bits_per_byte"]
            rows.append(
                ("perplexity", f"{figures['validation_next_token_perplexity']:.1f}", f"{unigram[0]:.1f} (unigram)")
            )
            bits = f"{figures['validation_bits_per_byte']:.3f} of {figures['validation_bytes']:,} bytes"
            rows.append(("bits per byte", bits, f"{unigram[1]:.3f} (unigram)"))
        if f"validation_{answer}_accuracy" not in figures:
            if answer != "tokens":
                rows.append((f"{_called(answer)}: loss in nats", f"{figures[f'validation_{answer}_loss']:.3f}", ""))
            continue
        right = f"{100 * figures[f'validation_{answer}_accuracy']:.1f} % ({_interval(figures, answer)}){count}"
        blind = figures.get(f"validation_{answer}_blind_accuracy")
        beside = "" if blind is None else f"{100 * blind:.1f} % (always the same answer)"
        owner = whose if answer == "tokens" else ""
        rows.append((f"{_called(answer)}{owner}: share right (95 % interval)", right, beside))
    data = arguments["data"]
    if named := data.get("validation"):
        where = f"on another text, {Path(str(named)).name if Path(named).exists() else placeless(named)}"
    elif figures.get("held_out", True):
        where = f"on {100 * data['validation_share']:g} % of {text.name}, which the training did not read"
    else:
        where = f"on the validation split of {text.name}"
    table = ["| | this model | without learning | printed by |", "|---|---|---|---|"]
    table += [f"| {' | '.join(row)} | (1) |" for row in rows]
    speed = f"{figures['tokens_per_second']:,.0f} tokens/s; {figures['peak_memory_gib']:.2f} GiB"
    table.append(f"| speed (median); peak memory | {speed} | | (1) |")
    task = _task(figures)
    script = _SCRIPTS.get(task, "pretrain.py")
    command = f"`{header['command']}`" if "command" in header else f"`scripts/{script}`, with the recipe below"
    return (
        f"## Figures\n\nMeasured {where}: {arguments['train']['eval_rows']:,} rows at most, "
        + ("" if task == "text-generation" else "the same words hidden every time, ")
        + "one run, one seed.\n\n"
        + "\n".join(table)
        + f"\n\n(1) {command}, as its last table; "
        + (
            "the run was gone on with under other arguments (the earlier ones are in run.*.yaml), so that command "
            "alone does not give these figures."
            if resumed
            else "with the same data, versions and machine it gives the same figures, speed aside."
        )
    )


def training_section(
    run: Path,
    header: Mapping[str, str],
    arguments: Mapping[str, Any],
    figures: Mapping[str, Any],
    text: Text,
    *,
    script: str,
    has_curves: bool,
    unit: str = "tokens",
    of: str = "text",
) -> str:
    """How the run went, and the recipe that repeats it.

    Args:
        run: its folder.
        header: remarks of run.yaml.
        arguments: of the run.
        figures: what it reached.
        text: what it was trained on.
        script: that reads the recipe.
        has_curves: they lie beside the card.
        unit: of what was read.
        of: what that is part of.
    """
    read, size = figures[unit], figures.get(f"corpus_{unit}")
    passes = f", about {read / size:.2g} times the {size:,} of the {of}" if size else ""
    facts = [f"- {of}: {text.link}", f"- {figures['steps']:,} steps, {read:,} {unit}{passes}"]
    kept = checkpoints(run / "checkpoints")
    if kept:
        seconds = json.loads((kept[-1] / STATE_FILE).read_text()).get("seconds", 0.0)
        facts.append(f"- {seconds / 60:.1f} minutes of steps, validations aside")
    facts += [f"- {what}: {header[what]}" for what in ("machine", "versions", "commit") if what in header]
    recipe = {
        key: placeless(value)
        for key, value in arguments.items()
        if key not in ("output", "resume", "hub", "data_root", "arguments") and value is not None
    }
    recipe["corpus"] = text.id or ("sotu" if text.source else text.name)
    if "init_from" in recipe:
        for shape in ("model", "kind", "fields"):  # it came with the weights, this one was not read
            recipe.pop(shape, None)
    elif "init_args" in recipe.get("model", {}):
        shape = recipe["model"]["init_args"]
        recipe["model"]["init_args"] = {key: value for key, value in shape.items() if value is not None}
    dumped = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
    curves = "![Losses, accuracies, gradient norm and learning rate by step](curves.png)\n\n" if has_curves else ""
    return (
        "## How it was trained\n\n" + "\n".join(facts) + f"\n\n{curves}<details><summary>The recipe, as "
        f"`scripts/{script} --config` reads it</summary>\n\n```yaml\n{dumped}```\n\n</details>"
    )


def licences(
    license: str, data_license: str | None, text: Text, base_model: Any, init_from: Any, *, of: str = "text"
) -> str:
    """What is known of the licences of data, weights and the model that was gone on from."""
    data = f"The licence of the training {of} ({text.link}): {data_license}." if data_license else (
        f"The licence of the training {of} ({text.link}) was not given: ask whoever published this model before you "
        "build on it."
    )  # fmt: skip
    base = f" It was trained on from [{base_model}](https://huggingface.co/{base_model}), whose licence holds too."
    if init_from and not base_model:
        base = (
            " It was trained on from an earlier model, whose data and licence hold too; this card does not know them."
        )
    parts = [data, text.source, f"The weights: {license}." + (base if init_from else "")]
    return "## Data and licence\n\n" + " ".join(part for part in parts if part)


def _limits(figures: Mapping[str, Any], config: Mapping[str, Any], text: Text, language: str, init_from: Any) -> str:
    limits = [
        f"It has seen {figures['tokens']:,} tokens of {text.name}: of what does not stand there, "
        + ("it knows what the earlier model knew." if init_from else "it knows nothing."),
        f"Language: {language}. Of others it knows only what the text happens to hold.",
    ]
    if most := config.get("max_position_embeddings"):
        limits.append(f"It reads at most {most:,} tokens at once.")
    if "validation_order_interval" in figures:
        low, high = figures["validation_order_interval"]
        if low <= 0.5 <= high:
            limits.append("It has not learnt the order of sentences: its 95 % interval holds chance.")
        elif high < 0.5:
            limits.append("On the order of sentences it does worse than chance.")
    limits += [
        "Nothing was filtered for safety, bias or privacy: what the text says, the model may repeat.",
        "It was measured on text like that of its training, and on no task.",
    ]
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits)


def is_hub_id(name: str) -> bool:
    """Can this be a model of the Hub, and no folder here?"""
    return not Path(name).expanduser().exists() and bool(re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name))


def local_name(folder: Path) -> str:
    """How to open the folder from where the command ran; with a dot, so that nobody takes it for a name of the Hub."""
    return f"./{folder.name if folder.is_absolute() or '..' in folder.parts else folder.as_posix()}"


def _answers(figures: Mapping[str, Any]) -> list[str]:
    names = [match[1] for key in figures if (match := re.fullmatch(r"validation_(\w+)_count", key))]
    return sorted((name for name in names if figures[f"validation_{name}_count"]), key=lambda name: name != "tokens")


def _called(answer: str) -> str:
    names = {"order": "order of two segments", "next": "second segment of another document"}
    names |= {"tokens": "hidden tokens", "next_token": "next tokens", "replaced": "replaced or original"}
    return {"denoised": "damaged text mended", **names}.get(answer, answer)


def _task(figures: Mapping[str, Any]) -> str:
    """What `pipeline` can do with the model; hidden tokens beside replaced ones are the generator's."""
    asked = _answers(figures)
    return next(
        (_TASKS[answer] for answer in ("replaced", "tokens", "next_token", "denoised") if answer in asked),
        "feature-extraction",
    )


def _interval(figures: Mapping[str, Any], answer: str) -> str:
    low, high = figures[f"validation_{answer}_interval"]
    return f"{100 * low:.1f} to {100 * high:.1f}"


def amount(number: int) -> str:
    """A number in words, to three digits: 5.31 million."""
    for unit, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if number >= unit:
            return f"{number / unit:.3g} {word}"
    return str(number)


def save_card(card: str, path: Path, name: str) -> None:
    """Write a card, marked so that edits are noticed and `readdress` finds the name under which it says to load."""
    marker = f"\n<!-- selfsup card {_digest(card)} of {name}: as long as nobody edits it, it is kept up to date -->\n"
    path.write_text(card + marker, encoding="utf-8")


def unedited(card: str) -> re.Match[str] | None:
    """The marker of a card, if what stands before it is as it was written."""
    found = _MARKER.search(card)
    return found if found and found["digest"] == _digest(card[: found.start()]) else None


def _digest(card: str) -> str:
    return blake2b(card.encode(), digest_size=8).hexdigest()
