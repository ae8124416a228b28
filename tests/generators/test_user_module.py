"""Generators in user code: accepted and refused forms, error messages, and side effects."""

from __future__ import annotations

import hashlib
import shlex
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from biggan_discovery import Directions, load_generator
from biggan_discovery.cli import cli, run
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FunctionGenerator, catalogue

NETWORK = """
import torch
from torch import nn
from biggan_discovery import FunctionGenerator
from sizes import Z_DIM

class G(nn.Module):
    z_dim = Z_DIM
    num_classes = 3
    def __init__(self, scale=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.scale = nn.Linear(Z_DIM, 12), scale
    def forward(self, z, y):
        return torch.tanh(self.scale * self.linear(z)).view(-1, 3, 2, 2) + 0.1 * y[:, None, None, None]

class Loud(G):
    def __init__(self, scale):
        super().__init__(scale)

def function(z):
    return z.view(-1, 1, 2, 2)

def sized(z):
    return function(z)
sized.nz = Z_DIM

def make():
    import sizes
    assert sizes.Z_DIM == Z_DIM
    return FunctionGenerator(G(), z_dim=Z_DIM, class_names=["cat", "dog", "axolotl"], prior="uniform", truncation=0.5)

def make_network(scale=2.0):
    return G(scale)

def make_number():
    return 3

def broken():
    raise RuntimeError("no\\nweights")

def quits():
    raise SystemExit("done")

class Fails(nn.Module):
    z_dim = Z_DIM
    def forward(self, z):
        return z @ torch.zeros(3, 3)

network = G()
parallel = nn.DataParallel(G())
generator = make()
number = 3

class names:
    inner = network
"""


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Isolate imported packages between tests."""
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_own_package"]:
        del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_gan.py").write_text(NETWORK)
    (tmp_path / "sizes.py").write_text("Z_DIM = 4\n")
    package = tmp_path / "my_own_package"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep" / "__init__.py").write_text("")
    relative = NETWORK.replace("from sizes", "from ..sizes").replace("import sizes", "from .. import sizes")
    (package / "deep" / "nets.py").write_text(relative)
    (package / "sizes.py").write_text("Z_DIM = 4\n")
    return tmp_path


Z, Y = torch.randn(2, 4, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 2])


@pytest.mark.parametrize(
    ("attribute", "scale"),
    [("G", 1), ("network", 1), ("parallel", 1), ("names.inner", 1), ("make_network", 2), ("generator", 1), ("make", 1)],
)
def test_classes_modules_factories_and_generators(folder: Path, attribute: str, scale: float) -> None:
    generator = load_generator(f"{folder}/my_gan.py:{attribute}", device="cpu")
    torch.manual_seed(0)
    linear = torch.nn.Linear(4, 12)
    expected = torch.tanh(scale * linear(Z)).view(2, 3, 2, 2) + 0.1 * Y[:, None, None, None]
    assert torch.equal(generator(Z, Y), expected)
    assert generator.name == f"{folder}/my_gan.py:{attribute}"
    assert (generator.z_dim, generator.num_classes, generator.resolution) == (4, 3, 2)
    digest = hashlib.sha256()
    for key, value in (("linear.weight", linear.weight), ("linear.bias", linear.bias)):
        digest.update(f"{key} torch.float32 {tuple(value.shape)}\n".encode() + value.detach().numpy().tobytes())
    assert generator.sha256 == digest.hexdigest()


def test_a_function_has_no_weights_to_sum(folder: Path) -> None:
    generator = load_generator(f"{folder}/my_gan.py:sized", device="cpu")
    assert generator.sha256 == ""
    assert torch.equal(generator(Z, Y * 0), Z.view(2, 1, 2, 2))


def test_the_path_may_be_relative_and_the_import_path_is_left_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    path = list(sys.path)
    generator = load_generator("../my_gan.py:make", device="cpu")
    assert generator.name == f"{folder}/my_gan.py:make"
    monkeypatch.chdir("/")
    again = load_generator(generator.name, device="cpu")
    assert torch.equal(again(Z, Y), generator(Z, Y))
    assert sys.path == path
    with pytest.raises(UserError):
        load_generator(f"{folder}/my_gan.py:broken", device="cpu")
    assert sys.path == path


def test_importable_modules_of_the_working_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    path = list(sys.path)
    name = "my_own_package.deep.nets:network"
    generator = load_generator(name, device="cpu")
    assert (generator.name, generator.z_dim) == (name, 4)
    assert sys.path == path
    assert torch.equal(load_generator(name, device="cpu")(Z, Y), generator(Z, Y))


def test_files_in_other_folders_have_their_own_neighbours(folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    (other / "my_gan.py").write_text(NETWORK)
    (other / "sizes.py").write_text("Z_DIM = 7\n")
    sizes = [load_generator(f"{each}/my_gan.py:network", device="cpu").z_dim for each in (folder, other, folder)]
    assert sizes == [4, 7, 4]


def test_neighbours_that_the_first_image_needs_are_found(folder: Path) -> None:
    code = "def G(z):\n    from sizes import Z_DIM\n    return z.view(-1, 1, 1, Z_DIM)\nG.z_dim = 4\n"
    (folder / "late.py").write_text(code)
    generator = load_generator(f"{folder}/late.py:G", device="cpu")
    assert torch.equal(generator(Z, Y * 0), Z.view(2, 1, 1, 4))


def test_a_file_is_run_as_it_is_now(folder: Path) -> None:
    for size in (4, 5):  # of the same length, within the same second
        (folder / "now.py").write_text(f"def G(z): return z[:, None, None]\nG.z_dim = {size}\n")
        assert load_generator(f"{folder}/now.py:G", device="cpu").z_dim == size


def test_a_file_called_like_an_installed_module_does_not_replace_it(folder: Path) -> None:
    (folder / "click.py").write_text("def G(z): return z[:, None, None]\nG.z_dim = 4\n")
    before = sys.modules["click"]
    load_generator(f"{folder}/click.py:G", device="cpu")
    assert sys.modules["click"] is before


def test_truncation_is_the_user_s_or_the_option_s(folder: Path) -> None:
    uniform = torch.rand(3, 4, dtype=torch.float64)
    found = {t: load_generator(f"{folder}/my_gan.py:generator", truncation=t, device="cpu") for t in (None, 0.25, 1.0)}
    assert [each.truncation for each in found.values()] == [0.5, 0.25, 1.0]
    torch.testing.assert_close(found[0.25].latents(uniform), (0.25 * (2 * uniform - 1)).float())
    with pytest.raises(UserError, match="truncation is 3"):
        load_generator(f"{folder}/my_gan.py:generator", truncation=3, device="cpu")


def test_loading_does_not_change_the_module_s_own_generator(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    load_generator("my_own_package.deep.nets:generator", truncation=0.1, device="cpu")
    again = load_generator("my_own_package.deep.nets:generator", device="cpu")
    assert again.truncation == 0.5
    own = sys.modules["my_own_package.deep.nets"].generator
    assert (own.name, own.sha256) == ("function", "")


def test_a_truncation_that_is_fixed_is_not_changed(folder: Path) -> None:
    (folder / "bundled.py").write_text(
        "from biggan_discovery import load_generator\ndef make(): return load_generator('scenes-apart', device='cpu')\n"
    )
    own = load_generator(f"{folder}/bundled.py:make", device="cpu")
    assert own.sha256 == load_generator("scenes-apart", device="cpu").sha256
    assert load_generator(f"{folder}/bundled.py:make", truncation=1.0, device="cpu").truncation == 1
    with pytest.raises(UserError, match=r"bundled\.py:make was made with truncation 1, so it cannot be 0\.5"):
        load_generator(f"{folder}/bundled.py:make", truncation=0.5, device="cpu")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my_gan.py:function", "the z_dim of {folder}/my_gan.py:function is unknown; write generator = "
         "FunctionGenerator(function, z_dim=...)"),
        ("my_gan.py:netwrok", "my_gan.py has no 'netwrok' (did you mean 'network'"),
        ("my_gan.py:names.outer", "my_gan.py has no 'names.outer'"),
        ("my_gan.py:number", "my_gan.py:number is int; it should be a FrozenGenerator, a function or module"),
        ("my_gan.py:make_number", "my_gan.py:make_number is int"),
        ("my_gan.py:Loud", "my_gan.py:Loud needs arguments; write def make(): return Loud(...)"),
        ("my_gan.py:broken", "my_gan.py raises RuntimeError in line 40: no weights"),
        ("my_gan.py:quits", "my_gan.py raises SystemExit in line 43: done"),
        ("my_gan.py:Fails", "my_gan.py raises RuntimeError in line 48: "),
        ("my_gam.py:G", "there is no file {folder}/my_gam.py (did you mean 'my_gan.py'?)"),
        ("nowhere/my_gan.py:G", "there is no file"),
        ("syntax.py:G", "syntax.py is not Python (line 2): "),
        ("binary.py:G", "binary.py"),
        ("raises.py:G", "raises.py raises ZeroDivisionError in line 3: division by zero"),
        ("imports.py:G", "imports.py raises ModuleNotFoundError in line 1: No module named 'not_installed'"),
        ("exits.py:G", "exits.py raises SystemExit"),
        ("folder.py:G", "is a folder"),
        ("my_own_pakage.deep.nets:G", "no module 'my_own_pakage' (did you mean 'my_own_package'"),
        ("my_own_package.deep.net:G", "no module 'net' in my_own_package.deep (did you mean 'nets'?)"),
        ("my_own_package.sizes.nets:G", "my_own_package.sizes is a module, not a package"),
        ("my_own_package.fails:G", "my_own_package.fails raises ZeroDivisionError in line 1"),
        ("my_own_package.fails.more:G", "my_own_package.fails"),
        ("my_gan.py", "my_gan.py is not a generator; give "),
        ("my_gan.py:", "no generator 'my_gan.py:'"),
        (":G", "no generator ':G'"),
        ("my_gan.py:G()", "no generator 'my_gan.py:G()'"),
        ("my gan:G", "my_gan.py:G or package.module:G"),
    ],
)  # fmt: skip
def test_whatever_is_wrong_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    (folder / "syntax.py").write_text("x = 1\ndef (\n")
    (folder / "binary.py").write_bytes(b"\x00\xff\xfe" * 50)
    (folder / "raises.py").write_text(textwrap.dedent("x = 1\n\n1 / 0\n"))
    (folder / "imports.py").write_text("import not_installed\n")
    (folder / "exits.py").write_text("import sys\nsys.exit(0)\n")
    (folder / "folder.py").mkdir()
    (folder / "my_own_package" / "fails.py").write_text("1 / 0\n")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["biggan-discovery", "classes", "--generator", name])
    path = list(sys.path)
    with pytest.raises(SystemExit) as ended:
        run(cli, "biggan-discovery")
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert len(printed.err) < 600
    assert said.format(folder=folder) in printed.err
    assert sys.path == path


def test_a_folder_in_the_way_is_a_generator_or_nothing(folder: Path) -> None:
    (folder / "my_gan.py:G").mkdir()
    with pytest.raises(UserError, match="is not a generator"):
        load_generator(folder / "my_gan.py:G", device="cpu")


# Names that files hold.


@pytest.mark.parametrize("name", ["my_gan.py:G", "{folder}/trap.py:G", "trap:G", "os:getcwd", "gone.py:G", "trap.G:G"])
def test_a_file_cannot_have_code_run(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    name = name.format(folder=folder)
    (folder / "trap.py").write_text("import pathlib; pathlib.Path('pwned').touch()\n")
    monkeypatch.chdir(folder)
    with pytest.raises(UserError) as caught:
        load_generator(name, device="cpu", named_by="found.safetensors")
    assert f"found.safetensors is for the generator {name}" in str(caught.value)
    assert f"give --generator {name}" in str(caught.value)
    assert not (folder / "pwned").exists()


def test_names_and_paths_in_files_are_loaded_and_missing_ones_named(tmp_path: Path) -> None:
    assert load_generator("scenes-apart", device="cpu", named_by="found.safetensors").name == "scenes-apart"
    with pytest.raises(UserError, match=r"found\.safetensors: no generator '/not/here'.*; give --generator"):
        load_generator("/not/here", device="cpu", named_by=tmp_path / "found.safetensors")


@pytest.mark.parametrize(
    "name", ["a\nb.py:G", "\x1b[2Jb.py:G", "x" * 300 + ".py:G", "\0.py:G", "x" * 9000, "\ud800", "a/" * 5000]
)
@pytest.mark.parametrize("named_by", [None, "found.safetensors"])
def test_odd_names_are_refused_in_one_short_line(name: str, named_by: str | None) -> None:
    with pytest.raises(UserError) as caught:
        load_generator(name, device="cpu", named_by=named_by)
    assert len(str(caught.value)) < 1000
    if named_by:  # a stranger's name
        assert not set(str(caught.value)) & {"\n", "\x1b", "\0", "\ud800"}


def _command(monkeypatch: pytest.MonkeyPatch, line: str) -> int:
    monkeypatch.setattr(sys, "argv", ["biggan-discovery", *shlex.split(line)])
    with pytest.raises(SystemExit) as ended:
        run(cli, "biggan-discovery")
    return int(ended.value.code or 0)


def test_every_job_works_on_a_user_s_own_network(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    search = "discover --generator my_gan.py:make --class dog --method jacobian --samples 4 --out run --quiet"
    assert _command(monkeypatch, search) == 0
    assert f"visualize run/directions.safetensors --generator {folder}/my_gan.py:make" in capsys.readouterr().out
    found = Directions.load(folder / "run" / "directions.safetensors")
    name, weights = f"{folder}/my_gan.py:make", load_generator("my_gan.py:make", device="cpu").sha256
    assert [found.metadata[key] for key in ("generator", "generator_sha256")] == [name, weights]
    assert (found.metadata["class_names"], found.metadata["truncation"]) == (["dog"], 0.5)
    assert _command(monkeypatch, search) == 0  # finished already
    edit = "edit run/directions.safetensors --set 0=1 --out e.png"
    assert _command(monkeypatch, edit) == 2
    assert f"run/directions.safetensors is for the generator {name}" in capsys.readouterr().err
    monkeypatch.chdir(folder / "run")
    assert _command(monkeypatch, "edit directions.safetensors --set 0=1 --out e.png --generator ../my_gan.py:make") == 0
    assert (folder / "run" / "e.png").exists()
    assert _command(monkeypatch, "classes --generator ../my_gan.py:make axo") == 0
    assert "axolotl" in capsys.readouterr().out


def test_what_loads_is_a_function_generator(folder: Path) -> None:
    assert type(load_generator(f"{folder}/my_gan.py:network", device="cpu")) is FunctionGenerator
    assert catalogue.class_names(f"{folder}/my_gan.py:make")[1] == ("cat", "dog", "axolotl")
