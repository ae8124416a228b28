from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan_discovery import Directions, FunctionGenerator, discover
from biggan_discovery.directions.activity import stored_changes
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation import recovery
from biggan_discovery.generators.batching import Batch
from biggan_discovery.numerics import trial
from biggan_discovery.numerics.derivatives import Derivative, jacobian_rows, pixel_hessians, sketched_hessians
from biggan_discovery.numerics.jacobi_angles import jointly_diagonalize
from biggan_discovery.runs import folder as run_folder
from biggan_discovery.search import adam, joint_diagonalization


def frame(size: int, seed: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=random)).Q


FRAME = frame(6, 0)
MIX = torch.nn.functional.normalize(torch.randn(6, 48, generator=torch.Generator().manual_seed(1)))
MIX = MIX * torch.tensor([5.0, 4, 3, 2, 1, 0.5])[:, None]


def separable(z: torch.Tensor) -> torch.Tensor:
    """A sum of functions of one coordinate each along FRAME, with decreasing strength."""
    return (torch.tanh(z @ FRAME.T.to(z)) @ MIX.to(z)).view(-1, 3, 4, 4)


def generator() -> FunctionGenerator:
    return FunctionGenerator(separable, z_dim=6)


# The solver on matrices whose common frame is known


@settings(deadline=None, max_examples=30)
@given(size=st.integers(1, 9), count=st.integers(2, 20), seed=st.integers(0, 2**31 - 1))
def test_a_common_frame_is_found(size, count, seed):
    Q = frame(size, seed)
    diagonals = torch.randn(count, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = jointly_diagonalize(Q.T @ torch.diag_embed(diagonals) @ Q)
    rest = found.Q @ (Q.T @ torch.diag_embed(diagonals) @ Q) @ found.Q.T
    assert (rest - torch.diag_embed(rest.diagonal(dim1=1, dim2=2))).abs().max() < 1e-5
    assert torch.allclose(found.Q @ found.Q.T, torch.eye(size, dtype=torch.float64), atol=1e-12)
    assert 0 <= found.off_diagonal < 1e-9


def test_a_common_frame_is_found_under_noise():
    random = torch.Generator().manual_seed(0)
    Q, count = frame(12, 3), 200
    diagonals = torch.randn(count, 12, dtype=torch.float64, generator=random)
    noise = 0.1 * torch.randn(count, 12, 12, dtype=torch.float64, generator=random)
    found = jointly_diagonalize(Q.T @ torch.diag_embed(diagonals) @ Q + (noise + noise.mT) / 2)
    assert recovery(found.Q, Q).mean > 0.999


def test_no_rotation_of_two_axes_does_better():
    """For matrices without a common frame, the best angle of every pair at the optimum, found by scanning, is 0."""
    random = torch.Generator().manual_seed(5)
    matrices = torch.randn(7, 5, 5, dtype=torch.float64, generator=random)
    matrices = matrices + matrices.mT
    found = jointly_diagonalize(matrices)

    def off(Q: torch.Tensor) -> float:
        rotated = Q @ matrices @ Q.T
        return (rotated.square().sum() - rotated.diagonal(dim1=1, dim2=2).square().sum()).item()

    least = off(found.Q)
    assert found.off_diagonal == pytest.approx(least / matrices.square().sum().item())
    for p in range(5):
        for q in range(p):
            for angle in torch.linspace(-0.8, 0.8, 41, dtype=torch.float64):
                rotation = torch.eye(5, dtype=torch.float64)
                rotation[p, p] = rotation[q, q] = angle.cos()
                rotation[p, q], rotation[q, p] = angle.sin(), -angle.sin()
                assert off(rotation @ found.Q) >= least - 1e-9


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        (torch.zeros(3, 3), "shape"),
        (torch.zeros(0, 3, 3), "shape"),
        (torch.full((1, 2, 2), float("nan")), "not finite"),
    ],
)
def test_bad_matrices(matrices, message):
    with pytest.raises(UserError, match=message):
        jointly_diagonalize(matrices)


# Derivatives against autograd's own


def curved(x: torch.Tensor) -> torch.Tensor:
    weights = torch.linspace(-1, 1, 4 * 9, dtype=x.dtype).view(4, 9)
    return torch.sin(x @ weights) * torch.exp(0.3 * x[:, :1]) + x[:, 1:2] * x[:, 2:3] ** 2


AXES = torch.eye(4, dtype=torch.float64)


def exact_hessians() -> torch.Tensor:
    first = torch.func.jacrev(lambda x: curved(x[None])[0])
    return torch.func.jacrev(first)(torch.zeros(4, dtype=torch.float64))  # (9, 4, 4)


@pytest.mark.parametrize("batch", [1, 5, 100])
def test_every_pixel_by_itself(batch):
    probes = torch.randn(14, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    entries, rows = pixel_hessians(curved, probes, 1e-3, Batch(batch))
    exact = exact_hessians()
    first, second = torch.triu_indices(4, 4, 1)
    assert torch.allclose(entries[:4].T, exact.diagonal(dim1=1, dim2=2), atol=1e-5)
    assert torch.allclose(entries[4:].T, 2**0.5 * exact[:, first, second], atol=1e-5)
    assert torch.allclose(entries.square().sum(0), exact.square().sum((1, 2)), atol=1e-4)
    assert torch.allclose(rows, torch.func.jacrev(lambda x: curved(x[None])[0])(torch.zeros(4).double()).T, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_random_combinations(batch):
    combinations = torch.randn(5, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    hessians, rows = sketched_hessians(curved, AXES, 1e-4, Batch(batch), lambda elements: combinations[:, :elements])
    assert torch.allclose(hessians, torch.einsum("sp,pij->sij", combinations, exact_hessians()), atol=1e-6)
    exact = torch.func.jacrev(lambda x: curved(x[None])[0])(torch.zeros(4).double()).T
    assert torch.allclose(rows, exact, atol=1e-6)


def test_forward_mode_and_its_replacement(caplog):
    exact = torch.func.jacrev(lambda x: curved(x[None])[0])(torch.zeros(4).double()).T
    rows, evaluations = jacobian_rows(curved, AXES, Batch(3), Derivative())
    assert torch.allclose(rows, exact, atol=1e-12)
    assert evaluations == 4 + 2
    assert not caplog.records

    def no_forward_mode(x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(curved(x).numpy())

    rows, evaluations = jacobian_rows(no_forward_mode, AXES, Batch(3), Derivative())
    assert torch.allclose(rows, exact, atol=1e-9)
    assert evaluations == 8
    assert [record.getMessage()[:25] for record in caplog.records] == ["using central differences"]


# Whole runs


@pytest.mark.parametrize("sketches", [0, 6])
def test_the_frame_of_a_separable_function_is_found_by_strength(sketches):
    found = discover(generator(), samples=20, sketches=sketches, quiet=True)
    matched = recovery(found.Q, FRAME)
    assert matched.mean > 0.999
    assert matched.partners == [0, 1, 2, 3, 4, 5]  # FRAME's rows are in the order of their strength
    assert found.metadata["strength"] == sorted(found.metadata["strength"], reverse=True)
    assert (found.Q.gather(1, found.Q.abs().argmax(1, keepdim=True)) > 0).all()
    penalties = found.metadata["held_out_penalty"]
    assert penalties["after"][0] < 1e-3 * penalties["random"][0]


def test_strength_is_the_mean_squared_derivative_of_the_image():
    linear = FunctionGenerator(lambda z: (z * torch.tensor([1.0, 3, 2])).view(-1, 3, 1, 1), z_dim=3)
    found = discover(linear, method="orojar", samples=2, quiet=True)
    assert found.metadata["strength"] == pytest.approx([9 / 3, 4 / 3, 1 / 3], rel=1e-4)
    assert torch.allclose(found.Q, torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]), atol=1e-4)


def test_fewer_directions_than_coordinates_are_kept_with_the_strength_of_random_ones():
    linear = FunctionGenerator(lambda z: (z * torch.tensor([0.1, 3, 2])).view(-1, 3, 1, 1), z_dim=3)
    every, two = (discover(linear, method="orojar", samples=2, directions=n, quiet=True) for n in (3, 2))
    assert "random_strength" not in every.metadata
    assert two.metadata["random_strength"] == pytest.approx(13.01 / 9, rel=0.2)
    assert stored_changes(two) == pytest.approx(stored_changes(every)[:2], rel=0.1)


def test_orojar_finds_orthogonal_jacobians():
    random = torch.Generator().manual_seed(4)
    patterns = torch.linalg.qr(torch.randn(48, 6, generator=random)).Q.T
    orthogonal = FunctionGenerator(
        lambda z: ((torch.sinh(z @ FRAME.T.to(z)) * torch.arange(1, 7)) @ patterns).view(-1, 3, 4, 4), z_dim=6
    )
    found = discover(orthogonal, method="orojar", quiet=True)
    assert recovery(found.Q, FRAME).mean > 0.999
    assert "objective_value" not in found.metadata


def test_fewer_directions_are_the_strongest():
    everything = discover(generator(), samples=4, quiet=True)
    two = discover(generator(), samples=4, directions=2, quiet=True)
    assert torch.allclose(two.Q, everything.Q[:2], atol=1e-6)


def test_directions_stay_in_the_span_of_a_start(tmp_path):
    rows = frame(6, 9)[:3].float()
    Directions(rows).save(tmp_path / "start.safetensors")
    found = discover(generator(), samples=4, init=tmp_path / "start.safetensors", quiet=True)
    assert found.Q.shape == (3, 6)
    assert torch.allclose(found.Q @ rows.T @ rows, found.Q, atol=1e-5)


class Counting:
    """A function that counts forward latents and backward gradients."""

    def __init__(self):
        self.forward = self.backward = 0

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        self.forward += len(z)
        images = separable(z)
        if images.requires_grad:
            images.register_hook(self.count_backward)
        return images

    def count_backward(self, gradient: torch.Tensor) -> None:
        self.backward += len(gradient)


@pytest.mark.parametrize(
    "asked",
    [
        {"samples": 3},
        {"samples": 3, "sketches": 4},
        {"steps": 2, "batch": 3, "probes": 4},
        {"method": "orojar", "steps": 2, "batch": 3, "probes": 4},
    ],
)
def test_evaluations_are_those_that_happened(monkeypatch, asked):
    function = Counting()
    counted = FunctionGenerator(function, z_dim=6, resolution=4, channels=3)
    for solver in (adam, joint_diagonalization):  # The number of images at once is found by trying one.
        monkeypatch.setattr(solver, "gradient_batch", lambda *_: Batch(8))
    monkeypatch.setattr(trial, "try_out", lambda _: None)
    found = discover(counted, quiet=True, judge=False, **asked)
    assert found.metadata["generator_evaluations"] == function.forward + function.backward


def test_a_warm_start_for_adam(tmp_path):
    asked = {"init": "joint-diagonalization", "steps": 2, "batch": 2, "quiet": True}
    found = discover(generator(), out=tmp_path / "kept", **asked)
    start = Directions.load(tmp_path / "kept" / "start" / "directions.safetensors")
    assert start.metadata["solver"] == "joint-diagonalization"
    cost = start.metadata["generator_evaluations"]
    assert found.metadata["generator_evaluations"] == cost + 2 * 2 * 4 * 2
    assert torch.equal(discover(generator(), **asked).Q, found.Q)
    assert recovery(found.Q, FRAME).mean > 0.99


class KilledError(Exception):
    """Simulates a killed process."""


@pytest.mark.parametrize("asked", [{}, {"sketches": 2}, {"method": "orojar"}])
def test_a_killed_run_ends_as_one_never_interrupted(tmp_path, monkeypatch, asked):
    asked = {"samples": 5, "save_every": 2, "quiet": True, **asked}
    discover(generator(), out=tmp_path / "whole", **asked)
    save = run_folder.State.save

    def dying_save(state, folder):
        save(state, folder)
        if state.step:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(run_folder.State, "save", dying_save)
        with pytest.raises(KilledError):
            discover(generator(), out=tmp_path / "broken", **asked)
    discover(generator(), out=tmp_path / "broken", **asked)
    for name in ("history.csv", "state.safetensors", "directions.safetensors"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("method", ["jacobian", "random", "coordinates"])
def test_closed_forms_leave_the_same_file(tmp_path, method):
    asked = {"method": method, "directions": 4, "quiet": True}
    found = discover(generator(), out=tmp_path, **asked)
    again = discover(generator(), out=tmp_path, **asked)
    assert torch.equal(again.Q, found.Q)
    assert found.Q.shape == (4, 6)
    assert found.metadata["method"] == method
    assert found.metadata["solver"] is None
    assert set(found.metadata["held_out_penalty"]) == {"random", "after"}
    with pytest.raises(UserError, match="directions 4, not 3"):
        discover(generator(), out=tmp_path, **{**asked, "directions": 3})


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"method": "sefa", "solver": "adam"}, "sefa is computed without a solver"),
        ({"solver": "adm"}, "did you mean 'adam'"),
        (
            {"method": "jacobian", "steps": 5},
            "whose settings are samples, micro_batch",
        ),
        ({"method": "random", "samples": 5}, "samples does nothing with random, which has no settings"),
        ({"solver": "joint-diagonalization", "lr": 0.1}, "lr does nothing with combined by joint-diag"),
        (
            {"method": "orojar", "solver": "joint-diagonalization", "epsilon": 0.1},
            "epsilon does nothing with orojar by joint",
        ),
        ({"solver": "adam", "samples": 5}, "samples does nothing with hessian by adam"),
        ({"samples": 0}, "samples is 0"),
        ({"sketches": -1}, "sketches is -1"),
        ({"solver": "joint-diagonalization", "init": "joint-diagonalization"}, "a start for the solver adam"),
        ({"method": "orojar", "path_size": -1.0, "steps": 1}, "path_size is -1.0; it should be a number of at least 0"),
        ({"method": "sefa"}, "the first linear layer of .function. is not known"),
    ],
)
def test_bad_settings(asked, message):
    with pytest.raises(UserError, match=message):
        discover(generator(), quiet=True, **asked)


def test_every_pixel_by_itself_is_for_few_dimensions():
    wide = FunctionGenerator(lambda z: z[:, :48].reshape(-1, 3, 4, 4), z_dim=60)
    with pytest.raises(UserError, match="with 60 dimensions"):
        discover(wide, sketches=0, quiet=True)
    assert discover(wide, samples=2, quiet=True).metadata["settings"]["sketches"] == 2
