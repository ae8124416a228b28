"""Closed-form methods against dense linear algebra."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan_discovery.directions import pad
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator, FunctionGenerator, load_generator
from biggan_discovery.numerics.eigenvectors import fixed_signs, leading_eigenvectors
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.samples import draw
from biggan_discovery.search import Found
from biggan_discovery.search.methods.ganspace import ganspace
from biggan_discovery.search.methods.jacobian import jacobian
from biggan_discovery.search.methods.sefa import sefa
from biggan_discovery.search.settings import run_settings
from biggan_discovery.search.table import find_method
from tests.brock_tiny import save_tiny_brock
from tests.tiny import save_tiny_biggan, tiny_network

FAMILIES = {"biggan-deep": save_tiny_biggan, "brock": save_tiny_brock}
LAYERS = ["all", "0", "1-2"]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture(scope="module", params=FAMILIES)
def generator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FrozenGenerator:
    return load_generator(str(FAMILIES[request.param](tmp_path_factory.mktemp(request.param))))


def found_by(
    method: str, generator: FrozenGenerator, directions: int | None = None, *, seed: int = 0, layers: str = "all", **own
) -> Found:
    by, _ = find_method(method, None, own)
    classes = own.pop("classes", list(range(generator.num_classes)))
    settings = run_settings(
        generator, by, method, classes=classes, layers=layers, directions=directions, seed=seed, **own
    )
    return by.find(generator, settings, quiet=True)


def assert_same_up_to_sign(rows: torch.Tensor, expected: np.ndarray, atol: float = 1e-4) -> None:
    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    cosines = (rows.double().numpy() * expected).sum(axis=1)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=atol)


def assert_signs(rows: torch.Tensor) -> None:
    largest = rows.abs().argmax(dim=1)
    assert (rows[torch.arange(len(rows)), largest] > 0).all()


@given(st.integers(0, 2**31))
@settings(deadline=None, max_examples=10)
def test_signs_do_not_depend_on_the_sign_of_what_comes_in(seed: int):
    rows = normal(4, 6, seed=seed)
    flips = torch.tensor([1.0, -1.0, -1.0, 1.0])[:, None]
    assert torch.equal(fixed_signs(rows), fixed_signs(flips * rows))
    assert_signs(fixed_signs(rows))


# SeFa


@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 2**31))
@settings(deadline=None, max_examples=15)
def test_sefa_is_the_svd_of_rows_of_length_one(dim: int, rows: int, seed: int):
    weight = normal(rows, dim, seed=seed)
    found = sefa(weight)
    scaled = weight.numpy() / np.linalg.norm(weight.numpy(), axis=1, keepdims=True)
    singular = np.zeros(dim)
    _, values, right = np.linalg.svd(scaled)
    singular[: len(values)] = values
    np.testing.assert_allclose(found.values["eigenvalues"], singular**2, atol=1e-9)
    # Along each row the scaled weight stretches as much as its singular value says, and rows are orthonormal.
    np.testing.assert_allclose(np.linalg.norm(scaled @ found.A.double().numpy().T, axis=0), singular, atol=1e-5)
    torch.testing.assert_close(found.A @ found.A.T, torch.eye(dim))
    assert_same_up_to_sign(found.A[:1], right[:1], atol=1e-3 if len(values) < 2 or values[0] > 1.01 * values[1] else 1)
    assert_signs(found.A)


def test_sefa_does_not_see_how_long_the_rows_are_and_fewer_directions_are_the_first():
    weight = normal(30, 7)
    lengths = torch.linspace(0.1, 10, 30, dtype=torch.float64)[:, None]
    torch.testing.assert_close(sefa(lengths * weight).A, sefa(weight).A)
    few = sefa(weight, 3)
    assert torch.equal(few.A, sefa(weight).A[:3])
    assert len(few.values["eigenvalues"]) == 3
    assert few.evaluations == 0


def test_a_row_of_zeros_is_no_output_to_scale():
    weight = normal(5, 3)
    torch.testing.assert_close(sefa(torch.cat((weight, torch.zeros(2, 3)))).A, sefa(weight).A)


@pytest.mark.parametrize("layers", LAYERS)
def test_sefa_of_generators(generator: FrozenGenerator, layers: str):
    found = found_by("sefa", generator, 3, layers=layers)
    weight = generator.projections(layers).double().numpy()
    scaled = weight / np.linalg.norm(weight, axis=1, keepdims=True)
    _, values, right = np.linalg.svd(scaled)
    assert found.A.dtype == torch.float32
    assert_same_up_to_sign(found.A, right[:3])
    np.testing.assert_allclose(found.values["eigenvalues"], values[:3] ** 2, rtol=1e-6)


# GANSpace


def least_squares_by_numpy(outputs: np.ndarray, latents: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and explained variances, by PCA and lstsq over all samples at once."""
    centred = outputs - outputs.mean(axis=0)
    _, values, components = np.linalg.svd(centred, full_matrices=False)
    coordinates = centred @ components[:count].T
    rows = np.linalg.lstsq(coordinates, latents - latents.mean(axis=0), rcond=None)[0]
    return rows, values[:count] ** 2 / (len(outputs) - 1)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_ganspace_of_a_nonlinear_layer(offset: float):
    W, z = normal(20, 6, seed=1), normal(500, 6, seed=2) * torch.arange(1, 7) ** 0.5

    def layer(z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(z @ W.T / 5) + offset

    found = ganspace(layer, z.split(120), 4)
    rows, variances = least_squares_by_numpy(layer(z).numpy(), z.numpy(), 4)
    assert_same_up_to_sign(found.A, rows, atol=1e-6)
    np.testing.assert_allclose(found.values["explained_variance"], variances, rtol=1e-6)
    total = layer(z).var(dim=0).sum().item()
    np.testing.assert_allclose(found.values["explained_variance_ratio"], variances / total, rtol=1e-6)
    torch.testing.assert_close(found.A.norm(dim=1), torch.ones(4))
    assert_signs(found.A)
    assert found.evaluations == 0


def test_ganspace_in_batches_is_ganspace_at_once():
    z = normal(100, 5)
    together, apart = (ganspace(torch.sin, batches) for batches in ([z], z.split(7)))
    torch.testing.assert_close(together.A, apart.A)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_directions_that_a_layer_does_not_see_come_last_and_are_orthogonal_to_the_others(dtype: torch.dtype):
    W = normal(10, 4, dtype=dtype)
    found = ganspace(lambda z: z[:, :4] @ W.T, [normal(200, 6, dtype=dtype)])
    assert found.values["explained_variance"][4:] == [0, 0]
    assert min(found.values["explained_variance"][:4]) > 0.01
    torch.testing.assert_close(found.A[4:] @ found.A.T, torch.eye(6)[4:], atol=1e-6, rtol=0)


def test_ganspace_of_biggan_deep_against_outputs_of_the_packages_own_layers(tmp_path: Path):
    """Compare with PCA over outputs of the original layers, recorded by hooks, for the same latents and one class."""
    generator = load_generator(str(save_tiny_biggan(tmp_path)))
    network = tiny_network()
    samples = 100
    z = draw(
        generator, [0], 1, count=samples, probes=2, path_size=1.0, seed=3, stream=Stream.SEARCH, step=0
    ).z  # fmt: skip
    for layers, modules in (
        ("all", [network.generator.gen_z]),
        ("2", [part for bn in range(4) for part in _conditions(network.generator.layers[1], bn)]),
    ):
        outputs = torch.cat(_outputs(network, modules, z), dim=1)
        rows, variances = least_squares_by_numpy(outputs.double().numpy(), z.double().numpy(), 4)
        found = found_by("ganspace", generator, 4, layers=layers, seed=3, samples=samples)
        assert_same_up_to_sign(found.A, rows, atol=1e-3)
        np.testing.assert_allclose(found.values["explained_variance"], variances, rtol=1e-3)


def _outputs(network: torch.nn.Module, modules: list[torch.nn.Module], z: torch.Tensor) -> list[torch.Tensor]:
    """Outputs of some modules of the package's network for one class."""
    seen: list[torch.Tensor] = []
    handles = [module.register_forward_hook(lambda *call: seen.append(call[-1])) for module in modules]
    with torch.no_grad():
        network(z, torch.eye(5)[2].expand(len(z), 5), 1.0)
    for handle in handles:
        handle.remove()
    return seen


def _conditions(block: torch.nn.Module, bn: int) -> list[torch.nn.Module]:
    norm = getattr(block, f"bn_{bn}")
    return [norm.scale, norm.offset]


@pytest.mark.parametrize(("layers", "sizes"), [("all", [100]), ("0", [100]), ("1-2", [100]), ("3", [1000, 500])])
def test_ganspace_of_generators_against_all_samples_at_once(generator: FrozenGenerator, layers: str, sizes: list[int]):
    # A second thousand is drawn as another step.
    parts = [
        draw(generator, [0], 1, count=size, probes=2, path_size=1.0, seed=5, stream=Stream.SEARCH, step=step).z
        for step, size in enumerate(sizes)
    ]
    z = torch.cat(parts)[:, generator.search_space(layers)].double()
    rows, variances = least_squares_by_numpy((z @ generator.projections(layers).double().T).numpy(), z.numpy(), 3)
    found = found_by("ganspace", generator, 3, layers=layers, seed=5, samples=len(z))
    assert_same_up_to_sign(found.A, rows)
    np.testing.assert_allclose(found.values["explained_variance"], variances, rtol=1e-5)


def test_ganspace_depends_on_the_seed_alone(generator: FrozenGenerator):
    state = torch.get_rng_state()
    first, again, other = (found_by("ganspace", generator, 2, seed=seed, samples=50).A for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


# The Jacobian


def test_block_lanczos_of_a_batch_against_dense_eigenvectors():
    roots = normal(3, 12, 12) * torch.linspace(1, 0.1, 12, dtype=torch.float64)
    matrices = roots.mT @ roots
    values, vectors = leading_eigenvectors(lambda columns: matrices @ columns, normal(3, 12, 4, seed=1), 2)
    exact_values, exact_vectors = np.linalg.eigh(matrices.numpy())
    np.testing.assert_allclose(values, exact_values[:, ::-1][:, :2], rtol=1e-7)
    cosines = (vectors.numpy() * exact_vectors[:, :, ::-1][:, :, :2]).sum(axis=1)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-7)


def test_block_lanczos_stops_at_a_good_guess_and_never_takes_more_than_all_products():
    root = normal(40, 30)
    matrix, taken = root.T @ root, []

    def multiply(columns: torch.Tensor) -> torch.Tensor:
        taken.append(columns.shape[1])
        return matrix @ columns

    _, vectors = leading_eigenvectors(multiply, normal(30, 3, seed=1), 3)
    assert sum(taken) <= 30
    taken.clear()
    again, _ = leading_eigenvectors(multiply, vectors, 3)
    assert taken == [3]
    np.testing.assert_allclose(again, np.linalg.eigvalsh(matrix.numpy())[::-1][:3], rtol=1e-6)
    taken.clear()
    leading_eigenvectors(multiply, torch.eye(30).double(), 30)
    assert taken == [30]


def mlp(dim: int):
    first, second = normal(16, dim, seed=1), normal(50, 16, seed=2)
    return lambda z: torch.tanh(torch.tanh(z @ first.T) @ second.T).unflatten(1, (2, 5, 5))


def dense(G, z: torch.Tensor) -> np.ndarray:
    """J (N, outputs, dim) by central differences in float64, with steps that cross almost no ReLU kink."""
    axes = 1e-8 * torch.eye(z.shape[1], dtype=torch.float64)
    return np.stack([((G(z + axis) - G(z - axis)) / 2e-8).flatten(1).numpy() for axis in axes], axis=-1)


@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize("ndirs", [1, 3, 10])
def test_jacobian_against_the_svd_of_the_full_matrix(samples: int, ndirs: int):
    z, G = normal(samples, 10, seed=3) / 3, mlp(10)
    found = jacobian(G, z, ndirs)
    _, values, right = np.linalg.svd(dense(G, z).reshape(-1, 10) / samples**0.5)
    np.testing.assert_allclose(found.values["singular_values"], values[:ndirs], rtol=1e-4)
    assert_same_up_to_sign(found.A, right[:ndirs])
    torch.testing.assert_close(found.A @ found.A.T, torch.eye(ndirs), atol=1e-5, rtol=0)
    assert_signs(found.A)
    assert found.evaluations <= samples * (3 * 10 + 10)
    if ndirs == 10:
        assert found.evaluations == samples * (3 * 10 + 1)


def test_few_directions_of_many_coordinates_cost_few_products():
    W = torch.linalg.qr(normal(200, 120)).Q * 0.8 ** torch.arange(120)
    found = jacobian(lambda z: torch.sin(z @ W.T), torch.zeros(1, 120, dtype=torch.float64), 3)
    np.testing.assert_allclose(found.values["singular_values"], [1, 0.8, 0.64], rtol=1e-4)
    assert found.evaluations < 120


def test_jacobian_depends_on_the_seed_of_the_start_only_within_its_tolerance():
    z, G = normal(2, 10, seed=3) / 3, mlp(10)
    torch.testing.assert_close(jacobian(G, z, 2, seed=0).A, jacobian(G, z, 2, seed=1).A, atol=1e-3, rtol=0)


def test_keyword_arguments_are_handed_on():
    z, G = normal(2, 6, seed=3), mlp(6)
    doubled = jacobian(lambda z, *, scale: scale * G(z), z, scale=2.0)
    np.testing.assert_allclose(
        doubled.values["singular_values"], 2 * np.array(jacobian(G, z).values["singular_values"])
    )


@pytest.mark.parametrize("layers", ["all", "1-2"])
def test_jacobian_of_generators_against_the_full_matrix(generator: FrozenGenerator, layers: str):
    space = generator.search_space(layers)
    try:
        generator.double()  # in float32 a ReLU's kink can lie between the two
        samples = draw(
            generator, [1, 4], 1, count=2, probes=2, path_size=1.0, seed=7, stream=Stream.SEARCH, step=0
        )  # fmt: skip

        def images(delta: torch.Tensor) -> torch.Tensor:
            return generator(generator.shift(samples.z, pad(delta, space, generator.z_dim), layers), samples.y)

        exact = dense(images, torch.zeros(2, space.stop - space.start, dtype=torch.float64))
        found = found_by("jacobian", generator, 2, classes=[1, 4], layers=layers, seed=7, samples=2)
    finally:
        generator.float()
    _, values, right = np.linalg.svd(exact.reshape(-1, exact.shape[-1]) / 2**0.5)
    np.testing.assert_allclose(found.values["singular_values"], values[:2], rtol=1e-6)
    assert_same_up_to_sign(found.A, right[:2], atol=1e-6)


class _NoForwardMode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * x.cos()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-3)])
def test_networks_without_forward_mode_take_differences_and_say_so_once(
    caplog: pytest.LogCaptureFixture, dtype: torch.dtype, tolerance: float
):
    W, z = normal(9, 5, dtype=dtype), normal(2, 5, seed=1, dtype=dtype)
    found = jacobian(lambda z: _NoForwardMode.apply(z @ W.T), z)
    [record] = caplog.records
    assert record.getMessage().startswith("using central differences instead of forward-mode derivatives: ")
    exact = jacobian(lambda z: torch.sin(z @ W.T), z)
    assert len(caplog.records) == 1
    np.testing.assert_allclose(found.values["singular_values"], exact.values["singular_values"], rtol=tolerance)
    assert found.evaluations == exact.evaluations


def test_any_callable_is_a_generator_for_it():
    W = normal(3, 5, dtype=torch.float32) * 3
    generator = FunctionGenerator(lambda z: torch.sin(z @ W.T)[:, :, None, None], z_dim=5)
    z = draw(generator, [0], 1, count=2, probes=2, path_size=1.0, seed=0, stream=Stream.SEARCH, step=0).z
    found = found_by("jacobian", generator, 2, samples=2)
    assert torch.equal(found.A, jacobian(generator_of_one_class(generator), z, 2).A)


def generator_of_one_class(generator: FrozenGenerator):
    return lambda z: generator(z, torch.zeros(len(z), dtype=torch.int64))


# Bad input


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: sefa(torch.ones(3)), r"weight is a torch.float32 tensor \(3,\)"),
        (lambda: sefa(torch.ones(2, 3, dtype=torch.int64)), "weight is a torch.int64"),
        (lambda: sefa(torch.full((2, 3), torch.nan)), "finite floating-point matrix"),
        (lambda: sefa(torch.ones(2, 3), 4), "directions is 4; a space of 3"),
        (lambda: sefa(torch.ones(2, 3), 0), "directions is 0"),
        (lambda: sefa(torch.ones(2, 3), True), "directions is True"),
        (lambda: ganspace(torch.sin, [torch.ones(1, 3)]), "1 latents given"),
        (lambda: ganspace(torch.sin, []), "0 latents given"),
        (lambda: ganspace(lambda z: z * 0, [normal(9, 3)]), "the same for all latents"),
        (lambda: ganspace(lambda z: z.sum(1), [normal(9, 3)]), r"\(9, 3\) gave torch.float64 outputs \(9,\)"),
        (lambda: ganspace(lambda z: z / 0, [normal(9, 3)]), "must be finite"),
        (lambda: ganspace(lambda z: z, [normal(9, 3), normal(9, 4)]), "same width in every batch"),
        (lambda: ganspace(torch.sin, [normal(9, 3)], 5), "directions is 5"),
        (lambda: jacobian(torch.sin, torch.ones(3)), r"floating-point tensor \(N, dim\)"),
        (lambda: jacobian(torch.sin, torch.ones(1, 3), 4), "directions is 4"),
        (lambda: jacobian(lambda z: z.detach(), torch.ones(1, 3)), "is not a differentiable function of z"),
    ],
)
def test_bad_input(call, said: str):
    with pytest.raises(UserError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_bad_input_to_generators(generator: FrozenGenerator):
    for method in ("sefa", "ganspace", "jacobian"):
        with pytest.raises(UserError, match="directions is 17; a space of 16"):
            found_by(method, generator, 17)
        with pytest.raises(UserError, match="layers '0-99'"):
            found_by(method, generator, 2, layers="0-99")
    for method in ("ganspace", "jacobian"):
        with pytest.raises(UserError, match="samples is 0"):
            found_by(method, generator, 2, samples=0)
