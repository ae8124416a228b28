"""Directions of class embeddings: the images, the files, and the commands that use them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from biggan_discovery import discover
from biggan_discovery.directions import Directions
from biggan_discovery.directions.defaults import load_generator_for, open_directions
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator, FunctionGenerator, load_generator
from biggan_discovery.generators.biggan import BigGANBase
from biggan_discovery.generators.class_space import ClassSpace, in_space
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.samples import draw_latents
from biggan_discovery.rendering import edit, sample_latents
from biggan_discovery.rendering.latent_files import load_samples
from tests.brock_tiny import save_tiny_brock
from tests.cli.console import Console
from tests.tiny import save_tiny_biggan

Z_DIM, CLASSES = 16, 5
KINDS = {"deep": save_tiny_biggan, "brock": save_tiny_brock, "flat": lambda path: save_tiny_brock(path, hier=False)}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BigGANBase]:
    folder = tmp_path_factory.mktemp("networks")
    return {name: load_generator(save(folder / name), device="cpu") for name, save in KINDS.items()}  # pyright: ignore[reportReturnType]


def shift_to(generator: ClassSpace, y: Tensor, goal: Tensor) -> Tensor:
    """c that leads from the embeddings of classes y to those of class weights."""
    table = generator.inner.class_table()
    assert table is not None
    return (goal @ table - table[y].view(-1, *[1] * (goal.ndim - 2), table.shape[1])) / generator.scale


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("space", ["class", "both"])
def test_samples_are_those_of_the_generator(networks, kind: str, space: str) -> None:
    inner = networks[kind]
    generator = in_space(inner, space)
    z, y = draw_latents(generator, [1, 3], count=3, seed=0, stream=0)
    own, same = draw_latents(inner, [1, 3], count=3, seed=0, stream=0)
    assert torch.equal(y, same)
    assert torch.equal(z[:, : inner.z_dim], own)
    assert not z[:, inner.z_dim :].any()
    assert torch.equal(sample_latents(generator, 2, 5)[:, : inner.z_dim], sample_latents(inner, 2, 5))
    assert torch.equal(generator(z, y), inner(own, y))
    assert in_space(generator, "z") is inner
    assert in_space(generator, space) is generator


@pytest.mark.parametrize("kind", KINDS)
def test_a_shift_leads_from_class_to_class(networks, kind: str) -> None:
    generator = in_space(networks[kind], "class")
    z, y = sample_latents(networks[kind], 3, 0), torch.tensor([0, 1, 2])
    goal = torch.eye(CLASSES)[[4, 3, 1]]
    moved = torch.cat((z, shift_to(generator, y, goal)), dim=1)
    torch.testing.assert_close(generator(moved, y), networks[kind](z, goal), atol=2e-5, rtol=0)


@pytest.mark.parametrize("kind", ["deep", "brock"])
@pytest.mark.parametrize("layers", ["mid", "2", "fine"])
def test_only_the_layers_of_a_direction_are_reached(networks, kind: str, layers: str) -> None:
    """As weights per layer say, which another test compares with the reference implementation."""
    inner = networks[kind]
    generator = in_space(inner, "class")
    z, y = sample_latents(inner, 2, 0), torch.tensor([0, 2])
    goal = torch.eye(CLASSES)[[1, 3]]
    delta = torch.cat((torch.zeros_like(z), shift_to(generator, y, goal)), dim=1)
    start = torch.nn.functional.pad(z, (0, delta.shape[1] - Z_DIM))
    of_layers = torch.eye(CLASSES)[y][:, None].repeat(1, inner.num_layers, 1)
    from biggan_discovery.generators.layer_range import to_layer_range

    reached = to_layer_range(layers, inner.num_layers)
    of_layers[:, reached.first : reached.last + 1] = goal[:, None]
    found = generator(generator.shift(start, delta, layers), y)
    torch.testing.assert_close(found, inner(z, of_layers), atol=2e-5, rtol=0)


@pytest.fixture
def red(tmp_path: Path) -> str:
    """A score: how red images are."""
    (tmp_path / "score.py").write_text("def red(images):\n    return images[:, 0].mean(dim=(1, 2))\n")
    return f"{tmp_path / 'score.py'}:red"


@pytest.mark.parametrize("kind", ["deep", "brock"])
def test_a_score_has_its_gradient_in_class_space(networks, kind: str, red: str) -> None:
    asked = {"classes": [1], "samples": 4, "judge": False, "quiet": True}
    found = discover(networks[kind], space="class", score=red, **asked)
    z, y = draw_latents(generator := in_space(networks[kind], "class"), [1], count=4, seed=0, stream=Stream.SEARCH)
    steps = 0.02 * torch.nn.functional.pad(torch.eye(len(found.Q[0]) - Z_DIM), (Z_DIM, 0))
    ends = [[generator(z + sign * step, y)[:, 0].mean().item() for step in steps] for sign in (1, -1)]
    slopes = torch.tensor(ends[0]) - torch.tensor(ends[1])
    assert not found.Q[0, :Z_DIM].any()
    assert torch.nn.functional.cosine_similarity(found.Q[0, Z_DIM:], slopes, dim=0) > 0.98


@pytest.mark.parametrize(
    "asked", [{"target": "brighter,shift-x"}, {"method": "region", "region": "0,0,1,0.5"}, {"score": "SCORE"}]
)
@pytest.mark.parametrize("space", ["z", "both"])
def test_edits_that_are_asked_for_take_soft_classes(networks, asked: dict[str, str], space: str, red: str) -> None:
    score = {"score": red} if "score" in asked else {}
    common = {**asked, **score, "space": space, "samples": 2, "judge": False, "quiet": True}
    index, soft, mixed = (discover(networks["deep"], classes=each, **common) for each in ([2], "2:1", "2:0.5,3:0.5"))
    torch.testing.assert_close(soft.Q, index.Q, rtol=0, atol=1e-6)
    assert (mixed.Q - index.Q).norm() > 0.01


def test_the_unit_is_the_spread_of_embeddings(networks) -> None:
    table = networks["deep"].class_table().double()
    spread = (table - table.mean(dim=0)).square().mean().sqrt()
    assert in_space(networks["deep"], "class").scale == pytest.approx(spread.item())


@pytest.mark.parametrize("kind", KINDS)
def test_projections_are_the_weights_that_the_shift_meets(networks, kind: str) -> None:
    inner = networks[kind]
    of_class, of_both = (in_space(inner, space).projections() for space in ("class", "both"))
    size = inner.class_table().shape[1]
    assert of_class.shape[1] == size
    torch.testing.assert_close(of_both[:, inner.z_dim :], of_class)
    if kind == "deep":
        generator = in_space(inner, "class")
        assert torch.equal(of_both[:, : inner.z_dim], inner.projections())
        state = [generator.inner.network.first(torch.cat((torch.zeros(1, Z_DIM), c), dim=1))
                 for c in (torch.zeros(1, size), generator.scale * torch.eye(size)[2:3])]  # fmt: skip
        torch.testing.assert_close((state[1] - state[0])[0], of_class[:, 2], atol=1e-6, rtol=1e-5)
    else:  # The first layer sees no class; every row of a block's norms does.
        assert not of_class[: len(inner.network.linear.weight)].any()
        assert of_class.any(dim=0).all()


@pytest.mark.parametrize("space", ["class", "both"])
@pytest.mark.parametrize(
    "settings",
    [
        {"method": "sefa"},
        {"method": "random"},
        {"method": "jacobian", "samples": 2},
        {"method": "hessian", "samples": 2},
        {"method": "orojar", "solver": "adam", "steps": 2, "batch": 2},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_methods_find_directions_of_the_space(networks, tmp_path: Path, space: str, settings: dict) -> None:
    found = discover(networks["deep"], space=space, directions=3, judge=False, quiet=True, **settings)
    assert found.Q.shape == (3, 2 * Z_DIM)
    assert found.Q[:, :Z_DIM].any() == (space == "both")
    assert found.Q[:, Z_DIM:].any()
    found.save(tmp_path / "d.safetensors")
    loaded = Directions.load(tmp_path / "d.safetensors")
    assert loaded.metadata["space"] == space
    generator, _ = open_directions(networks["deep"], loaded)
    assert generator.space == space
    torch.testing.assert_close(loaded.Q @ loaded.Q.T, torch.eye(3), atol=1e-5, rtol=0)


def test_the_commands_know_the_space_by_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    console = Console(monkeypatch, capsys)
    save_tiny_biggan("tiny")
    search = ["discover", "--generator", "tiny", "--method", "sefa", "--no-judge", "--quiet", "--out", "run"]
    console(*search, "--space", "class")
    file = "run/directions.safetensors"
    assert "run contains a run with space 'class'" in console(*search, code=2).replace('"', "'")
    assert "space      class" in console("name", file)
    assert load_generator_for(Directions.load(file)).space == "class"
    saved = ["--save-latents", "same", "--save-edited", "e.npz"]
    for command in (
        ["visualize", file, "--only", "0", "--out", "v.png"],
        ["edit", file, "--set", "0=1", "--out", "e.png", *saved],
        ["samples", file, "--samples", "2", "--out", "s.png"],
        ["walk", file, "--samples", "2", "--move", "0=0:1", "--steps", "2", "--out", "w.webp"],
    ):
        console(*command, "--quiet")
    console("evaluate", file, "--metrics", "activeness", "--no-figures", "--quiet", "--out", "report")
    assert json.loads(Path("report/report.json").read_text())["sets"]
    # Latents of z alone are read, and written where embeddings are not shifted.
    assert np.load("same/noise_vectors.npy").shape == (1, Z_DIM)
    assert load_samples("e.npz", 2 * Z_DIM)[0].shape == (1, 2 * Z_DIM)
    console("edit", file, "--set", "0=1", "--latents", "same", "--out", "e2.png", "--quiet")
    error = console("edit", file, "--set", "0=1", "--save-edited", "edited", "--quiet", code=2)
    assert "the latents shift class embeddings, which edited cannot hold; save .npz" in error


def test_what_has_no_class_space(networks, tmp_path: Path) -> None:
    own = load_generator(save_tiny_brock(tmp_path, G_shared=False, hier=False, shared_dim=0), device="cpu")
    cases: list[tuple[FrozenGenerator, str, str]] = [
        (FunctionGenerator(lambda z: z[:, :3, None, None], z_dim=3), "class", "no class embedding that is known"),
        (own, "class", "no class embedding that its layers share"),
        (networks["deep"], "clas", "no space 'clas', did you mean 'class'|no space 'clas'"),
    ]
    for generator, space, said in cases:
        with pytest.raises(UserError, match=said):
            in_space(generator, space)
    with pytest.raises(UserError, match="whose class embeddings do not vary"):
        discover(networks["deep"], space="class", method="ganspace", judge=False, quiet=True)
    with pytest.raises(UserError, match="space must be z, class or both"):
        Directions(torch.eye(2), metadata={"space": "w"})


def test_an_edit_in_python(networks, tmp_path: Path) -> None:
    found = discover(networks["brock"], space="both", method="random", judge=False, quiet=True)
    edit(networks["brock"], found, {0: 1.0}, tmp_path / "e.png", quiet=True)
    assert (tmp_path / "e.png").exists()
