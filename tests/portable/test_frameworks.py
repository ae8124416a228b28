"""The penalties for JAX and TensorFlow against those for PyTorch: same network, same latents, same probes, float64."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import biggan_discovery
from biggan_discovery.errors import UserError
from biggan_discovery.runs.trackers import TensorBoard
from tests.objectives.test_hessian_penalty import normal, signs

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

CLONE = Path(__file__).parents[2]
NAMES = ["hessian_penalty", "orojar", "spectral_penalty"]
OPTIONS = {"hessian_penalty": {"epsilon": 0.3}, "orojar": {"epsilon": 0.3}, "spectral_penalty": {"iterations": 2}}


@dataclasses.dataclass(frozen=True)
class Framework:
    """What tests need of a library of arrays.

    Attributes:
        module: the module with the three functions.
        array: from NumPy.
        network: from z and a matrix to two activations, with the library's operations.
        gradients: of a function of arrays, at some.
        compiled: the library's compiler of functions.
        mean: the library's mean over all entries.
    """

    module: Any
    array: Callable[..., Any]
    network: Callable[..., Any]
    gradients: Callable[..., list[np.ndarray]]
    compiled: Callable[[Any], Any]
    mean: Callable[..., Any]


def with_jax() -> Framework:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy

    def network(z: Any, matrix: Any) -> list[Any]:
        hidden = jnp.tanh(z.reshape(len(z), -1) @ matrix)
        return [hidden.reshape(len(z), 2, -1), hidden**2 @ matrix.T]

    def gradients(function: Callable, *arrays: Any) -> list[np.ndarray]:
        return list(map(np.asarray, jax.grad(function, argnums=tuple(range(len(arrays))))(*arrays)))

    return Framework(load("jax"), jnp.asarray, network, gradients, jax.jit, jnp.mean)


def with_tensorflow() -> Framework:
    tf = pytest.importorskip("tensorflow")

    def network(z: Any, matrix: Any) -> list[Any]:
        hidden = tf.tanh(tf.reshape(z, [tf.shape(z)[0], -1]) @ matrix)
        return [tf.reshape(hidden, [tf.shape(z)[0], 2, -1]), hidden**2 @ tf.transpose(matrix)]

    def gradients(function: Callable, *arrays: Any) -> list[np.ndarray]:
        with tf.GradientTape() as tape:
            tape.watch(arrays)
            value = function(*arrays)
        return [each.numpy() for each in tape.gradient(value, arrays)]

    return Framework(load("tensorflow"), tf.constant, network, gradients, tf.function, tf.reduce_mean)


def load(name: str) -> Any:
    return importlib.import_module(f"biggan_discovery.portable.{name}")


# A process that has loaded TensorFlow is aborted when it loads torch's compiler, as other tests do.
ALONE = "TESTS_OF_TENSORFLOW_ALONE" in os.environ


@pytest.fixture(scope="module", params=[with_tensorflow] if ALONE else [with_jax])
def framework(request: pytest.FixtureRequest) -> Framework:
    return request.param()


@pytest.mark.long
@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="tensorflow is not installed")
@pytest.mark.skipif(ALONE, reason="this is that process")
def test_all_of_these_with_tensorflow_in_a_process_of_its_own() -> None:
    environment = os.environ | {"TESTS_OF_TENSORFLOW_ALONE": "1", "PYTHONPATH": str(CLONE), "PYTEST_XDIST_WORKER": ""}
    options = ["-q", "--noconftest", "-p", "no:cacheprovider", "-p", "no:xdist"]
    arguments = [sys.executable, "-m", "pytest", *options, __file__]
    done = subprocess.run(arguments, cwd=CLONE, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) >= 25


def of_torch(z: torch.Tensor, matrix: torch.Tensor) -> list[torch.Tensor]:
    hidden = torch.tanh(z.flatten(1) @ matrix)
    return [hidden.unflatten(1, (2, -1)), hidden**2 @ matrix.T]


Z, MATRIX = normal(3, 2, 3, seed=0), normal(6, 8, seed=1) / 2
PROBES = {name: signs(3, 3, 2, 3, seed=2) for name in NAMES} | {"spectral_penalty": normal(2, 3, 2, 3, seed=2)}


@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients_are_those_of_pytorch(framework: Framework, name: str):
    z, matrix = Z.clone().requires_grad_(), MATRIX.clone().requires_grad_()
    options = OPTIONS[name]
    expected = getattr(biggan_discovery, name)(
        lambda z: of_torch(z, matrix), z, reduction=torch.mean, probes=PROBES[name], **options
    )
    gradients = torch.autograd.grad(expected, (z, matrix))

    def penalty(z: Any, matrix: Any) -> Any:
        return getattr(framework.module, name)(
            lambda z: framework.network(z, matrix),
            z,
            reduction=framework.mean,
            probes=framework.array(PROBES[name].numpy()),
            **options,
        )

    arrays = framework.array(Z.numpy()), framework.array(MATRIX.numpy())
    function = framework.compiled(penalty)
    assert float(function(*arrays)) == pytest.approx(expected.item(), rel=1e-9)
    for found, wanted in zip(framework.gradients(function, *arrays), gradients, strict=True):
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_defaults_and_separate_values_are_those_of_pytorch(framework: Framework, name: str):
    expected = getattr(biggan_discovery, name)(
        lambda z, scale: of_torch(scale * z, MATRIX), Z, return_separately=True, probes=PROBES[name], scale=0.5
    )
    found = getattr(framework.module, name)(
        lambda z, scale: framework.network(scale * z, framework.array(MATRIX.numpy())),
        framework.array(Z.numpy()),
        return_separately=True,
        probes=framework.array(PROBES[name].numpy()),
        scale=0.5,
    )
    np.testing.assert_allclose([float(each) for each in found], [each.item() for each in expected], rtol=1e-7)


def test_float32_hessian_penalty_does_not_lose_its_digits(framework: Framework):
    # 100 + z0 z1: without a shift, variances of second differences at ε = 0.01 are rounding errors.
    probes = np.array([[[1, 1]], [[1, -1]]], np.float32)
    penalty = framework.module.hessian_penalty(
        lambda z: z[:, 0] * z[:, 1], framework.array(np.zeros((1, 2), np.float32)), probes=framework.array(probes)
    )
    assert float(penalty) == pytest.approx(8, rel=1e-5)


@pytest.mark.skipif(ALONE, reason="TensorFlow is loaded in this process")
def test_tensorboard_does_not_load_tensorflow(tmp_path: Path):
    tracker = TensorBoard(tmp_path, 0, {"seed": 0})
    tracker.scalars({"loss": 1.0}, 1)
    tracker.close()
    assert "tensorflow" not in sys.modules
    assert list(tmp_path.glob("events*"))


def test_vanishing_jacobians_and_ranks(framework: Framework):
    z = framework.array(np.zeros((2, 3)))
    penalty = framework.module.spectral_penalty
    start = framework.array(normal(3, 2, 3, seed=0).numpy())
    assert float(penalty(lambda z: z**2, z, probes=start)) == 0
    assert framework.gradients(lambda z: penalty(lambda z: z**2, z, probes=start), z)[0].any() == np.False_
    row = framework.array(np.array([[0.6], [0.8], [0.0]]))
    assert float(penalty(lambda z: z @ row, z, probes=start)) == pytest.approx(0.36 / 3)


def random_options(framework: Framework, seed: int) -> dict[str, Any]:
    if framework.module.__name__.endswith("jax"):
        return {"key": importlib.import_module("jax").random.key(seed)}
    return {"generator": importlib.import_module("tensorflow").random.Generator.from_seed(seed)}


@pytest.mark.parametrize("name", NAMES)
def test_random_probes_follow_the_seed(framework: Framework, name: str):
    def penalty(seed: int) -> float:
        return float(
            getattr(framework.module, name)(
                lambda z: framework.network(z, framework.array(MATRIX.numpy())),
                framework.array(Z.numpy()),
                **random_options(framework, seed),
            )
        )

    assert penalty(1) == penalty(1)
    assert penalty(1) != penalty(2)


def test_the_mean_over_random_probes_is_the_closed_form(framework: Framework):
    # Each of 4,000 samples has probes of its own: 2·Σ_{i≠j} H_ij² = 4.
    z = framework.array(np.zeros((4000, 2)))
    variances = framework.module.hessian_penalty(
        lambda z: z[:, 0] * z[:, 1], z, reduction=framework.mean, **random_options(framework, 0)
    )
    assert float(variances) == pytest.approx(4, abs=0.3)


BAD = [
    ("hessian_penalty", {"k": 1}, "k is 1"),
    ("hessian_penalty", {"epsilon": 0.0}, "epsilon is 0.0"),
    ("orojar", {"reduction": "mean"}, "reduction is 'mean'"),
    ("orojar", {"z": np.zeros((2, 3), np.int64)}, "z is a int64"),
    ("orojar", {"z": None}, "z is a NoneType"),
    ("hessian_penalty", {"probes": np.ones((2, 2, 4))}, "probes have shape"),
    ("hessian_penalty", {"probes": np.zeros((2, 2, 3))}, r"other than \+1 and -1"),
    ("spectral_penalty", {"k": 4}, "k is 4; a latent with 3 coordinates"),
    ("spectral_penalty", {"probes": np.ones((2, 3))}, "probes have shape"),
    ("spectral_penalty", {"G": lambda _: None}, "G returned a NoneType"),
    ("orojar", {"G": lambda z: z[0]}, r"G returned shapes \[\(3,\)\] for 2 z"),
    ("orojar", {"G_z": "image"}, "G returned a str"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), BAD)
def test_bad_input(framework: Framework, name: str, arguments: dict[str, Any], message: str):
    arrays = {key: framework.array(each) if isinstance(each, np.ndarray) else each for key, each in arguments.items()}
    defaults = {"G": lambda z: z, "z": framework.array(np.zeros((2, 3)))} | random_options(framework, 0)
    with pytest.raises(UserError, match=message) as caught:
        getattr(framework.module, name)(**(defaults | arrays))
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(ALONE, reason="tested with JAX")
def test_jax_asks_for_a_key():
    jax = pytest.importorskip("jax")
    with pytest.raises(UserError, match="key is None; random probes need"):
        load("jax").orojar(lambda z: z, jax.numpy.zeros((2, 3)))


@pytest.mark.skipif(not ALONE, reason="tested in a process with TensorFlow")
def test_tensorflow_needs_no_generator_and_no_size_of_the_batch():
    tf = pytest.importorskip("tensorflow")
    module = load("tensorflow")

    @tf.function(input_signature=[tf.TensorSpec([None, 3])])
    def penalties(z: Any) -> list[Any]:
        return [getattr(module, name)(lambda z: tf.tanh(z @ tf.ones([3, 4])), z) for name in NAMES]

    assert all(np.isfinite(float(each)) for size in (2, 5) for each in penalties(tf.ones([size, 3])))


@pytest.mark.skipif(ALONE, reason="tested with JAX")
def test_they_do_not_load_torch():
    pytest.importorskip("jax")
    program = "import sys, biggan_discovery.portable.jax; print('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(CLONE)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
