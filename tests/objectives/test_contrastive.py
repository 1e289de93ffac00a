"""Two views of a picture: the loss by hand, and the same gradient from one process as from two."""

import socket

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
from torch.nn.functional import cosine_similarity

from selfsup.data.collate import collate
from selfsup.data.images import Picture
from selfsup.objectives import Contrastive, Rotation
from selfsup.objectives.augmentation import Augmentation
from selfsup.objectives.rotation import TURNS
from selfsup.training.processors import plain_processor


def examples(number: int = 4):
    chance = np.random.default_rng(0)
    return [{"image": Picture(chance.integers(0, 256, (1, 8, 8), dtype=np.uint8))} for _ in range(number)]


def test_the_loss_by_hand():
    objective = Contrastive(temperature=0.5)
    vectors = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))  # first views of three, then second ones
    wanted = 0.0
    for own in range(6):
        scores = [float(cosine_similarity(vectors[own], vectors[other], dim=0)) / 0.5 for other in range(6)]
        others = sum(np.exp(score) for other, score in enumerate(scores) if other != own)
        wanted -= np.log(np.exp(scores[(own + 3) % 6]) / others)
    loss = objective.loss({"logits": vectors}, {}, "model")["view"]
    assert float(loss) == pytest.approx(wanted, rel=1e-5)
    same = torch.cat([torch.eye(3), torch.eye(3)])
    assert objective.hits({"logits": same}, {}, "model")["view"] == 6


def test_views_that_are_alike_are_no_question():
    with pytest.raises(ValueError, match="are to differ, but the augmentation that came alters nothing"):
        Contrastive(Augmentation())
    assert not Contrastive().augmentation.keeps


def test_views_are_two_draws_of_the_same_picture(tiny_picture_config):
    objective = Contrastive(Augmentation(flip=0.5, brightness=0.5))
    objective.bind(plain_processor(8, 8), tiny_picture_config)
    rows = [objective.corrupt(objective.encode(one), rng=np.random.default_rng(n), progress=None)
            for n, one in enumerate(examples())]  # fmt: skip
    batch = collate([[row] for row in rows], padding={})
    assert objective.counts(batch, "model") == {"view": 8}
    first, second = objective.inputs(batch)["pixel_values"].split(4)
    draws = batch["chances"].split(batch["chances"].shape[1] // 2, dim=1)
    pictures = batch["pixel_values"].float() / 255
    assert torch.equal(first, objective.augmentation.alter(pictures, draws[0]))
    assert torch.equal(second, objective.augmentation.alter(pictures, draws[1]))
    assert not torch.equal(first, second)


def test_turns_are_known_and_learnt_ones_are_drawn(tiny_picture_config):
    objective = Rotation()
    assert objective.survey(examples()) == list(TURNS)
    tiny_picture_config.label2id = {name: number for number, name in enumerate(TURNS)}
    objective.bind(plain_processor(8, 8), tiny_picture_config)
    drawn = set()
    for number, one in enumerate(examples(6)):
        objective.check(one)
        row = objective.encode(one)
        assert TURNS[int(row["labels"])] == objective.reference(one)
        rows = row, objective.corrupt(row, rng=np.random.default_rng(number), progress=0.0)
        for some in rows:
            (seen,) = objective.inputs(collate([[some]], padding={}))["pixel_values"]
            back = np.rot90(seen.numpy(), -int(some["labels"]), axes=(1, 2))
            np.testing.assert_array_equal(back, np.float32(one["image"].pixels) / np.float32(255))
            drawn.add(int(some["labels"]))
    assert drawn == {0, 1, 2, 3}
    with pytest.raises(ValueError, match="square pictures can be turned"):
        objective.check({"image": Picture(np.zeros((1, 4, 6), np.uint8))})


def _gradient(rank: int, port: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    whole, weight = made()
    part = whole[[0, 1, 4, 5]] if rank == 0 else whole[[2, 3, 6, 7]]  # two pictures each, both views
    loss = Contrastive().loss({"logits": part @ weight}, {}, "model")["view"]
    loss.backward()
    torch.distributed.all_reduce(weight.grad)
    torch.save(weight.grad, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def made() -> tuple[torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(0)
    return torch.randn(8, 6, generator=chance), torch.randn(6, 3, generator=chance).requires_grad_()


@pytest.mark.slow
def test_pictures_of_other_processes_push_away_too(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.start_processes(_gradient, (port, str(tmp_path)), nprocs=2, start_method="fork")
    whole, weight = made()
    Contrastive().loss({"logits": whole @ weight}, {}, "model")["view"].backward()
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt", weights_only=True), weight.grad)
