"""The filters that are shown are the weights of the first layer, the largest first."""

import pytest
import torch
from torch import nn
from transformers import ResNetConfig, ResNetModel, ViTModel

from selfsup.models.convnet import ConvNetForImageClassification
from selfsup.models.convnet_config import ConvNetConfig
from selfsup.models.vit import PatchTransformerModel
from selfsup.models.vit_config import PatchTransformerConfig
from selfsup.predicting.filters import filters_of
from selfsup.training.export import export
from selfsup.training.processors import plain_processor


def ordered(weights):
    return weights[weights.flatten(1).norm(dim=1).argsort(descending=True)]


def test_convolutions_come_first_of_all(tmp_path):
    model = ConvNetForImageClassification(
        ConvNetConfig(image_size=8, num_channels=3, channels=[4, 6], stage_depths=[1, 1])
    )
    export(model, plain_processor(8, 8), tmp_path / "ours")
    weights, said = filters_of(str(tmp_path / "ours"))
    torch.testing.assert_close(weights, ordered(model.state_dict()["encoder.stages.0.layers.0.convolution.weight"]))
    assert said == "filters of the first convolution"
    theirs = ResNetModel(ResNetConfig(num_channels=1, embedding_size=4, hidden_sizes=[4], depths=[1]))
    theirs.save_pretrained(tmp_path / "theirs")
    weights, said = filters_of(str(tmp_path / "theirs"))
    torch.testing.assert_close(weights, ordered(theirs.embedder.embedder.convolution.weight.detach()))
    assert said == "filters of the first convolution"


def test_patches_are_put_together_as_they_were_cut(tiny_picture_config, tmp_path):
    # Patches of 16 numbers and 16 wide: matrices of the blocks have the same shape.
    config = PatchTransformerConfig(image_size=8, num_channels=1, patch_size=4, hidden_size=16, num_hidden_layers=1,
                                    num_attention_heads=2, intermediate_size=16)  # fmt: skip
    model = PatchTransformerModel(config)
    export(model, plain_processor(8, 8), tmp_path / "ours")
    weights, said = filters_of(str(tmp_path / "ours"))
    assert (tuple(weights.shape), said) == ((16, 1, 4, 4), "patch embeddings")
    picture = torch.rand(1, 1, 8, 8)
    projection = model.embeddings.projection
    seen = nn.functional.conv2d(model.embeddings.pixels(picture), projection.weight.reshape(16, 1, 4, 4),
                                projection.bias, stride=4)  # fmt: skip
    torch.testing.assert_close(seen.flatten(2).transpose(1, 2), model.embeddings(picture))
    torch.testing.assert_close(weights, ordered(projection.weight.detach().reshape(16, 1, 4, 4)))
    theirs = ViTModel(tiny_picture_config)
    theirs.save_pretrained(tmp_path / "theirs")
    weights, said = filters_of(str(tmp_path / "theirs"))
    torch.testing.assert_close(weights, ordered(theirs.embeddings.patch_embeddings.projection.weight.detach()))
    assert said == "patch embeddings"


def test_what_does_not_look_at_pictures_is_refused(pretrained):
    with pytest.raises(ValueError, match=r"a model of pictures is wanted, but .* is a TextEncoderModel, which reads"):
        filters_of(str(pretrained))
