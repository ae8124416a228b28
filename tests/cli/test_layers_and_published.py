from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from biggan_discovery.cli.exchange import import_command
from biggan_discovery.directions import Directions, read_matrix
from biggan_discovery.generators import load_generator
from biggan_discovery.rendering import sample_latents, to_uint8
from tests.brock_tiny import save_tiny_brock
from tests.cli.test_exchange import Console
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


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Console:
    return Console(monkeypatch, capsys)


def gram_schmidt(rows: np.ndarray) -> np.ndarray:
    done: list[np.ndarray] = []
    for row in rows.astype(np.float64):
        for _ in range(2):
            for before in done:
                row = row - (row @ before) * before
        done.append(row / np.sqrt(row @ row))
    return np.stack(done)


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
    still = np.asarray(Image.open(tmp_path / "e.png")).astype(int)
    gap = 4
    bottom = still.shape[0] - gap
    for column, expected in ((1, after), (0, before)):
        right = still.shape[1] - gap - (1 - column) * (128 + gap)
        drawn = still[bottom - 128 : bottom, right - 128 : right]
        assert np.abs(drawn - expected.astype(int)).mean() < 0.1


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
    found.metadata["search_space"] = [80, 200]
    found.save(out)
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


def _tile(picture: np.ndarray, row: int, rows: int, column: int, columns: int) -> np.ndarray:
    """A 32-pixel picture of a strip with single-row blocks, counted from the lower right corner."""
    bottom, right = picture.shape[0] - (rows - row) * 34, picture.shape[1] - (columns - column) * 34
    return picture[bottom : bottom + 32, right : right + 32].astype(int)


def test_one_direction_on_many_classes(console: Console, deep: tuple[Path, Path], tmp_path: Path):
    folder, path = deep
    options = "--only 1 --class 0,3,4 --transfer --frames 2 --format png --scale 1 --quiet"
    console("visualize", path, *options.split())
    picture = np.asarray(Image.open(path.with_suffix(".png")))
    network, q = load_generator(folder, device="cpu"), Directions.load(path).Q[1]
    z = sample_latents(network, 1, 0)
    rest = z - torch.outer(z @ q, q)
    for row, label in enumerate((0, 3, 4)):
        for column, amount in enumerate((-3.0, 3.0)):
            per_layer = z[:, None].repeat(1, 5, 1)
            per_layer[:, 1:3] = (rest + amount * q)[:, None]
            with torch.no_grad():
                expected = to_uint8(network(per_layer, torch.tensor([label])))[0].astype(int)
            np.testing.assert_allclose(_tile(picture, row, 3, column, 2), expected, atol=1)
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
        expected = to_uint8(network(per_layer, torch.tensor([0])))[0].astype(int)
        unedited = to_uint8(network(z, torch.tensor([0])))[0].astype(int)
    picture = np.asarray(Image.open(out))
    np.testing.assert_allclose(picture[-34:-2, -34:-2].astype(int), expected, atol=1)
    np.testing.assert_allclose(picture[-34:-2, -68:-36].astype(int), unedited, atol=1)
    for setting, message in [
        ("0=1@5", "layers 0 to 4"),
        ("0=1@", "give all, coarse"),
        ("0=1@medium", "'medium'"),
        ("0=@mid", "not a number"),
    ]:
        assert message in console(*edit, "--set", setting, code=2)


def test_a_file_for_layers_that_the_generator_lacks(console: Console, deep: tuple[Path, Path], tmp_path: Path):
    _, path = deep
    found = Directions.load(path)
    for layers, said in (("4-8", "layers 0 to 4"), ("middle", "give all"), (7, "must be a text")):
        found.metadata["layers"] = layers
        found.save(path)
        for command in (("visualize", path, "--frames", "4"), ("edit", path, "--set", "0=1")):
            message = console(*command, "--out", tmp_path / "no.gif", code=2)
            assert said in message
            assert str(path) in message
    options = "--only 0 --layers coarse --frames 4 --samples 1 --quiet --out"
    console("visualize", path, *options.split(), tmp_path / "yes.gif")
    assert "did you mean 'coarse'" in console("visualize", path, "--layers", "corse", code=2)
