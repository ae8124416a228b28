"""The walk-throughs of CONTRIBUTING.md: the page shows the files beside this one, and they work from end to end."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from biggan_discovery import Directions, discover, draw, evaluate, load_generator
from biggan_discovery.cli import cli, run
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.table import METRICS, metric_named
from biggan_discovery.generators import FrozenGenerator, families
from biggan_discovery.objectives.orojar import orojar
from biggan_discovery.objectives.samples import Samples
from biggan_discovery.objectives.table import OBJECTIVES, objective_named
from biggan_discovery.search.table import CLOSED_FORMS
from tests.extending import coarse_orojar, mlp_family

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "CONTRIBUTING.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLES = sorted(path for path in HERE.glob("*.py") if path.name not in ("__init__.py", Path(__file__).name))
LINES = dict(re.findall(r'^"([\w-]+)": "biggan_discovery\.[\w.]+\.(\w+:\w+)",$', "".join(BLOCKS), re.MULTILINE))
"""The lines that the page adds to tables: names, and where they are found beside this file."""

TRUTH = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(0))).Q


def place(name: str) -> str:
    return f"tests.extending.{LINES[name]}"


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of the page in their tables; the commands are made anew, as their options are made from the tables."""
    for table, names in (
        (OBJECTIVES, ["coarse-orojar", "robust-hessian"]),
        (CLOSED_FORMS, ["image-axes"]),
        (METRICS, ["straightness"]),
    ):
        for name in names:
            monkeypatch.setitem(table, name, place(name))
    assert "\n```\nmlp_family.FAMILY,\n```\n" in PAGE
    monkeypatch.setattr(families, "FAMILIES", (*families.FAMILIES, mlp_family.FAMILY))
    for module in ("discover", "evaluate"):
        monkeypatch.delitem(sys.modules, f"biggan_discovery.cli.{module}", raising=False)
    metric_named.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder `mlp` with a network whose images have four stripes; each row of `TRUTH` changes one of them."""
    (tmp_path / "mlp").mkdir()
    tensors = {
        "0.weight": (torch.diag(torch.tensor([0.9, 0.7, 0.5, 0.3])) @ TRUTH).contiguous(),
        "0.bias": torch.tensor([0.1, 0.2, -0.3, 0.4]),
        "1.weight": torch.eye(4).repeat_interleave(64, dim=0),
        "1.bias": torch.zeros(256),
    }
    save_file(tensors, tmp_path / "mlp" / mlp_family.WEIGHTS, {"shape": "1,16,16"})
    return tmp_path / "mlp"


@pytest.fixture
def generator(folder: Path) -> FrozenGenerator:
    return load_generator(folder, device="cpu")


@pytest.fixture
def call(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], Any]:
    """Runs a command line in the folder above `mlp`; returns its exit code, stdout and stderr."""
    monkeypatch.chdir(folder.parent)

    def calling(command: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["biggan-discovery", *shlex.split(command)])
        with pytest.raises(SystemExit) as ended:
            run(cli, "biggan-discovery")
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return calling


def cosines(found: Tensor) -> Tensor:
    """|cos| of each direction and the true one in its place."""
    return (found * TRUTH).sum(dim=1).abs()


def samples(w: Tensor, probes: int) -> Samples:
    signs = torch.randint(0, 2, (probes, *w.shape), generator=torch.Generator().manual_seed(1)) * 2.0 - 1
    z = torch.randn(len(w), 4, generator=torch.Generator().manual_seed(2))
    return Samples(z, torch.zeros(len(w), dtype=torch.int64), w, signs)


def test_the_page_shows_the_files_and_no_others() -> None:
    shown = [block for block in BLOCKS if block.startswith('"""')]
    assert sorted(shown) == sorted(path.read_text() for path in EXAMPLES)
    assert set(LINES) == {"coarse-orojar", "robust-hessian", "image-axes", "straightness"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_files_pass_the_lint_of_the_package(path: Path) -> None:
    package = HERE.parents[1] / "biggan_discovery" / "objectives"
    command = [sys.executable, "-m", "ruff", "check", "--quiet", "--stdin-filename", str(package / path.name), "-"]
    done = subprocess.run(command, input=path.read_text(), cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# An objective


def test_the_objective_is_what_the_portable_function_gives_for_its_features(generator: FrozenGenerator) -> None:
    given = samples(torch.zeros(3, 4), probes=5)

    def features(z: Tensor) -> Tensor:
        return coarse_orojar.coarse(generator(z, given.y))

    expected = orojar(features, given.z, epsilon=0.1, reduction=lambda each: each, probes=given.probes)
    found = objective_named("coarse-orojar")(generator, torch.eye(4), given, 0.1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)


def test_the_objective_is_found_by_both_solvers_judged_and_drawn(generator: FrozenGenerator, tmp_path: Path) -> None:
    found = discover(generator, method="coarse-orojar", judge=False, quiet=True)
    assert cosines(found.Q).min() > 0.999
    assert found.metadata["objective"] == "OroJaR of images averaged down to 8 × 8 pixels"
    adam = discover(generator, method="coarse-orojar", solver="adam", steps=2, batch=2, quiet=True)
    assert set(adam.metadata["held_out_penalty"]) == {"random", "before", "after"}
    assert adam.metadata["settings"]["path_size"] == 0
    report = evaluate(generator, found, adam, metrics=["coarse-orojar"], labels=["joint", "adam"], quiet=True)
    joint, other = (report.figures[label]["coarse OroJaR / random"].mean for label in ("joint", "adam"))
    assert joint < 0.1 < other
    drawn = draw(generator, found, tmp_path / "found.png", only=[0], path_size=2.0, quiet=True)
    assert isinstance(drawn, Path)
    assert drawn.is_file()


def interrupted_at(call: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which raises what Ctrl-C raises at one of its calls."""
    left = [call]

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return function(*args, **kwargs)

    return interrupted


@pytest.mark.parametrize("solver", ["joint-diagonalization", "adam"])
def test_a_run_of_the_objective_resumes_bit_for_bit(
    call: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, solver: str
) -> None:
    own = {"joint-diagonalization": "--samples 5", "adam": "--steps 5 --batch 2"}[solver]
    command = f"discover --generator mlp --method coarse-orojar --solver {solver} {own} --save-every 1 --no-judge --out"
    assert call(f"{command} whole")[0] == 0
    with monkeypatch.context() as patched:
        where = {"joint-diagonalization": coarse_orojar._JacobianProducts, "adam": coarse_orojar}[solver]
        what = {"joint-diagonalization": "measure", "adam": "coarse"}[solver]
        patched.setattr(where, what, interrupted_at(4, getattr(where, what)))
        assert call(f"{command} broken")[0] == 130
    rows = Path("broken", "history.csv").read_text().splitlines()
    assert 1 < len(rows) < 6
    other = command.replace("--out", "--seed 1 --out")
    assert "seed" in call(f"{other} broken")[2]
    assert call(f"{command} broken")[0] == 0
    whole, broken = (Directions.load(f"{name}/directions.safetensors") for name in ("whole", "broken"))
    assert torch.equal(whole.Q, broken.Q)


def test_without_matrices_joint_diagonalization_refuses_by_name_and_adam_is_the_default(
    generator: FrozenGenerator, call: Callable[[str], Any]
) -> None:
    with pytest.raises(UserError, match=r"^robust-hessian declares no matrices for joint-diagonalization; use"):
        discover(generator, method="robust-hessian", solver="joint-diagonalization")
    command = "discover --generator mlp --method robust-hessian --batch 2 --steps 2 --no-judge --out robust"
    code, _, error = call(f"{command} --solver joint-diagonalization")
    assert (code, error) == (
        2,
        "error: robust-hessian declares no matrices for joint-diagonalization; use the solver adam\n",
    )
    assert call(command)[0] == 0
    assert Directions.load("robust/directions.safetensors").metadata["solver"] == "adam"


def test_the_objective_without_matrices_is_least_where_the_hessian_is_diagonal(generator: FrozenGenerator) -> None:
    given = samples(torch.zeros(3, 4), probes=5)
    objective = objective_named("robust-hessian")
    generator.double()
    given = Samples(given.z.double(), given.y, given.w.double(), given.probes.double())
    torch.testing.assert_close(
        objective(generator, TRUTH.double(), given, 0.1), torch.zeros(3).double(), atol=1e-5, rtol=0
    )
    assert objective(generator, torch.eye(4).double(), given, 0.1).min() > 1e-3


# A method


def test_the_method_finds_principal_axes(generator: FrozenGenerator) -> None:
    found = discover(generator, method="image-axes", samples=32, reach=0.01, quiet=True, judge=False)
    assert cosines(found.Q).min() > 0.999
    assert found.metadata["generator_evaluations"] == 2 * 4 * 32
    strength = found.metadata["squared_change"]
    assert strength == sorted(strength, reverse=True)


def test_the_method_is_a_command_with_its_own_settings(call: Callable[[str], Any]) -> None:
    command = "discover --generator mlp --method image-axes --samples 3 --directions 2 --no-judge --out axes"
    assert call(f"{command} --reach 0.5")[0] == 0
    found = Directions.load("axes/directions.safetensors")
    assert (len(found), found.metadata["settings"]["reach"]) == (2, 0.5)
    assert call(f"{command} --reach 0.5")[1].startswith("found 2 directions")
    assert "reach" in call(f"{command} --reach 0.6")[2]
    assert "should be a number above 0" in call(f"{command} --reach 0")[2] or "x>0" in call(f"{command} --reach 0")[2]
    assert (
        "directions is 5; a space of 4 coordinates allows 1 to 4"
        in call(command.replace("--directions 2", "--directions 5"))[2]
    )
    assert call("visualize axes/directions.safetensors --out axes.png --path-size 2")[0] == 0


# A metric


def test_the_metric_is_1_along_lines_and_less_elsewhere(generator: FrozenGenerator) -> None:
    true, other = Directions(TRUTH), Directions(torch.eye(4))
    report = evaluate(
        generator, true, other, metrics="straightness", labels=["true", "other"], path_size=3.0, quiet=True
    )
    assert report.figures["true"]["straightness"].mean == pytest.approx(1, abs=1e-5)
    assert report.figures["other"]["straightness"].mean < 0.99
    assert [each.mean for each in report.of_directions["true"]["straightness"]] == pytest.approx([1] * 4, abs=1e-5)


def test_the_metric_is_in_the_report_of_the_command(call: Callable[[str], Any]) -> None:
    Directions(TRUTH, metadata={"generator": str(Path("mlp").resolve())}).save("true.safetensors")
    code, _, error = call("evaluate true.safetensors --metrics straightness --path-size 2 --out report")
    assert code == 0, error
    assert "144 images  straightness" in error
    [judged] = json.loads(Path("report", "report.json").read_text())["sets"]
    assert len(judged["of_directions"]["straightness"]) == 4
    assert "straightness" in judged["figures"]
    assert "Mean straightness over directions." in Path("report", "report.html").read_text()
    said = call("evaluate true.safetensors --metrics straightnes")[2]
    assert "did you mean 'straightness'" in said


# A family of generators


def test_a_generator_of_the_family_is_loaded_listed_and_recorded(
    generator: FrozenGenerator, call: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIGGAN_DISCOVERY_CHECKPOINTS", str(Path.cwd()))
    assert re.search(r"^mlp\b", call("generators")[1], re.MULTILINE)
    assert call("discover --generator mlp --method sefa --no-judge --out sefa")[0] == 0
    found = Directions.load("sefa/directions.safetensors")
    assert found.metadata["generator_sha256"] == generator.sha256 != ""
    assert cosines(found.Q).shape == (4,)
    assert call("visualize sefa/directions.safetensors --out sefa.gif --samples 2 --frames 6")[0] == 0


def test_a_broken_file_of_the_family_is_one_line(folder: Path, call: Callable[[str], Any]) -> None:
    save_file({"0.weight": torch.ones(3, 2)}, folder / mlp_family.WEIGHTS, {"shape": "1,1,3"})
    code, _, error = call("discover --generator mlp --method sefa")
    assert code == 2
    assert "mlp.safetensors is not a multilayer perceptron" in error
    assert error.count("\n") == 1
