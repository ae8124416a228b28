"""Precisions of Adam's steps; those of a GPU are tested on the CPU, whose 16-bit types round alike."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from biggan_discovery import Directions, FunctionGenerator, discover, load_generator
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import Batch
from biggan_discovery.generators.layer_range import parse_layers
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives import gradient as gradients_in_parts
from biggan_discovery.objectives.gradient import objective_gradient
from biggan_discovery.objectives.hessian_penalty import HESSIAN_PENALTY
from biggan_discovery.objectives.samples import draw
from biggan_discovery.search import adam, precision
from biggan_discovery.search.settings import AdamSettings
from tests.brock_tiny import save_tiny_brock
from tests.tiny import save_tiny_biggan

SETTINGS = {
    "classes": [0, 2],
    "directions": 6,
    "probes": 2,
    "path_size": 2.0,
    "seed": 0,
    "epsilon": 0.1,
    "batch": 4,
}


@pytest.fixture(scope="module", params=[save_tiny_biggan, save_tiny_brock], ids=["deep", "brock"])
def generator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FrozenGenerator:
    return load_generator(request.param(tmp_path_factory.mktemp("generator")), device="cpu")


def chosen(generator: FrozenGenerator, asked: str) -> tuple[str, float | None]:
    settings = AdamSettings(
        **SETTINGS,
        layers=parse_layers("all", generator.num_layers),
        steps=1,
        lr=1.0,
        orthogonalize="qr",
        init="random",
        precision=asked,
        micro_batch=None,
    )
    taken, facts = precision.gradient_precision(generator, settings, HESSIAN_PENALTY)
    return taken, facts.get("gradient_cosine")


def gradient(generator: FrozenGenerator) -> torch.Tensor:
    """The gradient of the penalty with respect to six random directions, at three samples."""
    settings = {key: SETTINGS[key] for key in ("probes", "path_size", "seed")}
    samples = draw(generator, [0], 6, count=3, stream=Stream.SEARCH, step=0, **settings)
    Q = torch.linalg.qr(torch.randn(generator.z_dim, 6, generator=torch.Generator().manual_seed(0)))[0].T
    return objective_gradient(HESSIAN_PENALTY, generator, Q, samples, 0.1, batch=Batch(8)).gradient


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float16, 2.0**-11), (torch.bfloat16, 2.0**-8)])
def test_sixteen_bits_change_images_by_their_rounding_only(
    generator: FrozenGenerator, dtype: torch.dtype, rounding: float
):
    z = torch.randn(3, generator.z_dim, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1, 2])
    exact = generator(z, y)
    images = generator.half_precision(dtype)(z, y)
    assert images.dtype == torch.float32
    assert 0 < (images - exact).abs().max() < 50 * rounding
    assert torch.equal(generator(z, y), exact)  # the original is as it was


def test_the_cosine_is_that_of_exact_gradients_and_finer_types_have_a_better_one(generator: FrozenGenerator):
    cosines = {asked: chosen(generator, asked)[1] for asked in ("float16", "bfloat16")}
    assert cosines["float16"] is not None
    assert cosines["bfloat16"] is not None
    assert 1 > cosines["float16"] > max(cosines["bfloat16"], 0.95)


def test_auto_on_a_cpu_is_float32_and_measures_nothing(generator: FrozenGenerator):
    assert chosen(generator, "auto") == ("float32", None)


def test_auto_takes_the_first_that_is_good_enough(generator: FrozenGenerator, monkeypatch: pytest.MonkeyPatch):
    coarse, fine = chosen(generator, "bfloat16")[1], chosen(generator, "float16")[1]
    assert coarse is not None
    assert fine is not None
    monkeypatch.setattr(precision, "_FASTEST_FIRST", {"cpu": ("bfloat16", "float16")})
    for least, taken, cosine in ((coarse, "bfloat16", coarse), ((coarse + fine) / 2, "float16", fine)):
        monkeypatch.setattr(precision, "LEAST_COSINE", least)
        assert chosen(generator, "auto") == (taken, cosine)
    monkeypatch.setattr(precision, "LEAST_COSINE", 1.1)
    taken, cosine = chosen(generator, "auto")
    assert taken == "float32"
    assert cosine is not None
    assert cosine > fine


def test_overflowing_gradients_are_computed_again_at_a_smaller_scale(
    generator: FrozenGenerator, monkeypatch: pytest.MonkeyPatch
):
    halved = generator.half_precision(torch.float16)
    gradients = []
    for scales in ((16.0,), (2.0**60, 16.0), (2.0**60, 16.0, 1.0)):
        monkeypatch.setattr(gradients_in_parts, "SCALES", scales)
        gradients.append(gradient(halved))
    assert gradients[0].isfinite().all()
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])


def test_scales_change_no_digit_of_float32(generator: FrozenGenerator, monkeypatch: pytest.MonkeyPatch):
    scaled = gradient(generator)
    monkeypatch.setattr(gradients_in_parts, "SCALES", (1.0,))
    assert torch.equal(gradient(generator), scaled)


def test_a_search_remembers_a_scale_that_fell_and_tries_the_largest_now_and_then(
    generator: FrozenGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    scales, tried, all_at = (2.0**60, 16.0, 1.0), [], gradients_in_parts.ObjectiveGradient._accumulated

    def counted(self, Q, samples, micro_batch, scale):
        tried.append(scale)
        return all_at(self, Q, samples, micro_batch, scale)

    for module in (gradients_in_parts, adam):
        monkeypatch.setattr(module, "SCALES", scales)
    monkeypatch.setattr(gradients_in_parts.ObjectiveGradient, "_accumulated", counted)
    monkeypatch.setattr(adam, "_TRIED_AGAIN", 3)
    run = {"steps": 5, "batch": 2, "directions": 3, "precision": "float16", "judge": False, "quiet": True}
    whole = discover(generator, out=tmp_path, **run)
    by_step = [2.0**60, 16.0, 16.0, 16.0, 2.0**60, 16.0, 16.0]
    assert tried[-len(by_step) :] == by_step
    with safe_open(tmp_path / "state.safetensors", framework="pt") as file:
        assert file.get_tensor("loss_scale").item() == 16.0
    monkeypatch.setattr(gradients_in_parts, "SCALES", scales[1:])
    monkeypatch.setattr(adam, "SCALES", scales[1:])
    assert torch.equal(discover(generator, **run).Q, whole.Q)


def test_a_search_keeps_its_precision(generator: FrozenGenerator, tmp_path: Path):
    run = {"steps": 4, "batch": 2, "directions": 3, "precision": "bfloat16", "judge": False, "quiet": True}
    whole = discover(generator, out=tmp_path / "whole", **run)
    assert whole.metadata["settings"]["precision"] == "bfloat16"
    assert 0.5 < whole.metadata["gradient_cosine"] < 1
    assert not torch.equal(whole.Q, discover(generator, **{**run, "precision": "float32"}).Q)
    with pytest.raises(UserError, match='precision "bfloat16", not "float32"'):
        discover(generator, out=tmp_path / "whole", **{**run, "precision": "float32"})
    kept = Directions.load(tmp_path / "whole" / "directions.safetensors")
    assert torch.equal(kept.Q, whole.Q)
    assert kept.metadata["gradient_cosine"] == whole.metadata["gradient_cosine"]


def test_micro_batches_change_nothing_but_rounding(generator: FrozenGenerator):
    run = {"steps": 2, "batch": 3, "directions": 3, "judge": False, "quiet": True}
    by_one, by_all = (discover(generator, micro_batch=size, **run).Q for size in (1, 100))
    torch.testing.assert_close(by_one, by_all, atol=1e-3, rtol=0)


def test_arithmetic_is_put_back():
    def flags() -> list[str]:
        return [torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision]

    before = flags()
    with precision.arithmetic("tf32"):
        assert flags() == ["tf32", "tf32"]
        with precision.arithmetic("float32"):
            assert flags() == ["ieee", "ieee"]
    assert flags() == before


@pytest.mark.parametrize("asked", ["tf32", "float64"])
def test_precisions_that_are_not_there(generator: FrozenGenerator, asked: str):
    with pytest.raises(UserError, match=asked):
        discover(generator, precision=asked, steps=1, quiet=True)


def test_a_users_function_computes_as_it_likes():
    generator = FunctionGenerator(lambda z: z.tanh()[:, :, None, None].expand(-1, -1, 2, 2), z_dim=3)
    found = discover(generator, steps=1, batch=2, quiet=True)
    assert found.metadata["settings"]["precision"] == "float32"
    with pytest.raises(UserError, match="own precision"):
        discover(generator, steps=1, batch=2, precision="float16", quiet=True)
