"""What stands behind the [MASK]s of a text, guessed by a model with the head of pretraining."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from selfsup.objectives.objective import Batch, Example, Players
from selfsup.objectives.supervised import in_float32
from selfsup.predicting.assess import TOKENS
from selfsup.predicting.heads import SHOWN, Head, rounded


class HiddenWords(Head):
    """The best guess for each hidden word of a text, and the `SHOWN` best ones."""

    auto_class: ClassVar[str] = "AutoModelForMaskedLM"
    name: ClassVar[str] = "hidden"
    roles: ClassVar[tuple[str, ...]] = ("text",)
    reads = ((("text",), ()),)
    checks_frame = False
    gives = ("prediction", "scores", "best")

    def bind(self, tokenizer, config) -> None:
        super().bind(tokenizer, config)
        if tokenizer.mask_token_id is None:
            raise ValueError("a tokenizer with a token for hidden words is wanted, but this one has none")
        self.tokenizer, self.mask_id = tokenizer, tokenizer.mask_token_id

    @property
    def batch_tokens(self) -> int:
        return TOKENS if "logit_positions" in self.fields else TOKENS // 8  # the vocabulary is wide

    def admit(self, example: Example) -> Example:
        mask = self.tokenizer.mask_token
        if mask not in example["text"]:
            raise ValueError(
                f"a text with {mask} was wanted, but there is none in it, and guessing hidden words is all that this "
                "model was trained for: for anything else fine-tune it first, with scripts/finetune.py"
            )
        if not (self.encode(example)["input_ids"] == self.mask_id).any():
            raise ValueError(f"a text with {mask} was wanted, but it stands behind the {self.max_tokens} tokens read")
        return example

    def check(self, example: Example) -> None:
        self.admit(example)

    def encode(self, example: Example) -> Example:
        read = self.tokenizer(example["text"], truncation=True, max_length=self.max_tokens, verbose=False)
        return {name: np.array(ids, dtype=np.int64) for name, ids in read.items() if name != "attention_mask"}

    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        return {self.name: int((batch["input_ids"] == self.mask_id).sum())}

    def forward(self, players: Players, batch: Batch, turn: str) -> Any:
        """Scores of the hidden words, (hidden, vocab)."""
        hidden = (batch["input_ids"] == self.mask_id).flatten().nonzero().squeeze(1)
        if "logit_positions" in self.fields:
            return players["model"](**self.inputs(batch), logit_positions=hidden)["logits"]
        return players["model"](**self.inputs(batch))["logits"].flatten(0, 1)[hidden]

    def predict(self, outputs: Any, batch: Batch) -> list[Any]:
        best = in_float32(outputs).softmax(dim=-1).topk(SHOWN)
        pairs = zip(best.values.tolist(), best.indices.tolist(), strict=True)
        guesses = [list(zip(*pair, strict=True)) for pair in pairs]
        counts = (batch["input_ids"] == self.mask_id).sum(dim=1).tolist()
        return [guesses[end - count : end] for count, end in zip(counts, np.cumsum(counts), strict=True)]

    def conclude(self, example: Example, predictions: Sequence[Any]) -> Any:
        best = [
            [{"word": self.tokenizer.decode([piece]).strip(), "score": rounded(score)} for score, piece in guesses]
            for guesses in predictions[0]
        ]
        firsts = [guesses[0] for guesses in best]
        words, scores = [first["word"] for first in firsts], [first["score"] for first in firsts]
        return {"prediction": words, "scores": scores, "best": best}

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        raise AssertionError("hidden words are learnt by MaskedTokens")

    def reference(self, example: Example) -> Any:
        raise AssertionError("what was hidden is not known")
