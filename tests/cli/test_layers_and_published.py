from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from biggan_discovery.cli.exchange import import_command
from biggan_discovery.directions import Directions, read_matrix
from biggan_discovery.generators import load_generator
from biggan_discovery.rendering import sample_latents, to_uint8
from biggan_discovery.sealed import seal, unseal
from tests.brock_tiny import save_tiny_brock
from tests.cli.test_exchange import Console
from tests.rendering.tiles import assert_in_a_row, sheet_of
from tests.tiny import save_tiny_biggan

PUBLISHED = {  # As the fixtures' README has them: layers, directions, path size, names.
    "hessian_goldens_all": ("all", 120, 2.5, {5: "rotation", 6: "zoom", 8: "smoosh"}),
    "hessian_goldens_mid": (
        "mid",
        40,
        3.5,
        {0: "background removal", 5: "colorization", 8: "scene lighting", 25: "object lighting"},
    ),
    "orojar_goldens_mid": (
        "mid",
        40,
        3.5,
        {0: "background removal", 2: "object lighting", 8: "scene lighting", 21: "colorize"},
    ),
    "voynov": ("all", 120, 8.0, {}),
}


def gram_schmidt(rows: np.ndarray) -> np.ndarray:
    done: list[np.ndarray] = []
    for row in rows.astype(np.float64):
        for _ in range(2):
            for before in done:
                row = row - (row @ before) * before
        done.append(row / np.sqrt(row @ row))
    return np.stack(done)


def damage(path: Path, **values: object) -> None:
    """Write values into the header of a directions file that no `Directions` would take."""
    header, tensors = unseal(path)
    path.write_bytes(seal(tensors, {**header, **values}))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_directions_import_by_themselves(console: Console, fixtures_dir: Path, tmp_path: Path, name: str):
    layers, ndirs, path_size, names = PUBLISHED[name]
    source, out = fixtures_dir / "published-directions" / f"{name}.pt", tmp_path / "d.safetensors"
    console("import", source, "--out", out)
    found, raw = Directions.load(out), torch.load(source, weights_only=True).numpy()
    space = slice(40, 80) if layers == "mid" else slice(0, 120)
    assert found.Q.shape == (ndirs, 120)
    assert not np.delete(found.Q.numpy(), np.r_[space], axis=1).any()
    np.testing.assert_allclose(found.Q[:, space].numpy(), gram_schmidt(raw), rtol=0, atol=1e-5)
    assert {index: each for index, each in enumerate(found.names) if each} == names
    metadata = found.metadata
    assert (found.layers, metadata["classes"], metadata["class_names"]) == (layers, [207], ["golden retriever"])
    assert (metadata["generator"], metadata["truncation"], metadata["settings"]["path_size"]) == (
        "brock-128",
        1.0,
        path_size,
    )
    assert "github.com" in metadata["provenance"]
    console("export", out, tmp_path / "back.pt", "--raw")
    assert np.array_equal(torch.load(tmp_path / "back.pt", weights_only=True).numpy(), raw)


def test_what_is_known_can_be_overridden(console: Console, fixtures_dir: Path, tmp_path: Path):
    source, out = fixtures_dir / "published-directions" / "hessian_goldens_mid.pt", tmp_path / "d.safetensors"
    names = ",".join(["x"] + [""] * 39)
    options = "--layers fine --class church,5 --truncation 0.5 --path-size 6 --orthogonalize gram-schmidt"
    console("import", source, "--out", out, *options.split(), "--names", names)
    found = Directions.load(out)
    assert (found.layers, found.search_space, found.names[:6]) == ("fine", slice(80, 120), ["x", "", "", "", "", ""])
    assert (found.metadata["classes"], found.metadata["truncation"]) == ([497, 5], 0.5)
    assert found.metadata["settings"] == {"orthogonalize": "gram-schmidt", "path_size": 6.0}


def test_a_generator_of_other_sizes_is_warned_of(fixtures_dir: Path, tmp_path: Path):
    source = fixtures_dir / "published-directions" / "voynov.pt"

    def warning(generator: Path) -> str:
        options = ("--generator", generator, "--class", "3", "--out", tmp_path / "d.safetensors")
        result = CliRunner().invoke(import_command, [str(each) for each in (source, *options)])
        assert result.exit_code == 0
        return result.stderr

    other = save_tiny_brock(tmp_path / "other", resolution=64, dim_z=120)
    said = warning(other)
    assert said.startswith("warning: voynov is for a BigGAN of 128 pixels with z_dim 120; ")
    assert said.endswith(" is a BigGAN of 64 pixels with z_dim 120\n")
    assert said.count("\n") == 1
    assert not warning(fixtures_dir / "brock-biggan-128-ch4")


@pytest.mark.parametrize("name", ["hessian_goldens_mid", "voynov"])
def test_published_directions_render_and_edit(console: Console, fixtures_dir: Path, tmp_path: Path, name: str):
    """Compare pictures made by the commands with the formula applied to the bare matrix."""
    checkpoint, out = fixtures_dir / "brock-biggan-128-ch4", tmp_path / "d.safetensors"
    source = fixtures_dir / "published-directions" / f"{name}.pt"
    console("import", source, "--out", out)
    console(*f"visualize {out} --generator {checkpoint} --only 8 --frames 2 --format png --quiet".split())
    edit = f"edit {out} --generator {checkpoint} --set 8=+2 --set 0=1@2-3 --scale 1 --quiet --out {tmp_path}/e.png"
    console(*edit.split())
    q = np.zeros((2, 120))
    rows = gram_schmidt(torch.load(source, weights_only=True).numpy())[[8, 0]]
    q[:, 40:80] = rows if len(rows[0]) == 40 else rows[:, 40:80]
    if len(rows[0]) == 120:
        q[0] = rows[0]  # Only the second edit is for the middle layers alone.
    network = load_generator(checkpoint, device="cpu")
    z, (first, second) = sample_latents(network, 1, 0), torch.from_numpy(q)
    y = torch.tensor([207])
    with torch.no_grad():
        before, after = (to_uint8(network(at.float(), y))[0] for at in (z, z + 2 * first + second))
    assert_in_a_row(sheet_of(tmp_path / "e.png"), [before, after])


def test_rows_of_a_part_of_z(console: Console, tmp_path: Path):
    tiny = save_tiny_brock(tmp_path / "tiny")  # z of 16 in 4 chunks
    rows = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    np.save(tmp_path / "m.npy", rows)
    np.save(tmp_path / "wide.npy", np.pad(rows, ((0, 0), (4, 4))))
    out = tmp_path / "d.safetensors"
    for name in ("m", "wide"):
        console("import", tmp_path / f"{name}.npy", "--out", out, "--generator", tiny, "--layers", "1-2")
        np.testing.assert_allclose(Directions.load(out).Q[:, 4:12], gram_schmidt(rows), atol=1e-6)
    orthonormal = gram_schmidt(rows) * (1 + 2e-5)
    np.save(tmp_path / "o.npy", orthonormal)
    console("import", tmp_path / "o.npy", "--out", out, "--orthonormal")
    assert np.array_equal(Directions.load(out).Q, orthonormal.astype(np.float32))
    for arguments, message in [
        (("m.npy", "--generator", tiny, "--layers", "mid"), "these layers see 4"),
        (("m.npy", "--generator", tiny), "rows have 8 entries, but z has 16"),
        (("wide.npy", "--generator", tiny, "--layers", "2-3"), "not zero outside of z[8:16]"),
        (("m.npy", "--generator", tiny, "--layers", "2-4"), "layers 0 to 3"),
        (("m.npy", "--layers", "mid"), "--layers needs --generator"),
        (("m.npy", "--orthonormal"), "not orthonormal"),
        (("m.npy", "--preset", "voynof"), "did you mean 'voynov'"),
        (("m.npy", "--preset", "hessian-goldens-fine"), "z has 120, of which these layers see 40"),
    ]:
        first, *rest = arguments
        assert message in console("import", tmp_path / first, "--out", tmp_path / "no.safetensors", *rest, code=2)
    assert not (tmp_path / "no.safetensors").exists()


def test_a_preset_by_name_and_a_damaged_space(console: Console, tmp_path: Path):
    np.save(tmp_path / "m.npy", np.eye(40))
    out = tmp_path / "d.safetensors"
    console("import", tmp_path / "m.npy", "--out", out, "--preset", "hessian-goldens-fine")
    found = Directions.load(out)
    assert (found.layers, found.names[20], found.Q[0, 80].item()) == ("fine", "saturation", 1.0)
    damage(out, search_space=[80, 200])
    assert "search_space must be" in console("export", out, tmp_path / "m.csv", "--raw", code=2)


def test_components_of_ganspace(tmp_path: Path):
    components = np.random.default_rng(0).normal(size=(5, 1, 16)).astype(np.float32)
    others = {"act_comp": np.zeros((5, 1, 7)), "lat_mean": np.zeros((1, 16)), "var_ratio": np.zeros(5)}
    np.savez(tmp_path / "c.npz", lat_comp=components, **others)
    assert np.array_equal(read_matrix(tmp_path / "c.npz"), components[:, 0])


@pytest.fixture
def deep(tmp_path: Path) -> tuple[Path, Path]:
    """A tiny BigGAN-deep of 5 layers, and directions for layers 1-2."""
    folder, path = save_tiny_biggan(tmp_path / "deep"), tmp_path / "d.safetensors"
    A = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    Directions(A, metadata={"generator": str(folder), "layers": "1-2", "settings": {"path_size": 3.0}}).save(path)
    return folder, path


def test_one_direction_on_many_classes(console: Console, deep: tuple[Path, Path], tmp_path: Path):
    folder, path = deep
    options = "--only 1 --class 0,3,4 --transfer --frames 2 --format png --scale 1 --path-size 3 --quiet"
    console("visualize", path, *options.split())
    sheet = sheet_of(path.with_suffix(".png"))
    network, q = load_generator(folder, device="cpu"), Directions.load(path).Q[1]
    z = sample_latents(network, 1, 0)
    tops = []
    for label in (0, 3, 4):
        per_layer = z[:, None].repeat(2, 5, 1)
        per_layer[:, 1:3] += torch.tensor([-3.0, 3.0])[:, None, None] * q
        with torch.no_grad():
            tops.append(assert_in_a_row(sheet, list(to_uint8(network(per_layer, torch.full((2,), label))))))
    assert tops == sorted(tops)
    console("visualize", path, *f"--only 0 --transfer --samples 2 --frames 4 --out {tmp_path}/t.gif --quiet".split())
    said = console("visualize", path, "--transfer", "--quiet", "--format", "webp", code=2)
    assert "transfer shows one direction" in said


def test_layers_of_an_edit(console: Console, deep: tuple[Path, Path], tmp_path: Path):
    folder, path = deep
    out = tmp_path / "e.png"
    edit = ("edit", path, "--scale", "1", "--quiet", "--out", out)
    console(*edit, "--set", "0=+2", "--set", "1=-1@fine")
    network, Q = load_generator(folder, device="cpu"), Directions.load(path).Q
    z = sample_latents(network, 1, 0)
    per_layer = z[:, None].repeat(1, 5, 1)
    per_layer[:, 1:3] += 2 * Q[0]
    per_layer[:, 3:] -= Q[1]
    with torch.no_grad():
        before, after = (to_uint8(network(at, torch.tensor([0])))[0] for at in (z, per_layer))
    assert_in_a_row(sheet_of(out), [before, after])
    for setting, message in [
        ("0=1@5", "layers 0 to 4"),
        ("0=1@", "give all, coarse"),
        ("0=1@medium", "'medium'"),
        ("0=@mid", "not a number"),
    ]:
        assert message in console(*edit, "--set", setting, code=2)


def test_a_file_for_layers_that_the_generator_lacks(console: Console, deep: tuple[Path, Path], tmp_path: Path):
    _, path = deep
    for layers, said in (("4-8", "layers 0 to 4"), ("middle", "give all"), (7, "must be a string")):
        damage(path, layers=layers)
        for command in (("visualize", path, "--frames", "4"), ("edit", path, "--set", "0=1")):
            message = console(*command, "--out", tmp_path / "no.gif", code=2)
            assert said in message
            assert str(path) in message
    damage(path, layers="1-2")
    options = "--only 0 --layers coarse --frames 4 --samples 1 --quiet --out"
    console("visualize", path, *options.split(), tmp_path / "yes.gif")
    assert "did you mean 'coarse'" in console("visualize", path, "--layers", "corse", code=2)
