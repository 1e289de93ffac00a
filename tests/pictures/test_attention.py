"""Attention maps hold the weights, and name their tokens."""

import numpy as np
import pytest
import torch

from selfsup.pictures.attention import draw_head, draw_heads, token_labels

QUERIES, KEYS = ["[BOS]", "Haus", "$$"], ["[CLS]", "the", "house", "[SEP]"]


def weights(*sizes: int) -> torch.Tensor:
    return torch.rand(*sizes, generator=torch.Generator().manual_seed(0)).softmax(-1)


def ticks(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def test_every_head_has_its_map_in_one_scale(tmp_path):
    given = weights(2, 3, 3, 4)
    figure = draw_heads(given, QUERIES, KEYS, tmp_path / "new" / "heads.png", title="cross")
    assert (tmp_path / "new" / "heads.png").read_bytes().startswith(b"\x89PNG")
    *maps, bar = figure.axes
    assert figure.get_suptitle() == "cross"
    assert bar.get_ylabel() == "attention weight"
    for number, axes in enumerate(maps):
        layer, head = divmod(number, 3)
        assert axes.get_title() == f"layer {layer}, head {head}"
        assert np.array_equal(np.asarray(axes.images[0].get_array()), given[layer, head])
        assert axes.images[0].get_clim() == (0.0, pytest.approx(given.max().item()))
    assert ticks(maps[3].yaxis) == QUERIES
    assert ticks(maps[5].xaxis) == KEYS


def test_one_head_shows_its_weights_as_numbers_while_there_is_room(tmp_path):
    given = np.array([[0.25, 0.75, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.125, 0.125, 0.25, 0.5]])
    axes, bar = draw_head(given, QUERIES, KEYS, tmp_path / "head.png", title="layer 1, head 0").axes
    assert np.array_equal(np.asarray(axes.images[0].get_array()), given)
    assert [text.get_text() for text in axes.texts][:6] == ["25", "75", "0", "0", "0", "0"]
    assert (ticks(axes.yaxis), ticks(axes.xaxis)) == (QUERIES, KEYS)
    assert "%" in bar.get_ylabel()
    long = [str(number) for number in range(120)]
    axes, _ = draw_head(weights(120, 120), long, long, tmp_path / "long.png", title="").axes
    assert not axes.texts
    assert ticks(axes.xaxis) == long[::2]  # each would overlap the next


def test_labels_must_be_those_of_the_weights(tmp_path):
    with pytest.raises(ValueError, match=r"\(layers, heads, 3 queries, 4 keys\) .* \(2, 3, 4, 3\) came"):
        draw_heads(weights(2, 3, 4, 3), QUERIES, KEYS, tmp_path / "a.png", title="")
    with pytest.raises(ValueError, match=r"\(3 queries, 4 keys\) .* \(1, 3, 4\) came"):
        draw_head(weights(1, 3, 4), QUERIES, KEYS, tmp_path / "a.png", title="")


@pytest.mark.parametrize(
    ("tokens", "labels"),
    [
        (["[CLS]", "▁The", "▁", "end", "\n", "▁Ġan"], ["[CLS]", "The", "␣", "end", "↵", "Ġan"]),
        (["<s>", "The", "Ġend", "Ċ", "Ġ"], ["<s>", "The", "end", "↵", "␣"]),
        (["[CLS]", "play", "##ing"], ["[CLS]", "play", "##ing"]),
    ],
)
def test_labels_are_what_people_read(tokens, labels):
    assert token_labels(tokens) == labels
