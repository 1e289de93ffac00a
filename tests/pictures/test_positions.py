"""Similarity of positions, against values worked out by hand and laws of the encodings."""

import numpy as np
import pytest
import torch

from selfsup.models.positions import rotate, rotation, sinusoids
from selfsup.pictures.positions import by_distance, cosine_similarity, draw_biases, draw_positions


def test_similarity_is_the_cosine():
    table = torch.tensor([[3.0, 0.0], [0.0, 2.0], [1.0, 1.0], [0.0, 0.0]])
    half = 0.5**0.5
    wanted = [[1, 0, half, 0], [0, 1, half, 0], [half, half, 1, 0], [0, 0, 0, 0]]
    assert np.allclose(cosine_similarity(table), wanted)
    assert by_distance(cosine_similarity(table[:2])).tolist() == [[1, 1, 1], [0, 0, 0]]


def test_rotary_similarity_falls_from_one_with_distance_alone():
    """The product of two equal vectors, turned, is the mean cosine of distance times frequency."""
    size, positions = 8, torch.arange(20)[None]
    table = rotate(torch.ones(1, 1, 1, size), *rotation(positions, size))[0, 0]
    mean, low, high = by_distance(cosine_similarity(table)).T
    frequencies = 10_000.0 ** -(np.arange(0, size, 2) / size)
    assert np.allclose(mean, np.cos(np.arange(20)[:, None] * frequencies).mean(axis=1), atol=1e-6)
    assert np.allclose(low, high, atol=1e-6)
    assert mean[0] == pytest.approx(1.0)
    assert (np.diff(mean[:4]) < 0).all()


def test_sinusoids_and_rotations_of_one_width_are_alike_in_the_same_way():
    positions = torch.arange(12)[None]
    turned = rotate(torch.ones(1, 1, 1, 16), *rotation(positions, 16))[0, 0]
    assert np.allclose(cosine_similarity(sinusoids(positions, 16)[0]), cosine_similarity(turned), atol=1e-6)


def test_the_picture_holds_map_and_curve(tmp_path):
    table = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    figure = draw_positions(table, tmp_path / "new" / "a.png", title="Learned")
    assert (tmp_path / "new" / "a.png").read_bytes().startswith(b"\x89PNG")
    left, right, bar = figure.axes
    assert np.allclose(np.asarray(left.images[0].get_array()), cosine_similarity(table))
    assert left.images[0].get_clim() == (-1, 1)
    assert np.allclose(right.lines[1].get_ydata(), by_distance(cosine_similarity(table))[:, 0])
    assert (figure.get_suptitle(), bar.get_ylabel()) == ("Learned", "cosine similarity")


def test_biases_have_a_line_for_each_head(tmp_path):
    biases = -torch.arange(5.0) * torch.tensor([[0.5], [0.25]])
    figure = draw_biases(biases, tmp_path / "a.svg", title="ALiBi")
    assert [np.asarray(line.get_ydata()).tolist() for line in figure.axes[0].lines] == biases.tolist()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["head 0", "head 1"]


def test_tables_of_other_shapes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"two or more positions .* \(1, 4\) came"):
        draw_positions(torch.ones(1, 4), tmp_path / "a.png", title="")
    with pytest.raises(ValueError, match=r"\(heads, distances\) are wanted, but \(4,\) came"):
        draw_biases(torch.ones(4), tmp_path / "a.png", title="")
