"""Grammar by minimal pairs: is the sentence that people accept more probable than its twin that they do not?"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import blake2b, file_digest
from pathlib import Path

import numpy as np
from tqdm import tqdm
from transformers import AutoConfig, PreTrainedConfig, PreTrainedTokenizerBase

from selfsup.benchmark.ngram import KneserNey
from selfsup.benchmark.paradigms import Paradigm
from selfsup.data.corpus import Corpus, open_corpus
from selfsup.data.sources import Text
from selfsup.data.texts import DataConfig
from selfsup.generation.likelihood import log_likelihood, pseudo_log_likelihood
from selfsup.predicting.opening import head_of
from selfsup.tokenization.encode import batch_encoder, fingerprint
from selfsup.training.causal import open_causal, says_causal
from selfsup.training.command import refuse_training_run
from selfsup.training.export import exported, open_model, open_tokenizer, opening
from selfsup.training.summary import table

Interval = tuple[float, float, float]  # mean, low, high
Scorer = Callable[[Sequence[str]], np.ndarray]  # sentences -> their log-probabilities
TIE = 1e-4  # nats; what float32 cannot tell apart is no difference
NUM_DRAWS = 2000
ORDER = 5  # of n-grams
NGRAMS = f"{ORDER}-gram"


def judge_all(
    models: Sequence[str],
    paradigms: Sequence[Paradigm],
    folder: Path,
    *,
    batch_size: int,
    ngram_text: Text | None = None,
    trust_remote_code: bool = False,
) -> dict[str, dict[str, np.ndarray]]:
    """Judge with every model and with n-grams, unless it was done before.

    Args:
        models: runs, exported folders or Hub ids.
        paradigms: to go through.
        folder: that keeps what each judged.
        batch_size: see `open_scorer`.
        ngram_text: that n-grams learn from, with the tokenizer of the first model; None for no n-grams.
        trust_remote_code: run Python files that come with a model.
    Returns:
        see `judge`, by what tells the models apart; n-grams last, as `NGRAMS`.
    Raises:
        ValueError: no model, or one that opens not, or predicts no tokens; before anything is judged.
    """
    if not models:
        raise ValueError("at least one model is wanted, but none came: name some with --models")
    refuse_training_run(folder)
    configs = [config_of(name, trust_remote_code=trust_remote_code) for name in models]
    for name, config in zip(models, configs, strict=True):
        kind_of(name, config)
    found = {}
    for name, called, config in zip(models, labels(models), configs, strict=True):
        key = {"pairs": pairs_key(paradigms), "model": model_key(name, config)}
        open_one = partial(open_scorer, name, config, batch_size=batch_size, trust_remote_code=trust_remote_code)
        found[called] = judge_missing(open_one, paradigms, called, folder, key)
    if ngram_text:
        tokenizer = open_tokenizer(exported(models[0]), trust_remote_code)
        read = f"{ngram_text.fingerprint} {fingerprint(tokenizer)}"
        key = {"pairs": pairs_key(paradigms), "model": blake2b(read.encode(), digest_size=8).hexdigest()}
        open_one = partial(open_ngrams, ngram_text, tokenizer)
        found[NGRAMS] = judge_missing(open_one, paradigms, NGRAMS, folder, key)
    return found


def judge_missing(
    open_one: Callable[[], Scorer], paradigms: Sequence[Paradigm], called: str, folder: Path, key: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Judge what was not judged before, and keep it paradigm by paradigm.

    Args:
        open_one: opens who judges, if anything is left to judge.
        paradigms: to go through.
        called: what the file and the progress bar call it.
        folder: that keeps what each judged.
        key: what decides the scores; what was kept under another one is judged again.
    Returns:
        see `judge`.
    """
    path = folder / "judged" / f"{called.replace('/', ' ').strip()}.json"
    scores = judged_before(path, key)
    if left := [one for one in paradigms if one.name not in scores]:
        score = open_one()
        for one in tqdm(left, called, unit="paradigm", leave=False):
            scores |= judge(score, [one])
            keep(path, key, scores)
    return scores


def labels(models: Sequence[str]) -> list[str]:
    """The last two parts of each name, or all of it where that does not tell them apart."""
    short = ["/".join([part for part in Path(name).parts if part != "model"][-2:]) for name in models]
    return short if len(set(short)) == len(short) else list(models)


def config_of(name: str, *, trust_remote_code: bool = False) -> PreTrainedConfig:
    """The configuration of a model.

    Raises:
        ValueError: nothing opens under that name.
    """
    with opening("a decoder or a masked encoder is wanted", name):
        return AutoConfig.from_pretrained(exported(name), trust_remote_code=trust_remote_code)


def kind_of(name: str, config: PreTrainedConfig) -> str:
    """The Auto class of a decoder or a masked encoder.

    Raises:
        ValueError: it predicts no tokens.
    """
    if says_causal(config):
        return "AutoModelForCausalLM"
    if head_of(config) != "AutoModelForMaskedLM":
        made = (config.architectures or ["model of an unknown kind"])[0]
        raise ValueError(
            f"a model that predicts tokens, next or hidden ones, is wanted, but {name} is a {made}: take the model "
            "that it was fine-tuned from"
        )
    return "AutoModelForMaskedLM"


def open_scorer(name: str, config: PreTrainedConfig, *, batch_size: int, trust_remote_code: bool = False) -> Scorer:
    """What tells how probable a model finds sentences: the log-likelihood of a decoder, or the pseudo-log-likelihood
    of a masked encoder, in float32.

    Args:
        name: a run, an exported folder or a Hub id.
        config: of it.
        batch_size: of rows; an encoder reads one for each token of a sentence.
        trust_remote_code: run Python files that come with it.
    Raises:
        ValueError: nothing opens under that name, or it predicts no tokens.
    """
    from accelerate import Accelerator

    auto_class = kind_of(name, config)
    if auto_class == "AutoModelForMaskedLM":
        folder = exported(name)
        tokenizer = open_tokenizer(folder, trust_remote_code)
        model = open_model(auto_class, folder, trust_remote_code=trust_remote_code, dtype="float32")
    else:
        model, tokenizer = open_causal(name, trust_remote_code=trust_remote_code)
    model.to(Accelerator().device)

    def score(sentences: Sequence[str]) -> np.ndarray:
        if auto_class == "AutoModelForMaskedLM":
            found = pseudo_log_likelihood(model, tokenizer, sentences, batch_size=batch_size)
        else:
            found = log_likelihood(model, tokenizer, [("", one) for one in sentences], batch_size=batch_size)
        return np.array([one.log_prob for one in found])

    return score


def open_ngrams(text: Text, tokenizer: PreTrainedTokenizerBase) -> Scorer:
    """`ngram_scorer` of a text, cached with a tokenizer."""
    cached = open_corpus(
        text,
        batch_encoder(tokenizer),
        tokenizer_fingerprint=fingerprint(tokenizer),
        vocab_size=len(tokenizer),
        cache_dir=DataConfig().cache(),
    )
    return ngram_scorer(cached, tokenizer)


def ngram_scorer(corpus: Corpus, tokenizer: PreTrainedTokenizerBase, order: int = ORDER) -> Scorer:
    """Log-probabilities of sentences under Kneser-Ney, which reads a text as sentences, too.

    Args:
        corpus: of the training text, cached with `tokenizer`.
        tokenizer: a fast one.
        order: most tokens of an n-gram.
    """
    model = KneserNey(np.asarray(corpus.tokens), np.asarray(corpus.sentences), corpus.vocab_size, order)
    encode = batch_encoder(tokenizer)

    def score(sentences: Sequence[str]) -> np.ndarray:
        ids = encode(list(sentences))
        if (empty := next((i for i, own in enumerate(ids) if not own), None)) is not None:
            raise ValueError(f"a text with tokens is wanted, but {sentences[empty]!r} gives none: leave it out")
        starts = np.cumsum([0, *(len(own) for own in ids[:-1])])
        return np.add.reduceat(model.log_probs(np.concatenate(ids), starts), starts)

    return score


def judge(score: Scorer, paradigms: Sequence[Paradigm]) -> dict[str, np.ndarray]:
    """Ask for all pairs.

    Args:
        score: of `open_scorer` or `ngram_scorer`.
        paradigms: to go through.
    Returns:
        by paradigm, (pairs): 1 where the good sentence is more probable, 0.5 where they tie, 0 where it is less.
    """
    found = {}
    for one in paradigms:
        log_probs = score([*one.good, *one.bad])
        found[one.name] = decide(log_probs[: len(one.good)] - log_probs[len(one.good) :])
    return found


def decide(differences: np.ndarray) -> np.ndarray:
    """(pairs) nats by which the good sentence is more probable -> 1, 0.5 or 0; a tie counts a half.

    Example:
        >>> decide(np.array([2.0, 0.0, -0.1]))
        array([1. , 0.5, 0. ])
    """
    return np.where(np.abs(differences) <= TIE, 0.5, differences > 0)


def judged_before(path: Path, key: Mapping[str, str]) -> dict[str, np.ndarray]:
    """What `keep` left, if it is of the same model and data; paradigms that are still to be judged are absent."""
    try:
        kept = json.loads(path.read_text())
        return {name: np.array(values) for name, values in kept["scores"].items()} if kept["key"] == key else {}
    except (OSError, ValueError, KeyError):
        return {}


def keep(path: Path, key: Mapping[str, str], scores: Mapping[str, np.ndarray]) -> None:
    """Leave what was judged for `judged_before`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}")
    aside.write_text(json.dumps({"key": dict(key), "scores": {name: list(found) for name, found in scores.items()}}))
    aside.replace(path)


def pairs_key(paradigms: Sequence[Paradigm]) -> str:
    """What stands for the pairs."""
    pairs = json.dumps([(one.name, one.good, one.bad) for one in paradigms])
    return blake2b(pairs.encode(), digest_size=8).hexdigest()


def model_key(name: str, config: PreTrainedConfig) -> str:
    """What stands for a model: the files of its folder, or its name and the commit that the Hub gave."""
    digest = blake2b(f"{name} {getattr(config, '_commit_hash', None) or ''}".strip().encode(), digest_size=8)
    folder = Path(exported(name))
    for file in sorted(folder.glob("*")) if folder.is_dir() else ():
        if file.suffix in (".safetensors", ".bin", ".json", ".model", ".py"):
            with file.open("rb") as opened:
                digest.update(file_digest(opened, lambda: blake2b(digest_size=8)).digest())
    return digest.hexdigest()


def figures(
    paradigms: Sequence[Paradigm], scores: Mapping[str, np.ndarray], *, rng: np.random.Generator
) -> dict[str, dict[str, Interval]]:
    """Shares of pairs that are judged as people do, each a mean over paradigms.

    Args:
        paradigms: that were judged.
        scores: by paradigm, see `judge`.
        rng: the only source of chance.
    Returns:
        `all`, and by `field`, `phenomenon` and `paradigm`: (mean, low, high), 95 %, pairs drawn anew in each paradigm.
    """
    means, draws = {}, {}
    for one in paradigms:
        own = scores[one.name]
        means[one.name] = own.mean()
        draws[one.name] = own[rng.integers(len(own), size=(NUM_DRAWS, len(own)))].mean(axis=1)

    def over(names: Sequence[str]) -> Interval:
        mean = float(np.mean([means[name] for name in names]))
        low, high = np.percentile(np.mean([draws[name] for name in names], axis=0), (2.5, 97.5))
        return mean, float(min(low, mean)), float(max(high, mean))

    found = {"all": {"mean of paradigms": over(list(means))}}
    for kind in ("field", "phenomenon", "name"):
        groups: dict[str, list[str]] = {}
        for one in paradigms:
            groups.setdefault(getattr(one, kind), []).append(one.name)
        found["paradigm" if kind == "name" else kind] = {group: over(names) for group, names in sorted(groups.items())}
    return found


def report(results: Mapping[str, Mapping[str, Mapping[str, Interval]]], kinds: Sequence[str]) -> str:
    """A table: groups of each kind as rows, models as columns; chance is 50 %."""
    rows: list[tuple[str, ...]] = [("% right (95 %)", "chance", *results)]
    first = next(iter(results.values()))
    for kind in kinds:
        rows += [(kind, "", *("" for _ in results))] if kind != "all" else []
        for group in first[kind]:
            cells = (
                "{:.1f} ({:.1f} to {:.1f})".format(*(100 * x for x in own[kind][group])) for own in results.values()
            )
            rows.append((group if kind == "all" else f"  {group}", "50.0", *cells))
    return table(rows)


def draw(found: Mapping[str, Mapping[str, Mapping[str, Interval]]], picture: Path, *, title: str) -> None:
    """Bars by phenomenon and, last, the mean of paradigms."""
    from selfsup.pictures.bars import draw_bars  # here: matplotlib takes seconds, and --help draws nothing

    series = {
        name: {
            group: (100 * mean, 100 * low, 100 * high)
            for group, (mean, low, high) in {**own["phenomenon"], **own["all"]}.items()
        }
        for name, own in found.items()
    }
    draw_bars(series, picture, title=title, unit="% right", chance=50.0)
