"""How to open a pretrained model: lines of Python for its card."""

from collections.abc import Mapping
from typing import Any

# With a hidden word, to try a model with.
_SENTENCES = {
    "en": "We must protect the {} of our people.",
    "de": "Das Haus steht am Ende der {}.",
    "fr": "La maison est au bout de la {}.",
    "es": "La casa está al final de la {}.",
}
_AUTO_CLASSES = {
    "fill-mask": "AutoModelForMaskedLM",
    "token-classification": "AutoModelForTokenClassification",
    "text-generation": "AutoModelForCausalLM",
    "text2text-generation": "AutoModelForSeq2SeqLM",
}


def how_to_load(name: str, config: Mapping[str, Any], task: str | None, language: str) -> str:
    """The section of a card that says it.

    Args:
        name: on the Hub, or of the folder.
        config: of the model, as its config.json holds it.
        task: what `pipeline` calls what the model can do; None or another name for nothing but vectors.
        language: code, for a sentence to try the model with.
    """
    remote = "auto_map" in config
    trust = ", trust_remote_code=True" if remote else ""
    auto = _AUTO_CLASSES.get(task or "", "AutoModel")
    lines = ["## How to load it", ""]
    if remote:
        lines += [
            "With `torch` and `transformers` alone. The code of the model lies beside its weights, so `transformers` "
            "wants `trust_remote_code=True`; for the tokenizer too, because it reads the configuration first.",
            "",
        ]
    lines += [
        "```python",
        f"from transformers import {auto}, AutoTokenizer",
        "",
        f'tokenizer = AutoTokenizer.from_pretrained("{name}"{trust})',
        f'model = {auto}.from_pretrained("{name}"{trust})',
        "```",
    ]
    if task == "fill-mask":
        sentence = _SENTENCES.get(language, "{}").format("{fill.tokenizer.mask_token}")
        lines += [
            "",
            "```python",
            "from transformers import pipeline",
            "",
            f'fill = pipeline("fill-mask", "{name}"{trust})',
            f'for guess in fill(f"{sentence}"):',
            "    print(f\"{guess['score']:.1%}  {guess['token_str']}\")",
            "```",
        ]
    if task == "text-generation":
        lines += [
            "",
            "```python",
            "from transformers import pipeline",
            "",
            f'write = pipeline("text-generation", "{name}"{trust})',
            'print(write("At last", max_new_tokens=40, do_sample=True, top_p=0.9)[0]["generated_text"])',
            "```",
        ]
    if task == "text2text-generation":  # transformers 5 has no pipeline for it
        sentence = _SENTENCES.get(language, "{}").format("{tokenizer.mask_token}")
        lines += [
            "",
            "```python",
            f'damaged = tokenizer(f"{sentence}", return_tensors="pt")',
            "mended = model.generate(**damaged, max_new_tokens=40)",
            "print(tokenizer.decode(mended[0], skip_special_tokens=True))",
            "```",
        ]
    if remote:
        others = ", ".join(f"`{kind}`" for kind in config["auto_map"] if kind not in ("AutoConfig", auto))
        lines += [
            "",
            f"The same files open as {others}; heads that were not trained start afresh.",
            "",
            "With `selfsup` installed, nothing remote has to be trusted:",
            "",
            "```python",
            "import selfsup.models  # makes the Auto classes know the model",
            f"from transformers import {auto}, AutoTokenizer",
            "",
            f'tokenizer = AutoTokenizer.from_pretrained("{name}")',
            f'model = {auto}.from_pretrained("{name}")',
            "```",
        ]
    return "\n".join(lines)
