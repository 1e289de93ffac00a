"""The masked autoencoder: what its encoder reads, what its decoder gets, and what is left when it is thrown away."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoModelForImageClassification, AutoModelForPreTraining

from selfsup.models.masked_autoencoder import (
    MaskedAutoencoderForImageClassification,
    MaskedAutoencoderForPreTraining,
    MaskedAutoencoderModel,
)
from selfsup.models.masked_autoencoder_config import MaskedAutoencoderConfig
from selfsup.models.pixels import patch_targets
from selfsup.models.vit import PatchTransformerForImageClassification
from selfsup.models.vit_config import PatchTransformerConfig

SMALL: dict[str, Any] = {"image_size": 12, "patch_size": 3, "hidden_size": 16, "num_hidden_layers": 2,
                         "num_attention_heads": 2, "intermediate_size": 32, "initializer_range": 0.3}  # fmt: skip
DECODER: dict[str, Any] = {"decoder_hidden_size": 8, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 1,
           "decoder_intermediate_size": 16}  # fmt: skip
SHAPES: list[dict[str, Any]] = [
    {},
    {"position_type": "sinusoidal", "normalise_patches": True},
    {"position_type": "rotary", "window": 1, "pooling": "class"},
]


def made(**fields: Any) -> Any:
    torch.manual_seed(0)
    return MaskedAutoencoderForPreTraining(MaskedAutoencoderConfig(**SMALL | DECODER | fields)).eval()


@pytest.fixture
def pictures():
    return torch.rand(3, 1, 12, 12, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def hidden():
    """11 of 16 patches in every row."""
    chance = torch.Generator().manual_seed(1)
    return torch.stack([torch.randperm(16, generator=chance) < 11 for _ in range(3)])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_hidden_patches_are_not_read(shape, pictures, hidden):
    model = made(**shape)
    other = pictures.clone()
    where = hidden.view(3, 1, 4, 4).repeat_interleave(3, 2).repeat_interleave(3, 3)
    other[where] = torch.rand(int(where.sum()))
    out = model(pictures, hidden=hidden, output_hidden_states=True)
    assert torch.equal(model(other, hidden=hidden).logits, out.logits)
    tokens = 5 + (model.config.pooling == "class")
    assert [tuple(states.shape) for states in out.hidden_states] == [(3, tokens, 16)] * 3
    error = (out.logits - patch_targets(model.config, pictures)).square()
    torch.testing.assert_close(out.loss, error[hidden].mean())
    assert out.logits.shape == (3, 16, 9)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_visible_patches_go_back_to_their_places(shape, pictures, hidden):
    """With a decoder that does nothing, each row alone: its vectors at its places, one vector at all others."""
    model = made(**shape)
    model.decoder.forward = lambda patches: SimpleNamespace(last_hidden_state=patches)
    logits = model(pictures, hidden=hidden).logits
    for row in range(3):
        places = [place for place in range(16) if not hidden[row, place]]
        patches = model.encoder.embeddings(pictures[row : row + 1])[:, places]
        states = model.encoder.read(patches, torch.tensor([places])).last_hidden_state[0, -5:]
        wanted = model.predictions(model.decoder_input(states))
        torch.testing.assert_close(logits[row, places], wanted, atol=1e-5, rtol=1e-5)
        nothing = model.predictions(model.mask_embedding).expand(11, -1)
        torch.testing.assert_close(logits[row, hidden[row]], nothing, atol=1e-5, rtol=1e-5)


def test_the_decoder_knows_where_patches_are(pictures, hidden):
    """Else it would guess one thing for all that are hidden."""
    for shape in SHAPES:
        logits = made(**shape)(pictures, hidden=hidden).logits
        assert logits[0, hidden[0]].std(dim=0).max() > 0.01


def test_with_nothing_hidden_the_body_sees_the_picture(pictures):
    model = made(pooling="class")
    out = model(pictures, output_hidden_states=True)
    assert out.loss is None
    assert torch.equal(out.hidden_states[-1], model.encoder(pictures).last_hidden_state)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_body_opens_as_a_transformer_on_patches(shape, pictures, tmp_path):
    model = made(**shape)
    model.save_pretrained(tmp_path)
    again = AutoModelForPreTraining.from_pretrained(tmp_path)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    body, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert type(body) is MaskedAutoencoderModel
    assert not info["missing_keys"]
    wanted = model.encoder(pictures)
    torch.testing.assert_close(body.eval()(pictures).pooler_output, wanted.pooler_output)
    head, info = AutoModelForImageClassification.from_pretrained(tmp_path, num_labels=5, output_loading_info=True)
    assert type(head) is MaskedAutoencoderForImageClassification
    assert info["missing_keys"] == {"classifier.weight", "classifier.bias"}
    plain = PatchTransformerForImageClassification(PatchTransformerConfig(
        **SMALL, num_labels=5, **{name: value for name, value in shape.items() if name != "normalise_patches"}
    )).eval()  # fmt: skip
    plain.load_state_dict(head.state_dict())
    labels = torch.tensor([4, 0, 2])
    torch.testing.assert_close(head.eval()(pictures, labels=labels).loss, plain(pictures, labels=labels).loss)


def test_all_weights_learn_and_checkpointing_changes_nothing(pictures, hidden):
    gradients = []
    for checkpointing in (False, True):
        model = made(pooling="class").train()
        if checkpointing:
            model.activation_checkpointing_enable()
            assert all(block.gradient_checkpointing for block in [*model.encoder.blocks, *model.decoder.blocks])
        model(pictures, hidden=hidden).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None, name
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-5)


def test_encoder_and_decoder_attend_by_one_implementation(pictures, hidden):
    model = made(window=1)
    fused = model(pictures, hidden=hidden).logits
    model.set_attn_implementation("eager")
    assert model.decoder.blocks[0].attention.config._attn_implementation == "eager"
    torch.testing.assert_close(model(pictures, hidden=hidden).logits, fused, atol=1e-5, rtol=1e-5)


def test_masks_that_no_batch_can_have_are_refused(pictures, hidden):
    uneven = hidden.clone()
    uneven[0] = False
    with pytest.raises(ValueError, match=r"every picture must show as many patches, .* they show 5 to 16"):
        made()(pictures, hidden=uneven)
    with pytest.raises(ValueError, match="and at least one, but they show 0 to 0"):
        made()(pictures, hidden=torch.ones_like(hidden))
    with pytest.raises(ValueError, match="hidden must be a bool tensor"):
        made()(pictures, hidden=hidden[:2])
    with pytest.raises(ValueError, match="decoder_hidden_size must be a multiple of 3 with 3 heads"):
        MaskedAutoencoderConfig(**SMALL, decoder_num_attention_heads=3)
    with pytest.raises(ValueError, match="decoder_intermediate_size at least 1, but 2 and 0 came"):
        MaskedAutoencoderConfig(**SMALL, decoder_intermediate_size=0)
