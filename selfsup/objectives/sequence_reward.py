"""Sequence reward: what the model samples is made likelier where it scores better than what else it writes."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.random import Generator
from sacrebleu.metrics import BLEU, CHRF
from torch import Tensor
from torch.nn.functional import cross_entropy, pad
from transformers.modeling_outputs import BaseModelOutput

from selfsup.generation.rules import Rules
from selfsup.objectives.objective import Batch, Example, Players
from selfsup.objectives.sequence_to_sequence import SequenceToSequence
from selfsup.objectives.sequences import bare, real_tokens
from selfsup.objectives.supervised import in_float32


class SequenceReward(SequenceToSequence):
    """For each source the model writes one target by chance and another one; their difference in reward, which is the
    advantage, weighs the log-probability of the first.

    Reads `source` and `target`. Answer `reward`: one a sampled sequence, with the loss -advantage x log p(sample),
    whose value says nothing (its gradient does); with `mix` also `target`, the cross-entropy of the true target. Meant
    for a model that writes well already: from a fresh one nearly every sample is equally bad. What is assessed is the
    plain cross-entropy; the reward itself is what metrics of the same name show. Where a model's own settings force
    tokens or forbid some, what is written keeps to them, and p is that of what was left to choose from.

    Args:
        reward: of one text, 0-1: "chrf" also tells bad from worse; "bleu" has its n-grams without a match smoothed.
        mix: factor of the cross-entropy of the true target beside it; 0 for none.
        beams: hypotheses that are kept when a prediction is written; 1 takes the best token each time.
        max_new_tokens: of samples and predictions; None: as the model learnt.
        against: what the other one is: "greedy", the best guess; or a second "sample", which is learnt from as well,
            with the opposite advantage. Where samples are far worse than guesses, the best guess only teaches what not
            to write.
        weight: factor of the loss in a `Joint`.
    Source:
        Rennie et al. 2017, "Self-critical Sequence Training for Image Captioning", section 3.2; Kool et al. 2019, "Buy
        4 REINFORCE Samples, Get a Baseline for Free!" (samples against each other); Wu et al. 2018, "A
        Study of Reinforcement Learning for Neural Machine Translation", section 3.4 (mixed with cross-entropy).
    """

    name: ClassVar[str] = "reward"

    def __init__(
        self,
        reward: Literal["chrf", "bleu"] = "chrf",
        mix: float = 0.1,
        beams: int = 1,
        max_new_tokens: int | None = None,
        against: Literal["greedy", "sample"] = "greedy",
        weight: float = 1.0,
    ) -> None:
        super().__init__(beams=beams, max_new_tokens=max_new_tokens, weight=weight)
        if reward not in ("chrf", "bleu") or against not in ("greedy", "sample") or mix < 0:
            raise ValueError(
                "a reward of chrf or bleu, against greedy or sample, and a mix of at least 0 are wanted, but "
                f"{reward}, {against}, {mix} came"
            )
        self.reward, self.against, self.mix = reward, against, mix
        self.scorer = CHRF() if reward == "chrf" else BLEU(effective_order=True)
        if mix:
            self.weights["target"] = weight * mix

    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        """Draw the key of all chance with which this example is sampled."""
        if progress is None:
            return dict(example)
        return {**example, "learnt": np.int64(1), "noise_key": np.int64(rng.integers(2**62))}

    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        asked = int((batch["targets"] != -100).sum()) if "targets" in batch else 0
        if "learnt" not in batch:
            return {"target": asked}
        samples = len(batch["noise_key"]) * (2 if self.against == "sample" else 1)
        return {self.name: samples} | ({"target": asked} if self.mix else {})

    def forward(self, players: Players, batch: Batch, turn: str) -> Any:
        """Write without gradient, on the model itself; then one call for the log-probabilities, of true targets too."""
        if "learnt" not in batch:
            return super().forward(players, batch, turn)
        model, rows = bare(players), len(batch["input_ids"])
        was_training = model.training
        model.eval()
        with torch.no_grad():
            written = self.write(model, batch)
        model.train(was_training)
        both = written[:rows], written[rows:]
        texts = self.tokenizer.batch_decode(batch["targets"].clamp(min=0).where(batch["targets"] != -100, self.end_id),
                                            skip_special_tokens=True)  # fmt: skip
        better = np.subtract(*(self.rewards(part, texts) for part in both))
        learnt, advantages = [both[0]], better
        if self.against == "sample":
            learnt, advantages = [*both], np.concatenate([better, -better])
        width = max(len(ids) for part in learnt for ids in part)
        whole = [batch["input_ids"].new_tensor([ids + [-100] * (width - len(ids)) for ids in part]) for part in learnt]
        if self.mix:
            whole.append(batch["targets"])
        most = max(part.shape[1] for part in whole)
        asked = torch.cat([pad(part, (0, most - part.shape[1]), value=-100) for part in whole])
        begin = asked.new_full((len(asked), 1), self.start_id)
        before = torch.cat([begin, asked[:, :-1].masked_fill(asked[:, :-1] == -100, self.padding["input_ids"])], dim=1)
        outputs = players["model"](
            input_ids=batch["input_ids"].repeat(len(whole), 1),
            attention_mask=real_tokens(batch).long().repeat(len(whole), 1),
            decoder_input_ids=before,
            decoder_attention_mask=(asked != -100).long(),
        )
        rules = Rules.of(model)
        outputs.never = list(rules.never)
        for place in range(width):  # what had to be written was not chosen
            if rules.forced(first=place == 0, last=place + 1 == self.num_written) is not None:
                asked[: len(advantages), place] = -100
        outputs.asked = asked
        outputs.advantages = outputs.logits.new_tensor(advantages)
        return outputs

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        if "learnt" not in batch:
            return {"target": super().loss(outputs, batch, turn)[self.name]}
        logits, asked = in_float32(outputs.logits), outputs.asked
        rows = len(outputs.advantages)
        if outputs.never:
            closed = logits.new_zeros(logits.shape[-1])
            closed[outputs.never] = -torch.inf
            logits = torch.cat([logits[:rows] + closed, logits[rows:]])  # true targets may hold such tokens
        nats = cross_entropy(logits.flatten(0, 1), asked.flatten(), ignore_index=-100, reduction="none")
        of_row = nats.view(asked.shape).sum(dim=1)
        losses = {self.name: (outputs.advantages.to(of_row) * of_row[:rows]).sum()}
        return losses | ({"target": of_row[rows:].sum()} if self.mix else {})

    def hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        if "learnt" not in batch:
            return {"target": super().hits(outputs, batch, turn)[self.name]}
        rows = len(outputs.advantages)
        right = (outputs.logits[rows:].argmax(dim=-1) == outputs.asked[rows:]).sum()
        return {"target": right} if self.mix else {}

    def rewards(self, written: Sequence[Sequence[int]], texts: Sequence[str]) -> np.ndarray:
        """(rows) float64, 0-1: how near each of what was written comes to its text."""
        said = self.tokenizer.batch_decode(written, skip_special_tokens=True)
        pairs = zip(said, texts, strict=True)
        return np.array([self.scorer.sentence_score(one.strip(), [text.strip()]).score / 100 for one, text in pairs])

    def write(self, model: Any, batch: Batch) -> list[list[int]]:
        """Write every target twice, token by token: once with noise of each row's own, and once as `against` says.

        The noise is Gumbel's, so that the token with the highest sum is a sample of softmax. A row draws it from a
        generator of its own, in the order of its tokens: neither its batch nor the process changes what it draws.
        The model's own `Rules` hold for both.

        Returns:
            (2 rows) lists of ids with the end, those sampled against the others first.
        """
        rows, device = len(batch["input_ids"]), batch["input_ids"].device
        rules = Rules.of(model)
        rules.check_runs()
        keys = batch["noise_key"].tolist()
        keys += [key + 1 for key in keys] if self.against == "sample" else []
        chance = [torch.Generator().manual_seed(key) for key in keys]
        mask = real_tokens(batch).long()
        source = model.get_encoder()(input_ids=batch["input_ids"], attention_mask=mask)
        encoded, mask = _twice(source), mask.repeat(2, 1)
        ids = mask.new_full((2 * rows, 1), self.start_id)
        written: list[list[int]] = [[] for _ in range(2 * rows)]
        cache = None
        for step in range(self.num_written):
            outputs = model(encoder_outputs=encoded, attention_mask=mask, decoder_input_ids=ids, use_cache=True,
                            past_key_values=cache)  # fmt: skip
            cache, scores = outputs.past_key_values, in_float32(outputs.logits[:, -1])
            scores[:, list(rules.never)] = -torch.inf
            if (forced := rules.forced(first=step == 0, last=step + 1 == self.num_written)) is not None:
                scores[:] = -torch.inf
                scores[:, forced] = 0.0
            noise = [torch.rand(scores.shape[1], generator=one).clamp(min=1e-20) for one in chance]
            scores[: len(chance)] -= torch.stack(noise).log().neg().log().to(device)
            ids = scores.argmax(dim=-1, keepdim=True)
            going = False
            for line, token in zip(written, ids[:, 0].tolist(), strict=True):
                if not line or line[-1] != self.end_id:
                    line.append(token)
                    going |= token != self.end_id
            if not going:
                break
        return written


def _twice(source: BaseModelOutput) -> BaseModelOutput:
    """What an encoder gave, every row again behind the last."""
    both = {name: value.repeat(2, *[1] * (value.ndim - 1)) for name, value in source.items() if torch.is_tensor(value)}
    return type(source)(**both)
