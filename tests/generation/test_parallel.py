"""Mask-predict: which tokens are hidden again, worked out by hand; and nothing depends on the batch."""

from types import SimpleNamespace

import pytest
import torch
from transformers.modeling_outputs import BaseModelOutput

from selfsup.generation.parallel import mask_predict
from selfsup.models.encoder_decoder import TextEncoderDecoderForMaskedLM, TextEncoderDecoderForSeq2SeqLM
from selfsup.models.encoder_decoder_config import TextEncoderDecoderConfig

PAD, CLS, SEP, MASK = 0, 1, 2, 3
WORDS = SimpleNamespace(
    pad_token_id=PAD, mask_token_id=MASK, unk_token_id=None, all_special_ids=[PAD, CLS, SEP, MASK]
)  # fmt: skip


def model_of(parallel: bool = True):
    torch.manual_seed(0)
    size = {"vocab_size": 64, "hidden_size": 16, "num_encoder_layers": 1, "num_decoder_layers": 2}
    size |= {"num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 24}
    config = TextEncoderDecoderConfig(**size, parallel=parallel, zero_init_output=False, initializer_range=0.5)
    return (TextEncoderDecoderForMaskedLM if parallel else TextEncoderDecoderForSeq2SeqLM)(config).eval()


class Scripted:
    """Guesses lengths 4 and 2, and tokens by a script: of each round the sureness of the four places."""

    device = torch.device("cpu")
    training = False
    config = SimpleNamespace(parallel=True, max_position_embeddings=8)

    def __init__(self, script):
        self.script, self.read = script, []

    def eval(self):
        return self

    def train(self, mode):
        return self

    def get_encoder(self):
        return lambda input_ids, attention_mask: BaseModelOutput(last_hidden_state=input_ids[..., None].float())

    def guess_length(self, source):
        scores = torch.zeros(len(source), 9)
        scores[:, 4] = 5.0
        scores[:, 0] = 9.0  # nobody writes nothing
        return scores

    def __call__(self, *, decoder_input_ids, **_):
        sure = self.script[len(self.read)]
        self.read.append(decoder_input_ids[0].tolist())
        logits = torch.full((len(decoder_input_ids), decoder_input_ids.shape[1], 24), -20.0)
        for place, chance in enumerate(sure):
            logits[:, place, 10 + place + 4 * (len(self.read) - 1)] = float(torch.tensor(chance).log())
            logits[:, place, 9] = float(torch.tensor(1 - chance).log())
            logits[:, place, MASK] = 30.0  # a special token is not written, however sure
        return SimpleNamespace(logits=logits)


def test_the_least_sure_are_guessed_again_by_hand():
    """Four tokens, three rounds: 4 * 2 // 3 = 2 are hidden in the second, 4 // 3 = 1 in the third."""
    model = Scripted([[0.9, 0.6, 0.8, 0.7], [0.99, 0.95, 0.99, 0.75], [0.99, 0.99, 0.99, 0.6]])
    found = mask_predict(model, WORDS, [[CLS, 7, SEP]], rounds=3, lengths=1)
    assert model.read == [
        [MASK, MASK, MASK, MASK],
        [10, MASK, 12, MASK],  # 0.6 and 0.7 were the least
        [10, 15, 12, MASK],  # of 0.9, 0.95, 0.8 and 0.75 the last is
    ]
    assert found == [[10, 15, 12, 21]]


def test_one_round_takes_the_best_token_everywhere():
    model = model_of()
    source = [CLS, 9, 30, 12, SEP]
    (found,) = mask_predict(model, WORDS, [source], rounds=1, lengths=1)
    ids = torch.tensor([source])
    size = int(model(input_ids=ids, decoder_input_ids=ids).length_logits[0, 1:].argmax()) + 1
    logits = model(input_ids=ids, decoder_input_ids=torch.full((1, size), MASK)).logits[0]
    logits[:, :4] = -torch.inf
    assert found == logits.argmax(dim=-1).tolist()


def test_neither_batch_nor_padding_changes_anything():
    model, chance = model_of(), torch.Generator().manual_seed(0)
    sources = [
        [CLS, *torch.randint(4, 64, (size,), generator=chance).tolist(), SEP] for size in (3, 9, 1, 6, 12, 4)
    ]  # fmt: skip
    together = mask_predict(model, WORDS, sources, rounds=4, lengths=3)
    assert together == [mask_predict(model, WORDS, [source], rounds=4, lengths=3)[0] for source in sources]
    assert together == mask_predict(model, WORDS, sources, rounds=4, lengths=3, batch_size=4)
    assert len({len(target) for target in together}) > 1
    assert not {PAD, CLS, SEP, MASK} & {token for target in together for token in target}


def test_refuses_in_one_sentence():
    model = model_of()
    with pytest.raises(ValueError, match="writes token by token"):
        mask_predict(model_of(parallel=False), WORDS, [[CLS, 5, SEP]])
    with pytest.raises(ValueError, match="rounds of at least 1"):
        mask_predict(model, WORDS, [[CLS, 5, SEP]], rounds=0)
    with pytest.raises(ValueError, match=r"source 1 \(the first is 0\) has 0"):
        mask_predict(model, WORDS, [[CLS, 5, SEP], []])
    with pytest.raises(ValueError, match="of 1 to 24 tokens are wanted"):
        mask_predict(model, WORDS, [[5] * 25])
    with torch.no_grad():
        model.length.weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="finite scores of lengths"):
        mask_predict(model, WORDS, [[CLS, 5, SEP]])
    assert mask_predict(model, WORDS, []) == []
