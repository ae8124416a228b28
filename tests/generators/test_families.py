"""A family of generators is one file and one line in the table; the package's imports are acyclic."""

from __future__ import annotations

import ast
import graphlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import biggan_discovery.generators
from biggan_discovery import load_generator
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator, FunctionGenerator, catalogue, families
from biggan_discovery.generators.family import Family, Listing

ROOM = Path(biggan_discovery.generators.__file__).parent
NAME = "biggan_discovery.generators"


def _load(path: Path, *, name: str, truncation: float = 1.0) -> FrozenGenerator:
    size = int((path / "size.txt").read_text())
    return FunctionGenerator(lambda z: z[:, None, None], z_dim=size, name=name, truncation=truncation)


SIZED = Family(
    name="sized",
    looks_for="a folder with size.txt",
    recognises=lambda path: (path / "size.txt").is_file(),
    load=_load,
    class_names=lambda path: ("0",),  # noqa: ARG005
    describe=lambda path: Listing((1, int((path / "size.txt").read_text()), 1), 8),
)


@pytest.fixture
def sized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(families, "FAMILIES", (*families.FAMILIES, SIZED))
    monkeypatch.setenv(catalogue.CHECKPOINTS_VARIABLE, str(tmp_path))
    (tmp_path / "five").mkdir()
    (tmp_path / "five" / "size.txt").write_text("5")
    return tmp_path / "five"


def test_a_line_in_the_table_is_all_that_a_family_needs(sized: Path) -> None:
    for name in ("five", str(sized)):
        generator = load_generator(name, truncation=0.5, device="cpu")
        assert (generator.name, generator.z_dim, generator.truncation) == (name, 5, 0.5)
        assert catalogue.class_names(name) == (name, ("0",))
    entry = catalogue.list_generators()[-1]
    assert (entry.name, entry.figures, entry.size, entry.problem) == ("five", (1, 5, 1), 8, "")
    (sized / "size.txt").rename(sized / "sizes.txt")
    with pytest.raises(UserError, match=r"five is not a generator; give .*or a folder with size\.txt"):
        load_generator(sized, device="cpu")


def test_links_are_recognised_by_their_own_name(tmp_path: Path) -> None:
    from tests.brock_tiny import save_tiny_brock

    folder = save_tiny_brock(tmp_path / "weights")
    (folder / "classes.json").write_text('["a", "b", "c", "d", "e"]')
    (tmp_path / "blobs").mkdir()
    (folder / "G_ema.pth").rename(tmp_path / "blobs" / "0f3c9a")
    (folder / "G_ema.pth").symlink_to(tmp_path / "blobs" / "0f3c9a")
    generator = load_generator(folder / "G_ema.pth", device="cpu")
    assert generator.name == str(folder / "G_ema.pth")
    assert generator.class_names == ("a", "b", "c", "d", "e")
    z, y = torch.randn(2, generator.z_dim), torch.tensor([0, 1])
    assert torch.equal(generator(z, y), load_generator(folder, device="cpu")(z, y))


def test_looking_for_a_generator_imports_no_torch_and_none_of_the_user_s_code(tmp_path: Path) -> None:
    (tmp_path / "my_gan.py").write_text("raise SystemExit(5)\n")
    code = (
        "import sys; from pathlib import Path; from biggan_discovery.generators.families import family_of;"
        "assert family_of(Path('my_gan.py:G')).runs_code; assert family_of(Path('my_gan:G')).runs_code;"
        "sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOM.parents[1])}
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=False).returncode == 0


def _imported(path: Path) -> set[str]:
    """Modules of this project that a file imports, including those for type checkers only."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = node.module == NAME
            found |= {f"{NAME}.{alias.name}" for alias in node.names} if inside else {node.module}
    return {name for name in found if name.partition(".")[0] == "biggan_discovery"}


def test_the_room_imports_nothing_above_it_and_has_no_circle() -> None:
    files = [path for path in ROOM.rglob("*.py") if path.name != "__init__.py"]
    graph = {".".join((NAME, *path.relative_to(ROOM).with_suffix("").parts)): _imported(path) for path in files}
    base = {
        f"biggan_discovery.{name}"
        for name in ("errors", "files", "json_text", "locks", "memory", "output", "progress", "sealed")
    }
    for name, imported in graph.items():
        above = {each for each in imported - base if not each.startswith((f"{NAME}.", "biggan_discovery.reading."))}
        assert not above, f"{name} imports {above}"
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError
    assert f"{NAME}.fast" not in graph[f"{NAME}.base"]
