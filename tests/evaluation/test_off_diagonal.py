from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from biggan_discovery import FunctionGenerator
from biggan_discovery.directions import random_frame
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.metric import View
from biggan_discovery.evaluation.metrics.off_diagonal import (
    HESSIANS,
    OFF_DIAGONAL,
    PRODUCTS,
    unseen_cost,
    unseen_matrices,
)
from biggan_discovery.generators.layer_range import ALL, to_layer_range
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.samples import draw
from tests.search.test_joint_diagonalization import FRAME, Counting, generator, separable

SIZES: dict[str, Any] = {"samples": 6, "sketches": 3}


def test_the_true_frame_leaves_nothing_of_the_hessians_off_the_diagonal():
    matrices = unseen_matrices(generator(), **SIZES)
    assert matrices.ratios(FRAME.float())["hessian"].max() < 1e-3
    frames = [random_frame(6, 6, seed=0, stream=Stream.CHANCE_FRAMES, index=index) for index in range(200)]
    mean = torch.stack([matrices.ratios(each)["hessian"] for each in frames]).mean()
    assert mean == pytest.approx(1, abs=0.1)


def test_products_are_those_of_exact_derivatives():
    made = generator()
    matrices = unseen_matrices(made, epsilon=0.01, path_size=2.0, seed=3, **SIZES)
    drawn = draw(made, [0], 6, count=6, probes=1, path_size=2.0, seed=3, stream=Stream.OFF_DIAGONAL, step=0)
    for index in range(6):
        point = (drawn.z + drawn.w + 0.01 * drawn.probes[0])[index].double()
        J = torch.func.jacrev(lambda x: separable(x[None]).flatten())(point)
        assert torch.allclose(matrices.products[index, 0], J.T @ J / len(J), rtol=1e-3, atol=1e-5)


def test_its_cost_is_what_it_evaluates(monkeypatch):
    from biggan_discovery.evaluation.metrics import off_diagonal
    from biggan_discovery.generators.batching import Batch

    function = Counting()
    counted = FunctionGenerator(function, z_dim=6, resolution=4, channels=3)
    monkeypatch.setattr(off_diagonal, "gradient_batch", lambda _: Batch(8))
    unseen_matrices(counted, **SIZES)
    assert unseen_cost(counted, layers="all", **SIZES) == function.forward + function.backward


def test_sets_share_the_matrices():
    made = generator()
    view = View(made, FRAME.float(), to_layer_range(ALL, 1), [0], path_size=2.0, epsilon=0.05, sizes=SIZES)
    assert OFF_DIAGONAL.shared_cost(view) == unseen_cost(made, layers="all", **SIZES)
    good = OFF_DIAGONAL(view)
    assert OFF_DIAGONAL.shared_cost(view) == 0
    other = random_frame(6, 6, seed=0, stream=Stream.CHANCE_FRAMES, index=0)
    bad = OFF_DIAGONAL(dataclasses.replace(view, Q=other))
    assert good[HESSIANS].mean < 0.01 < bad[HESSIANS].mean
    assert good[PRODUCTS].mean < bad[PRODUCTS].mean


def test_a_linear_network_has_no_hessians_to_judge():
    linear = FunctionGenerator(lambda z: z[:, :3].view(-1, 3, 1, 1) * 1.0, z_dim=4)
    view = View(linear, torch.eye(4), to_layer_range(ALL, 1), [0], path_size=1.0, epsilon=0.5, sizes=SIZES)
    assert OFF_DIAGONAL(view)[PRODUCTS].mean == pytest.approx(0, abs=1e-6)


def test_one_latent_has_no_standard_error():
    with pytest.raises(UserError, match="samples is 1"):
        unseen_matrices(generator(), samples=1)
