"""A newcomer's first minutes: every command that README.md and the quick start print, as printed.

Those of README.md run in one shell, those of the quick start in one process, which loads torch once. They run in a
copy of the clone, where networks of the same names and file layouts, but small and with random weights, stand in for
the bundled generator and for the one that is downloaded. Installing is left out.
"""

from __future__ import annotations

import re
import shlex
import shutil
import site
import subprocess
import sys
import sysconfig
from pathlib import Path

import matplotlib as mpl
import pytest
import torch
from safetensors.torch import save_file

from biggan_discovery import Directions, load_generator
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.suggestions import suggest_names
from tests.processes import run_all
from tests.test_documentation import blocks
from tests.tiny import save_tiny_biggan

CLONE = Path(__file__).parents[1]
COPIED = (
    "discover.py",
    "visualize.py",
    "Makefile",
    "pyproject.toml",
    "constraints.txt",
    "directions",
    "docs",
    "README.md",
)
MY_GAN = """
from torch import nn


class G(nn.Sequential):
    z_dim = 4

    def __init__(self):
        super().__init__(nn.Linear(4, 192), nn.Tanh(), nn.Unflatten(1, (3, 8, 8)))
"""

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or not shutil.which("make") or not shutil.which("bash"), reason="needs make and bash"
)


def printed(page: str) -> list[str]:
    """The lines of the page's blocks of commands, in order."""
    return [line for block in blocks(CLONE / page, "") for line in block.splitlines() if line.strip()]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The copy, as it is after installing."""
    for name in COPIED:
        copy = shutil.copytree if (CLONE / name).is_dir() else shutil.copy
        copy(CLONE / name, tmp_path / name)
    (tmp_path / "biggan_discovery").symlink_to(CLONE / "biggan_discovery")
    (tmp_path / "my_gan.py").write_text(MY_GAN)
    few = {"output_dim": 16, "channel_width": 4, "class_embed_dim": 8}
    scenes = save_tiny_biggan(
        tmp_path / "checkpoints" / "scenes-64",
        **few,
        z_dim=8,
        layers=[[False, 16, 8], [False, 8, 4], [True, 4, 2], [True, 2, 1]],
    )
    save_file({"directions": torch.eye(2, 8)}, scenes / "directions.safetensors", {"names": '["hue", "size"]'})
    widths = [16, 16, 8, 8, 4, 4, 2, 2, 1]  # As many layers as README.md's edit reaches, 0 to 8.
    blocks = [[place in (2, 6), *widths[place : place + 2]] for place in range(8)]
    save_tiny_biggan(tmp_path / "checkpoints" / "biggan-deep-256", **few, z_dim=10, num_classes=1000, layers=blocks)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    home = Path(sysconfig.get_path("purelib", "venv", {"base": str(tmp_path / ".venv")}))
    home.joinpath("installed.pth").write_text("\n".join([str(tmp_path), *site.getsitepackages()]))
    script = tmp_path / ".venv" / "bin" / "biggan-discovery"
    script.write_text(
        f"#!{tmp_path}/.venv/bin/python\nimport sys\nfrom biggan_discovery.cli import main\nsys.exit(main())\n"
    )
    script.chmod(0o755)
    for done in ("installed", "installed-dev"):
        (tmp_path / ".venv" / done).touch()
    return tmp_path


def in_one_process(clone: Path, lines: list[str]) -> None:
    """Commands that start the program or one of the two scripts."""
    commands = [arguments_of(line) for line in lines]
    for line, ended in zip(
        lines, run_all(commands, clone, environment(clone), clone / ".venv/bin/python"), strict=True
    ):
        assert ended.code == 0, f"{line}: {ended.err}"
        assert "Traceback" not in ended.err, line


def arguments_of(line: str) -> list[str]:
    program, *words = shlex.split(line, comments=True)
    if program == "python":
        assert words[0] in ("discover.py", "visualize.py"), line
        return [words[0].removesuffix(".py"), *words[1:]]
    assert program == "biggan-discovery", line
    return words


def environment(clone: Path) -> dict[str, str]:
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(clone), "OMP_NUM_THREADS": "1", "LANG": "C.UTF-8"}
    return variables | {"MPLCONFIGDIR": mpl.get_cachedir()}  # To collect this machine's fonts takes long.


def in_one_shell(clone: Path, lines: list[str]) -> str:
    # Running all tests within a test would not end; make says what it would run instead.
    lines = [line.replace("make test", "make --dry-run test") for line in lines]
    script = "\n".join(["set -e", *lines])
    done = subprocess.run(
        ["bash", "-c", script], cwd=clone, env=environment(clone), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.long
def test_the_readme_and_then_the_quick_start(clone: Path) -> None:
    readme, quick_start = printed("README.md"), printed("docs/quick-start.md")
    assert readme[0].startswith("make demo")
    assert sum("biggan-deep-256" in line or "goldens" in line for line in readme) == 3
    out = in_one_shell(clone, readme)
    for file in ("runs/demo/directions.webp", "goldens.mp4", "edit.mp4", "directions.mp4"):
        assert (clone / file).is_file()
    assert "see it with: python visualize.py runs/goldens/directions.safetensors" in out  # The environment is active.
    found = Directions.load(clone / "runs" / "goldens" / "directions.safetensors")
    assert found.metadata["class_names"] == ["golden retriever"]
    said = [line.strip() for line in out.splitlines() if line.startswith("  ")]
    assert said[:1] == ["source .venv/bin/activate"]
    assert "explore" in said[3]
    (clone / "edit.mp4").unlink()
    in_one_process(clone, said[1:3])  # What `make demo` prints at its end, without the server.
    for file in ("edit.mp4", "report/report.html"):
        assert (clone / file).is_file()

    assert len(quick_start) >= 12
    assert {said[0], said[2], "make demo"} < set(quick_start)
    in_one_process(clone, [line for line in quick_start if line not in {*said, "make demo"}])
    for file in ("strongest.mp4", "classes.png", "alike/report.html", "samples.png", "picked.mp4", "edited.png"):
        assert (clone / file).is_file()


def test_what_discover_prints_without_an_activated_environment_works(clone: Path) -> None:
    out = in_one_shell(clone, [".venv/bin/python discover.py --method sefa --directions 1 --no-judge --out runs/sefa"])
    command = out.splitlines()[-1].partition("see it with: ")[2]
    assert command.startswith(".venv/bin/python visualize.py runs/sefa/directions.safetensors")
    in_one_shell(clone, [command])


@pytest.mark.parametrize("script", ["discover.py", "visualize.py", "-m biggan_discovery"])
def test_a_python_without_the_packages_says_so_in_one_line(clone: Path, script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-S", *script.split()], cwd=clone, env={}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: .* has no package '\w+'; in the clone run `make demo` once, .*\n", done.stderr)


def bare() -> Directions:
    """The bundled directions without their names."""
    found = Directions.load("scenes-64")
    for index in range(len(found)):
        found.rename(index, "")
    return found


def test_suggested_names_are_those_of_the_known_factors() -> None:
    found, generator = bare(), load_generator("scenes-64", device="cpu")
    named = suggest_names(found, generator)
    assert found.names == Directions.load("scenes-64").names
    assert named == list(range(8))
    assert all(
        re.fullmatch(r"suggested after the known factor( of.*)?, \|cos\| \d\.\d{3}", found.notes[i]) for i in named
    )
    assert suggest_names(found, generator) == []


def test_names_that_are_there_are_kept() -> None:
    found, generator = bare(), load_generator("scenes-64", device="cpu")
    found.rename(2, "my walls")
    found.rename(9, "object hue")
    assert suggest_names(found, generator) == [0, 3, 4, 5, 6, 7]
    assert (found.names[2], found.names[1], found.names[9]) == ("my walls", "", "object hue")


def test_directions_that_match_nothing_get_no_name() -> None:
    generator = load_generator("scenes-64", device="cpu")
    found = Directions(torch.randn(16, 16, generator=torch.Generator().manual_seed(0)))
    assert suggest_names(found, generator) == []
    with pytest.raises(UserError, match="some layers only"):
        suggest_names(Directions(torch.eye(16), metadata={"layers": "0-3"}), generator)


def test_factors_that_are_not_known(tmp_path: Path) -> None:
    generator = load_generator(save_tiny_biggan(tmp_path / "tiny"), device="cpu")
    with pytest.raises(UserError, match=r"the factors of .* are not known"):
        suggest_names(Directions(torch.eye(16)), generator)
