"""How to let a fine-tuned model speak: a few lines of Python for its head."""

from collections.abc import Mapping
from typing import Any

from selfsup.objectives.supervised import few

WRITES = "text2text-generation"
SEES = "image-classification"
# What the Hub calls the heads.
KINDS = {
    "AutoModelForSequenceClassification": "text-classification",
    "AutoModelForImageClassification": SEES,
    "AutoModelForTokenClassification": "token-classification",
    "AutoModelForQuestionAnswering": "question-answering",
    "AutoModelForSeq2SeqLM": WRITES,
    "AutoModelForMaskedLM": WRITES,  # in parallel: no other task is learnt with it
}


def snippet(name: str, kind: str, config: Mapping[str, Any], *, pairs: bool = False) -> str:
    """Python that opens a model and asks it once.

    Args:
        name: to open it by.
        kind: one of the values of `KINDS`.
        config: of the model.
        pairs: it reads two texts.
    """
    if kind == "question-answering":
        return "\n".join([
            "from selfsup.predicting import QuestionAnswerer",
            "",
            f'answerer = QuestionAnswerer.from_pretrained("{name}")',
            'print(answerer({"question": "Whom did Ann meet?", "context": "Ann met Bob in Rome."}))',
        ])  # fmt: skip
    if kind == WRITES:
        lines = [
            "from selfsup.predicting import Translator",
            "",
            f'translate = Translator.from_pretrained("{name}")',
            'print(translate("A dog runs through the snow."))',
        ]
        return "\n".join(lines if config.get("parallel") else [*lines, *_without_us(name, config)])
    if kind == SEES:
        return "\n".join(_seen(name, config))
    options, asked, problem = "", '"What a lovely day!"', config.get("problem_type")
    if kind == "token-classification":
        options, asked = ', aggregation_strategy="first"', '"The miller sold a wooden box ."'
    elif pairs:
        asked = '{"text": "Ann met Bob.", "text_pair": "Bob met Ann."}'
    if problem == "multi_label_classification":
        options = ", top_k=None"
    trust = ", trust_remote_code=True" if "auto_map" in config else ""
    said = f"read({asked})"
    if problem == "regression":  # learnt in deviations from the mean
        score = f'{said}{"" if pairs else "[0]"}["score"]'
        said = f"{config.get('number_mean', 0):g} + {config.get('number_deviation', 1):g} * {score}"
    return f'from transformers import pipeline\n\nread = pipeline("{kind}", "{name}"{options}{trust})\nprint({said})'


def _without_us(name: str, config: Mapping[str, Any]) -> list[str]:
    """The same at people's who have transformers alone."""
    trust = ", trust_remote_code=True" if "auto_map" in config else ""
    longest = f", max_new_tokens={config.get('max_target_tokens') or 128}"
    return [
        "",
        "# or with transformers alone",
        "from transformers import AutoModelForSeq2SeqLM, AutoTokenizer",
        "",
        f'tokenizer = AutoTokenizer.from_pretrained("{name}")',
        f'model = AutoModelForSeq2SeqLM.from_pretrained("{name}"{trust})',
        'source = tokenizer("A dog runs through the snow.", return_tensors="pt")',
        f"written = model.generate(**source, num_beams=5{longest})",
        "print(tokenizer.decode(written[0], skip_special_tokens=True))",
    ]


def _seen(name: str, config: Mapping[str, Any]) -> list[str]:
    """A picture, told apart: without `pipeline`, which makes colours of all, as grey models of others do not read."""
    trust = ", trust_remote_code=True" if "auto_map" in config else ""
    mode = "L" if config.get("num_channels") == 1 else "RGB"
    scores = "sigmoid()" if config.get("problem_type") == "multi_label_classification" else "softmax(-1)"
    return [
        "from PIL import Image",
        "from transformers import AutoImageProcessor, AutoModelForImageClassification",
        "",
        f'processor = AutoImageProcessor.from_pretrained("{name}")',
        f'model = AutoModelForImageClassification.from_pretrained("{name}"{trust})',
        f'picture = Image.open("picture.png").convert("{mode}")',
        f'scores = model(**processor(picture, return_tensors="pt")).logits[0].{scores}',
        "print({model.config.id2label[number]: score for number, score in enumerate(scores.tolist())})",
    ]


def aim(kind: str, config: Mapping[str, Any], labels: tuple[str, ...], *, pairs: bool = False) -> str:
    """What the model tells, in a sentence."""
    names = few([f"`{label}`" for label in labels])
    if kind == "question-answering":
        return "It finds where in a text the answer to a question stands."
    if kind == "token-classification":
        return f"It gives each word of a text one of these tags: {names}."
    if kind == WRITES:
        how = "all words at once, in a few rounds" if config.get("parallel") else "word by word"
        return f"It writes a text for a text, {how}."
    read = "a picture" if kind == SEES else "a pair of texts" if pairs else "a text"
    if config.get("problem_type") == "regression":
        return f"It gives {read} a number."
    several = "any" if config.get("problem_type") == "multi_label_classification" else "one"
    return f"It gives {read} {several} of these labels: {names}."
