"""The Transformer on patches: beside transformers' own, what patches see, and what is hidden from them."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModel, AutoModelForImageClassification, ViTConfig, ViTModel

from selfsup.models.patch_grid import PatchGrid
from selfsup.models.pixels import to_patches
from selfsup.models.positions import rotate
from selfsup.models.vit import (
    PatchTransformerForImageClassification,
    PatchTransformerForMaskedImageModeling,
    PatchTransformerModel,
)
from selfsup.models.vit_config import PatchTransformerConfig

SMALL: dict[str, Any] = {"image_size": 12, "patch_size": 3, "hidden_size": 16, "num_hidden_layers": 2,
                         "num_attention_heads": 2, "intermediate_size": 32}  # fmt: skip
PLACES: list[dict[str, Any]] = [{"position_type": kind} for kind in ("learned", "sinusoidal", "rotary")]
PLACES += [{"position_type": "rotary", "window": 1, "pooling": "class", "qk_norm": True}]


@pytest.fixture
def pictures():
    return torch.rand(3, 1, 12, 12, generator=torch.Generator().manual_seed(0))


def made(kind, **fields: Any) -> Any:
    """A model whose weights are large enough to matter."""
    torch.manual_seed(0)
    return kind(PatchTransformerConfig(**SMALL | {"initializer_range": 0.3} | fields)).eval()


def test_equals_transformers_on_copied_weights(pictures):
    """Class token, learned positions and biases make the classical one."""
    theirs = ViTModel(ViTConfig(
        image_size=12, patch_size=3, num_channels=1, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.3,
    ), add_pooling_layer=False).eval()  # fmt: skip
    ours = made(PatchTransformerModel, use_bias=True, pooling="class", norm_eps=1e-12, pixel_mean=0.0, pixel_std=1.0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(std=0.3)
    given = theirs.state_dict()
    positions = given["embeddings.position_embeddings"][0]
    state = {
        "embeddings.projection.weight": given["embeddings.patch_embeddings.projection.weight"].flatten(1),
        "embeddings.projection.bias": given["embeddings.patch_embeddings.projection.bias"],
        "position_embeddings.weight": positions[1:],
        "class_embedding": given["embeddings.cls_token"][0, 0] + positions[0],
    }
    names = {"attention_norm": "layernorm_before", "attention.output": "attention.o_proj",
             "feed_forward_norm": "layernorm_after", "feed_forward.input": "mlp.fc1",
             "feed_forward.output": "mlp.fc2"}  # fmt: skip
    for kind in ("weight", "bias"):
        state[f"norm.{kind}"] = given[f"layernorm.{kind}"]
        for number in range(2):
            ours_at, theirs_at = f"blocks.{number}.", f"layers.{number}."
            parts = [given[f"{theirs_at}attention.{name}_proj.{kind}"] for name in "qkv"]
            state[f"{ours_at}attention.query_key_value.{kind}"] = torch.cat(parts)
            for our_name, their_name in names.items():
                state[f"{ours_at}{our_name}.{kind}"] = given[f"{theirs_at}{their_name}.{kind}"]
    ours.load_state_dict(state)
    wanted = theirs(pictures).last_hidden_state
    torch.testing.assert_close(ours(pictures).last_hidden_state, wanted, atol=1e-5, rtol=1e-5)
    assert torch.equal(ours(pictures).pooler_output, ours(pictures).last_hidden_state[:, 0])


def test_patches_are_a_convolution_without_overlap(pictures):
    embeddings = made(PatchTransformerModel).embeddings
    kernels = embeddings.projection.weight.view(16, 1, 3, 3)
    wanted = nn.functional.conv2d((pictures - 0.5) / 0.5, kernels, embeddings.projection.bias, stride=3)
    torch.testing.assert_close(embeddings(pictures), wanted.flatten(2).transpose(1, 2))


@pytest.mark.parametrize("fields", PLACES, ids=lambda fields: "-".join(map(str, fields.values())))
def test_the_order_of_reading_changes_nothing(fields, pictures):
    """Patches know where they are from `places` alone."""
    model = made(PatchTransformerModel, **fields)
    order = torch.stack([torch.randperm(16, generator=torch.Generator().manual_seed(seed)) for seed in range(3)])
    patches = model.embeddings(pictures)
    shuffled = patches.gather(1, order[..., None].expand(-1, -1, 16))
    wanted, found = model(pictures), model.read(shuffled, order)
    states = wanted.last_hidden_state[:, -16:].gather(1, order[..., None].expand(-1, -1, 16))
    torch.testing.assert_close(found.last_hidden_state[:, -16:], states, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.pooler_output, wanted.pooler_output, atol=1e-5, rtol=1e-5)
    assert (model.read(patches, order).pooler_output - wanted.pooler_output).abs().max() > 1e-3  # places do count


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_window_hides_what_is_further_away(implementation, pictures):
    """One block; the gradient of a patch reaches those at a Chebyshev distance of at most 1, on a grid of 4 x 4."""
    model = made(PatchTransformerModel, window=1, num_hidden_layers=1)
    model.set_attn_implementation(implementation)
    pixels = pictures[:1].clone().requires_grad_()
    states = model(pixels).last_hidden_state
    for patch in (0, 6, 15):
        (gradient,) = torch.autograd.grad(states[0, patch].square().sum(), pixels, retain_graph=True)
        reached = to_patches(gradient, 3).abs().sum(-1)[0] > 0
        near = [abs(other // 4 - patch // 4) <= 1 and abs(other % 4 - patch % 4) <= 1 for other in range(16)]
        assert reached.tolist() == near


def test_rotary_positions_tell_the_displacement_alone():
    config = PatchTransformerConfig(**SMALL, position_type="rotary", pooling="class")
    _, (cosine, sine) = PatchGrid(config)()
    query, key = torch.randn(2, 1, 1, 1, 8).expand(2, 1, 1, 17, 8)
    scores = (rotate(query, cosine, sine) @ rotate(key, cosine, sine).transpose(-1, -2))[0, 0]
    torch.testing.assert_close(scores[0, 0], (query[0, 0, 0] * key[0, 0, 0]).sum())  # a class token is not turned
    by_step: dict = {}
    for one in range(16):
        for other in range(16):
            step = (one // 4 - other // 4, one % 4 - other % 4)
            by_step.setdefault(step, []).append(scores[1 + one, 1 + other].item())
    for found in by_step.values():
        assert found == pytest.approx([found[0]] * len(found), abs=1e-4)
    assert len({round(found[0], 4) for found in by_step.values()}) == 49  # and rows are not columns


@pytest.mark.parametrize("kind", [PatchTransformerForImageClassification, PatchTransformerForMaskedImageModeling])
def test_activation_checkpointing_gives_equal_gradients(kind, pictures):
    gradients = []
    for checkpointing in (False, True):
        model = made(kind, window=1, pooling="class").train()
        if checkpointing:
            model.activation_checkpointing_enable()
            assert all(block.gradient_checkpointing for block in model.encoder.blocks)
        masked = kind is PatchTransformerForMaskedImageModeling
        asked = {"hidden": torch.eye(3, 16) > 0} if masked else {"labels": torch.tensor([0, 1, 1])}
        model(pictures, **asked).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None, name
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-5)


def test_classes_are_told_from_what_stands_for_the_picture(pictures):
    labels = torch.tensor([2, 0, 1])
    for pooling in ("mean", "class"):
        model = made(PatchTransformerForImageClassification, pooling=pooling, num_labels=3)
        states = model.encoder(pictures).last_hidden_state
        whole = states[:, 0] if pooling == "class" else states.mean(dim=1)
        out = model(pictures, labels=labels, output_hidden_states=True, output_attentions=True)
        torch.testing.assert_close(out.logits, model.classifier(whole))
        torch.testing.assert_close(out.loss, nn.functional.cross_entropy(out.logits, labels))
        assert (len(out.hidden_states), len(out.attentions)) == (3, 2)
        loss, logits = model(pictures, labels=labels, return_dict=False)
        torch.testing.assert_close((loss, logits), (out.loss, out.logits))  # attention was written out once


class TestHiddenPatches:
    def test_are_not_seen(self, pictures):
        model = made(PatchTransformerForMaskedImageModeling, pooling="class")
        hidden = torch.zeros(3, 16, dtype=torch.bool)
        hidden[:, [1, 7]] = True
        other = pictures.clone()
        other[:, :, 0:3, 3:6] = torch.rand(3, 1, 3, 3)  # patch 1
        assert torch.equal(model(pictures, hidden=hidden).logits, model(other, hidden=hidden).logits)
        assert not torch.equal(model(pictures).logits, model(other).logits)

    def test_loss_by_hand(self, pictures):
        """Rows need not hide as many; two patches of the first, one of the second, none of the third."""
        model = made(PatchTransformerForMaskedImageModeling)
        hidden = torch.zeros(3, 16, dtype=torch.bool)
        hidden[0, [1, 7]] = hidden[1, 4] = True
        out = model(pictures, hidden=hidden)
        targets = to_patches((pictures - 0.5) / 0.5, 3)
        wanted = (out.logits - targets)[hidden].abs().mean()
        torch.testing.assert_close(out.loss, wanted)
        assert model(pictures).loss is None

    @pytest.mark.parametrize("hidden", [torch.ones(3, 15) > 0, torch.ones(3, 16)])
    def test_other_masks_are_refused(self, hidden, pictures):
        with pytest.raises(ValueError, match=r"hidden must be a bool tensor of \(3, 16\) \(batch, patches\)"):
            made(PatchTransformerForMaskedImageModeling)(pictures, hidden=hidden)

    def test_what_guessed_them_opens_as_a_classifier(self, pictures, tmp_path):
        model = made(PatchTransformerForMaskedImageModeling, position_type="rotary", window=2)
        model.save_pretrained(tmp_path)
        body = AutoModel.from_pretrained(tmp_path).eval()
        wanted = model.encoder(pictures).last_hidden_state
        torch.testing.assert_close(body(pictures).last_hidden_state, wanted)
        head, info = AutoModelForImageClassification.from_pretrained(tmp_path, num_labels=5, output_loading_info=True)
        torch.testing.assert_close(head.eval().encoder(pictures).last_hidden_state, wanted)
        assert info["missing_keys"] == {"classifier.weight", "classifier.bias"}
        assert head(pictures).logits.shape == (3, 5)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"patch_size": 5}, r"patch_size must divide image_size, 12, but 5 came: try one of \[1, 2, 3, 4, 6, 12\]"),
        ({"patch_size": 0}, "patch_size must divide image_size"),
        ({"num_attention_heads": 0}, "hidden_size and num_attention_heads must be at least 1, but 16 and 0 came"),
        ({"intermediate_size": 0}, "intermediate_size at least 1, but 2 and 0 came"),
        ({"window": 0}, "window must be at least 1, but 0 came"),
        ({"hidden_size": 17}, r"hidden_size must be a multiple of 2 with 2 heads .* but 17 came: try 16"),
        ({"hidden_size": 20, "position_type": "rotary"}, r"must be a multiple of 8 .* but 20 came: try 16"),
        ({"hidden_size": 18, "position_type": "sinusoidal"}, r"must be a multiple of 4 "),
        ({"pixel_std": (1.0, 1.0)}, "pixel_std must be one number, or one for each of 1 channels, but 2 came"),
    ],
)
def test_shapes_that_cannot_be_are_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        PatchTransformerConfig(**SMALL | fields)


@pytest.mark.parametrize("shape", [(2, 2, 12, 12), (2, 1, 12, 15), (2, 1, 28, 28), (1, 12, 12)])
def test_other_pictures_are_refused(shape):
    with pytest.raises(ValueError, match=r"pixel_values must be \(batch, 1, 12, 12\), but .* came"):
        made(PatchTransformerModel)(torch.rand(shape))


def test_tables_of_places_are_made_anew_when_a_model_is_opened(tmp_path):
    """They are not saved, and models are first made without numbers in them."""
    model = made(PatchTransformerModel, position_type="sinusoidal", window=1)
    model.save_pretrained(tmp_path)
    opened = PatchTransformerModel.from_pretrained(tmp_path)
    assert not any("grid" in name for name in model.state_dict())
    for name, table in copy.deepcopy(model.grid).named_buffers():
        assert torch.equal(getattr(opened.grid, name), table)
