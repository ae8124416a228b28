"""Latents that are held back, and how many are taken."""

from __future__ import annotations

import contextlib
import signal
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from biggan_discovery import Directions, FunctionGenerator, discover
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation import recovery
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.samples import draw
from biggan_discovery.runs.folder import State, read_saved
from biggan_discovery.runs.interrupts import Interrupts
from biggan_discovery.search import joint_diagonalization
from biggan_discovery.search.evidence import Evidence, held_back
from biggan_discovery.search.growth import most_latents, next_total, round_of
from tests.search.test_joint_diagonalization import FRAME, frame, generator, separable

N = 5
FORMS = torch.randn(12, N, N, generator=torch.Generator().manual_seed(0))
FORMS = FORMS + FORMS.mT
ROTATION = frame(N, 3).float()


def quadratic(z: torch.Tensor) -> torch.Tensor:
    """Every pixel a quadratic form times a function of z: its Hessian varies with z and has no common frame."""
    forms = torch.einsum("ni,pij,nj->np", z, FORMS.to(z), z) / 10
    return (forms + torch.sin(z @ ROTATION.T.to(z))[:, :1] * forms).view(-1, 3, 2, 2)


def hessians(z: torch.Tensor) -> torch.Tensor:
    """The Hessian of every pixel at a latent by autograd, (12, N, N)."""
    return torch.func.jacrev(torch.func.jacrev(lambda x: quadratic(x[None]).flatten()))(z)


def relative(matrices: torch.Tensor, Q: torch.Tensor) -> float:
    """Off-diagonal sum of squares of (m, N, N) relative to the mean over random frames, by sampling these."""

    def off(rows: torch.Tensor) -> torch.Tensor:
        rotated = rows @ matrices @ rows.T
        return rotated.square().sum() - rotated.diagonal(dim1=1, dim2=2).square().sum()

    random = torch.stack([off(frame(N, seed)) for seed in range(1500)])
    return (off(Q) / random.mean()).item()


def test_unseen_values_are_those_of_exact_derivatives():
    made = FunctionGenerator(quadratic, z_dim=N)
    found = discover(made, method="hessian", samples=16, path_size=2.0, epsilon=0.01, judge=False, quiet=True)
    expected: dict[str, dict[bool, list[float]]] = {"hessian": {}, "orojar": {}}
    for latent in range(16):
        sample = draw(made, [0], N, count=1, probes=1, path_size=2.0, seed=0, stream=Stream.SEARCH, step=latent)
        z = (sample.z + sample.w)[0].double()
        J = torch.func.jacrev(lambda x: quadratic(x[None]).flatten())(z)
        for kind, matrices in (("hessian", hessians(z)), ("orojar", (J.T @ J)[None])):
            expected[kind].setdefault(latent % 4 == 3, []).append(relative(matrices, found.Q.double()))
    for kind, values in expected.items():
        figures = found.metadata["unseen"][kind]["found"]
        unseen = torch.tensor(values[True])
        assert figures["own"] == pytest.approx(sum(values[False]) / 12, rel=0.05)
        assert figures["unseen"] == pytest.approx(unseen.mean().item(), rel=0.05)
        assert figures["standard_error"] == pytest.approx((unseen.std() / 2).item(), rel=0.1)
    assert found.metadata["unseen"]["latents"] == {"own": 12, "unseen": 4}
    own = found.metadata["unseen"]["hessian"]
    assert own["found"]["own"] < own["jacobian"]["own"]


def test_every_fourth_latent_is_held_back():
    assert held_back(9).nonzero()[:, 0].tolist() == [3, 7]
    few = discover(generator(), samples=3, quiet=True).metadata
    assert few["unseen"]["latents"] == {"own": 3, "unseen": 0}
    assert few["rounds"][-1]["unseen"] is None
    one = discover(generator(), samples=5, quiet=True).metadata["unseen"]["hessian"]["found"]
    assert one["unseen"] is not None
    assert one["standard_error"] is None


def test_sefa_is_scored_where_the_first_layer_is_known():
    weight = torch.randn(9, 6, generator=torch.Generator().manual_seed(1))
    made = generator()
    assert "sefa" not in discover(made, samples=8, quiet=True).metadata["unseen"]["hessian"]
    known = FunctionGenerator(separable, z_dim=6, projections=weight)
    assert discover(known, samples=8, quiet=True).metadata["unseen"]["hessian"]["sefa"]["unseen"] > 0.3


def test_a_search_ends_when_more_latents_do_not_help():
    found = discover(generator(), judge=False, quiet=True)
    assert [each["latents"] for each in found.metadata["rounds"]] == [16, 24]
    assert found.metadata["rounds"][-1]["gain"] + found.metadata["rounds"][-1]["gain_error"] < 0.005
    assert max(found.metadata["error_angle"]) < 1


def noisy() -> FunctionGenerator:
    """Many pixels with Hessians of no common frame but a weak one: latents are added up to the limit."""
    random = torch.Generator().manual_seed(5)
    weights = torch.randn(8, 40, generator=random)
    phases = torch.randn(40, generator=random)
    return FunctionGenerator(
        lambda z: torch.sin(3 * z @ weights.to(z) + phases.to(z))[:, :36].view(-1, 1, 6, 6), z_dim=8
    )


def test_the_gain_of_a_round_is_that_of_each_held_back_latent():
    random = torch.Generator().manual_seed(0)
    matrices = torch.randn(12, 2, N, N, dtype=torch.float64, generator=random)
    matrices = matrices + matrices.mT
    evidence = Evidence.of({"hessian": matrices}, torch.eye(N, dtype=torch.float64).expand(12, N, N))
    before, after = frame(N, 1), frame(N, 2)
    gains = torch.tensor([relative(each, before) - relative(each, after) for each in matrices[3::4]])
    this = round_of(evidence, after, before, "hessian", {"hessian": 1.0})
    assert this["gain"] == pytest.approx(gains.mean().item(), rel=0.02)
    assert this["gain_error"] == pytest.approx((gains.std() / 3**0.5).item(), rel=0.02)


UNLIMITED: Any = SimpleNamespace(samples=None, evaluations=None, minutes=None)


def measured(latents: int, *, dimensions: int = 12, facts: dict[str, Any] | None = None) -> State:
    """The state of a search after some latents of 10 evaluations."""
    history = [[0.0, 10.0 * (latent + 1)] for latent in range(latents)]
    start = {"start": torch.eye(dimensions)}
    return State({}, start, ("penalty", "evaluations"), latents, history, facts or {})


@pytest.mark.parametrize(
    ("gain", "error", "gap", "ends"), [(0, 0.001, 0, True), (0, 0.01, 0, False), (0, 0, 0.1, False)]
)
def test_a_search_ends_once_it_is_known_that_more_latents_do_not_help(gain, error, gap, ends):
    facts = {"rounds": [{"own": 0.8, "unseen": 0.8, "gain": gain, "gain_error": error, "gap": gap}]}
    assert (next_total(UNLIMITED, measured(24, facts=facts), 1.0) is None) == ends


@pytest.mark.parametrize(
    ("latents", "dimensions", "evaluations", "most"),
    [
        (16, 16, None, 64),
        (16, 32, None, 64),
        (16, 50, None, 100),
        (20, 50, 690, 69),
        (20, 50, 10_000, 100),
        (4, 9, 8, 1),
    ],
)
def test_a_search_takes_two_latents_for_each_dimension_at_most(latents, dimensions, evaluations, most):
    state = measured(latents, dimensions=dimensions)
    limits: Any = SimpleNamespace(samples=None, evaluations=evaluations, minutes=None)
    assert most_latents(limits, state) == most
    assert most_latents(SimpleNamespace(samples=500), state) == 500  # pyright: ignore[reportArgumentType]


def test_the_last_round_ends_with_the_most_latents():
    facts = {"rounds": [{"own": 0.8, "unseen": 0.8, "gain": 1.0, "gain_error": 0.0, "gap": 0.0}]}
    assert next_total(UNLIMITED, measured(40, facts=facts), 1.0) == 60
    assert next_total(UNLIMITED, measured(56, facts=facts), 1.0) == 64
    assert next_total(UNLIMITED, measured(64, facts=facts), 1.0) is None


def test_evaluations_limit_a_search():
    cost = 2 * 8 * 2  # of a latent with one sketch
    found = discover(noisy(), sketches=1, evaluations=30 * cost, judge=False, quiet=True)
    assert found.metadata["generator_evaluations"] == 30 * cost
    assert found.metadata["rounds"][-1]["latents"] == 30
    few = discover(noisy(), sketches=1, evaluations=5 * cost, judge=False, quiet=True)
    assert few.metadata["generator_evaluations"] == 5 * cost


@pytest.mark.parametrize("first", [{"samples": 5}, {"evaluations": 200}, {}])
def test_more_latents_go_on_from_those_that_are_measured(tmp_path, first):
    """Bit for bit as if all had been asked for at once; names given in between are not lost."""
    asked: dict[str, Any] = {"sketches": 1, "judge": False, "quiet": True}
    whole = discover(noisy(), samples=90, out=tmp_path / "whole", **asked)
    few = discover(noisy(), out=tmp_path / "parts", **first, **asked)
    measured = read_saved(tmp_path / "parts").step  # pyright: ignore[reportOptionalMemberAccess]
    few.rename(0, "mine")
    few.save(tmp_path / "parts" / "directions.safetensors")
    more = discover(noisy(), samples=90, out=tmp_path / "parts", **asked)
    assert torch.equal(more.Q, whole.Q)
    assert more.metadata == whole.metadata
    assert (tmp_path / "parts" / "history.csv").read_text() == (tmp_path / "whole" / "history.csv").read_text()
    assert Directions.load(tmp_path / "parts" / f"directions-{measured}.safetensors").names[0] == "mine"
    assert discover(noisy(), samples=90, out=tmp_path / "parts", **asked).metadata == whole.metadata
    with pytest.raises(UserError, match="contains a run with samples 90, not 20"):
        discover(noisy(), samples=20, out=tmp_path / "parts", **asked)
    with pytest.raises(UserError, match="contains a run with seed 0, not 1"):
        discover(noisy(), samples=120, seed=1, out=tmp_path / "parts", **asked)


def test_minutes_limit_a_search():
    found = discover(noisy(), sketches=1, minutes=1e-6, judge=False, quiet=True)
    assert [each["latents"] for each in found.metadata["rounds"]] == [16]


def test_undetermined_and_dead_directions_come_last():
    """Two of six directions have no effect, and three may be rotated freely."""

    def images(z: torch.Tensor) -> torch.Tensor:
        x = z @ FRAME.T.to(z)
        squares = 0.4 * x[:, :3].square().sum(1, keepdim=True)
        return torch.cat((squares, torch.sin(x[:, 3:4])), 1).view(-1, 2, 1, 1)

    found = discover(FunctionGenerator(images, z_dim=6), method="hessian", samples=24, quiet=True, judge=False)
    assert found.metadata["determined"] == 1
    assert recovery(found.Q, FRAME[3:4]).partners == [0]
    angles, strength = found.metadata["error_angle"], found.metadata["strength"]
    assert angles[0] < 1
    assert min(angles[1:]) > 15
    assert strength[1] > strength[0]  # stronger, but undetermined
    assert max(strength[4:]) < 1e-6 * strength[1]


# Both kinds of matrices


def test_products_that_mislead_are_left_out():
    """The Hessians have one frame, all JᵀJ another."""
    common, other = frame(6, 1), frame(6, 2)
    random = torch.Generator().manual_seed(0)
    diagonals = torch.randn(2, 32, 1, 6, dtype=torch.float64, generator=random)
    of_hessians = common.T @ torch.diag_embed(diagonals[0]) @ common
    products = other.T @ torch.diag_embed(diagonals[1].square()) @ other
    evidence = Evidence.of({"hessian": of_hessians, "orojar": products}, products[:, 0])
    assert evidence.best_weights("hessian", "orojar") == {"hessian": 1.0, "orojar": 0.0}


def test_products_that_agree_help_noisy_hessians():
    common = frame(6, 1)
    random = torch.Generator().manual_seed(0)
    diagonals = torch.randn(2, 16, 1, 6, dtype=torch.float64, generator=random)
    noise = torch.randn(16, 1, 6, 6, dtype=torch.float64, generator=random)
    of_hessians = common.T @ torch.diag_embed(diagonals[0]) @ common + noise + noise.mT
    products = common.T @ torch.diag_embed(diagonals[1].square()) @ common
    evidence = Evidence.of({"hessian": of_hessians, "orojar": products}, products[:, 0])
    assert evidence.best_weights("hessian", "orojar")["orojar"] >= 0.5


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_any_number_of_latents_is_enough_to_run(samples):
    found = discover(generator(), samples=samples, quiet=True, judge=False)
    assert found.Q.shape == (6, 6)
    assert found.metadata["rounds"][-1]["latents"] == samples


def test_a_linear_network_is_left_to_the_products_of_its_first_derivatives():
    linear = FunctionGenerator(lambda z: (z * torch.tensor([1.0, 3, 2, 5])).view(-1, 4, 1, 1) / 30, z_dim=4)
    found = discover(linear, samples=8, sketches=2, epsilon=0.5, quiet=True, judge=False)
    assert recovery(found.Q, torch.eye(4)).mean > 0.999
    one = FunctionGenerator(lambda z: torch.sin(z).view(-1, 1, 1, 1), z_dim=1)
    assert discover(one, quiet=True, judge=False).Q.shape == (1, 1)


def test_combined_is_the_default_and_adam_minimizes_the_hessian_penalty():
    assert discover(generator(), samples=4, quiet=True).metadata["method"] == "combined"
    adam = discover(generator(), steps=1, batch=2, quiet=True).metadata
    assert adam["method"] == "hessian"
    with pytest.raises(UserError, match="combined is computed by joint-diagonalization only"):
        discover(generator(), method="combined", solver="adam", quiet=True)


def test_adam_is_judged_by_the_same():
    found = discover(generator(), solver="adam", steps=150, batch=4, lr=0.05, quiet=True)
    unseen = found.metadata["unseen"]
    assert unseen["latents"] == {"unseen": 12}
    assert unseen["hessian"]["found"]["unseen"] < 0.7 < unseen["hessian"]["random"]["unseen"]
    assert set(unseen["orojar"]) == {"found", "before", "random"}


# Stopping and resuming between steps of the solver


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_frame_is_fitted(tmp_path, monkeypatch, number):
    asked = {"samples": 12, "sketches": 1, "judge": False, "quiet": True}
    whole = discover(noisy(), out=tmp_path / "whole", **asked)
    take_leg, legs = joint_diagonalization.leg, []
    interrupts: list[Interrupts] = []
    monkeypatch.setattr(Interrupts, "remembered", lambda self: (interrupts.append(self), contextlib.nullcontext())[1])

    def interrupted(*arguments):
        legs.append(None)
        if len(legs) == 2:
            interrupts[-1]._received = number
        return take_leg(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(joint_diagonalization, "leg", interrupted)
        with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit):
            discover(noisy(), out=tmp_path / "stopped", **asked)
    assert len(legs) == 2
    resumed = discover(noisy(), out=tmp_path / "stopped", **asked)
    assert torch.equal(resumed.Q, whole.Q)
    for name in ("history.csv", "state.safetensors", "directions.safetensors"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
