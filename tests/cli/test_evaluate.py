"""`evaluate` and `compare` end to end on a tiny generator, and their error messages."""

from __future__ import annotations

import base64
import json
import math
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from biggan_discovery import Directions
from biggan_discovery.cli import cli, run
from tests.brock_tiny import save_tiny_brock
from tests.evaluation.small import small_sizes
from tests.tiny import save_tiny_biggan

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = tmp_path_factory.mktemp("world")
    tiny = save_tiny_biggan(world / "tiny")
    other = save_tiny_biggan(world / "other", seed=1)
    wide = save_tiny_biggan(world / "wide", z_dim=20, class_embed_dim=20)
    for seed, generator in enumerate((tiny, tiny, tiny, other)):
        A = torch.randn(3, 16, generator=torch.Generator().manual_seed(seed))
        settings = {"path_size": 3.0, "epsilon": 0.1}
        metadata = {"generator": str(generator), "names": ["hue", "", "camera height"], "settings": settings}
        (world / f"seed{seed}").mkdir()
        Directions(A, metadata=metadata).save(world / f"seed{seed}" / "directions.safetensors")
    (world / "seed0" / "history.csv").write_text("step,penalty,lr\n1,4.5,0.1\n2,4.0,0.05\n3,3.0,0.01\n")
    Directions(torch.eye(2, 20), metadata={"generator": str(wide)}).save(world / "wide.safetensors")
    metadata = {"generator": str(tiny), "settings": {"path_size": "far"}}
    Directions(torch.eye(2, 16), metadata=metadata).save(world / "far.safetensors")
    (world / "cut.safetensors").write_bytes(b"\xff" * 20)
    (world / "file").write_text("in the way")
    return world


@pytest.fixture
def call(world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], tuple]:
    """Run a command line; return its exit code, stdout and stderr."""
    monkeypatch.chdir(world)
    small_sizes(monkeypatch)

    def calling(command: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["biggan-discovery", *shlex.split(command)])
        with pytest.raises(SystemExit) as ended:
            run(cli, "biggan-discovery")
        return ended.value.code or 0, *capsys.readouterr()

    return calling


def check_report(folder: Path) -> dict:
    """Check that the pictures shown by a document are exactly those in the folder, and valid; return the JSON."""
    pictures = {f"figures/{path.name}" for path in (folder / "figures").iterdir()}
    assert set(re.findall(r"!\[.*]\((\S+)\)", (folder / "report.md").read_text())) == pictures
    inline = re.findall(r'src="data:image/png;base64,([^"]+)"', (folder / "report.html").read_text())
    assert {base64.b64decode(each) for each in inline} == {(folder / each).read_bytes() for each in pictures}
    for picture in pictures:
        with Image.open(folder / picture) as image:
            image.load()
    # Neither nan nor infinity is JSON.
    return json.loads((folder / "report.json").read_text(), parse_constant=lambda name: pytest.fail(name))


def test_a_file_is_judged(call: Callable[[str], tuple], world: Path) -> None:
    code, out, err = call("evaluate seed0/directions.safetensors --seed 3 --probes 4")
    assert (code, out) == (0, f"wrote {Path('seed0', 'directions-report', 'report.html')}\n")
    content = check_report(world / "seed0" / "directions-report")
    (judged,) = content["sets"]
    assert judged["label"] == "seed0"
    assert content["conditions"] == {"classes": [0, 1, 2, 3, 4], "path_size": 3.0, "epsilon": 0.1, "seed": 3}
    assert (content["torch"], content["device"], content["arithmetic"]) == (torch.__version__, "cpu", "float32")
    expected = {"Hessian Penalty", "OroJaR / random", "VP", "RCA", "contrastive accuracy", "class transfer"}
    assert expected <= set(judged["figures"])
    assert all(figure["mean"] is not None for figure in judged["figures"].values())
    assert len(judged["of_directions"]["activeness"]) == 3
    assert (world / "seed0" / "directions-report" / "figures" / "00-search.png").exists()
    ratio = judged["figures"]["Hessian Penalty / random"]
    assert ratio["frames"] == 2
    assert ratio["standard_error"] == pytest.approx(math.hypot(ratio["of_samples"], ratio["of_frames"]))
    described = {key for section in content["meanings"].values() for key in section}
    assert described == {*judged["figures"], *judged["of_directions"], *judged["matrices"]}
    assert "image/s" in err or "images left" in err
    markdown = (world / "seed0" / "directions-report" / "report.md").read_text()
    assert "2 camera height" in markdown
    assert "    biggan-discovery evaluate seed0/directions.safetensors --probes 4 --seed 3 --out" in markdown
    # What was done is what was announced: 2 samples of 2·4 and 1 + 4 images of the set and of 2 frames, and so on.
    announced = [(title, images) for images, title in re.findall(r"([\d,]+) images  (.+)", err)]
    expected = {("held-out Hessian Penalty", "48"), ("held-out OroJaR", "30"), ("image pairs", "32")}
    assert expected <= set(announced)


@pytest.mark.long
def test_sets_are_judged_alike_and_baselines_beside_them(call: Callable[[str], tuple], world: Path) -> None:
    files = "seed0/directions.safetensors seed1/directions.safetensors"
    code, out, _ = call(f"evaluate {files} --baselines --out both --quiet")
    assert (code, out) == (0, f"wrote {Path('both', 'report.html')}\n")
    content = check_report(world / "both")
    assert [each["label"] for each in content["sets"]] == [
        "seed0", "seed1", "random", "coordinates", "SeFa", "GANSpace",
    ]  # fmt: skip
    assert [each["directions"] for each in content["sets"]] == [3] * 6
    # The same file judged alone gets the same figures.
    call("evaluate seed1/directions.safetensors --out alone --quiet")
    (alone,) = check_report(world / "alone")["sets"]
    assert alone["figures"] == content["sets"][1]["figures"]
    assert alone["of_directions"] == content["sets"][1]["of_directions"]


def test_some_metrics_alone(call: Callable[[str], tuple], world: Path) -> None:
    code, _, _ = call("evaluate seed1/directions.safetensors --metrics class-transfer,orojar --out few --quiet")
    assert code == 0
    (judged,) = check_report(world / "few")["sets"]
    assert set(judged["figures"]) == {"OroJaR", "OroJaR / random", "inactive directions", "class transfer"}
    assert "--metrics class-transfer,orojar" in (world / "few" / "report.md").read_text()


def test_sets_are_compared(call: Callable[[str], tuple], world: Path) -> None:
    files = [f"seed{seed}/directions.safetensors" for seed in range(3)]
    code, out, _ = call(f"compare {' '.join(files)} --out compared --quiet")
    assert code == 0
    lines = out.splitlines()
    assert lines[-1] == f"wrote {Path('compared', 'report.html')}"
    content = check_report(world / "compared")
    assert len(content["comparisons"]) == len(lines) - 1 == 3
    first, second = (Directions.load(world / file).Q for file in files[:2])
    found = content["comparisons"][0]
    assert found["sets"] == ["seed0", "seed1"]
    assert sorted(row for row, _ in found["partners"]) == [0, 1, 2]
    for (row, column), cosine in zip(found["partners"], found["cosines"], strict=True):
        assert cosine == pytest.approx((first[row] @ second[column]).item(), abs=1e-6)
    assert "Consistency" in (world / "compared" / "report.md").read_text()


def test_a_set_agrees_with_itself(call: Callable[[str], tuple], world: Path) -> None:
    itself = Directions.load(world / "seed2" / "directions.safetensors")
    Directions(itself.Q[[2, 0, 1]], metadata=itself.metadata).save(world / "again.safetensors")
    code, out, _ = call("compare seed2/directions.safetensors again.safetensors --out same --quiet")
    assert code == 0
    assert "mean |cos| 1.000, weighted by activeness 1.000" in out
    assert "span the same space" in (world / "same" / "report.md").read_text()


def test_directions_of_some_layers_are_judged_against_random_ones_of_those_layers(
    call: Callable[[str], tuple], world: Path
) -> None:
    generator = save_tiny_brock(world / "brock")
    rows = torch.zeros(2, 16)
    rows[:, 4:8] = torch.linalg.qr(torch.randn(4, 2, generator=torch.Generator().manual_seed(0)))[0].T
    metadata = {"generator": str(generator), "layers": "1", "search_space": [4, 8], "classes": [2]}
    Directions(rows, metadata=metadata).save(world / "mid.safetensors")
    code, _, _ = call("evaluate mid.safetensors --baselines --out some --quiet")
    assert code == 0
    content = check_report(world / "some")
    assert {each["layers"] for each in content["sets"]} == {"1"}
    assert content["conditions"]["classes"] == [2]
    assert 0.01 < content["sets"][0]["figures"]["Hessian Penalty / random"]["mean"] < 100


REFUSED = {
    "evaluate": "DIRECTIONS",
    "evaluate gone.safetensors": "there is no file gone.safetensors",
    "evaluate seed0": "seed0 is a folder",
    "evaluate cut.safetensors": "cut.safetensors is not a directions file",
    "evaluate far.safetensors": "far.safetensors gives the path_size 'far'",
    "evaluate seed0/directions.safetensors seed0/directions.safetensors": "is given twice",
    "evaluate seed0/directions.safetensors seed3/directions.safetensors": "give --generator to judge both in one",
    "evaluate seed0/directions.safetensors wide.safetensors": "give --generator to judge both in one",
    "evaluate seed0/directions.safetensors wide.safetensors --generator tiny": "z_dim 20",
    "evaluate seed0/directions.safetensors --preset fast": "'fast'",
    "evaluate seed0/directions.safetensors --metrics activness": "did you mean 'activeness'",
    "evaluate gone.safetensors --metrics vp,nonsense": "'nonsense'",
    "evaluate seed0/directions.safetensors --out file": "file",
    "evaluate seed0/directions.safetensors --out file/below": "file",
    "evaluate seed0/directions.safetensors --path-size 0": "--path-size",
    "evaluate seed0/directions.safetensors --epsilon nan": "nan",
    "evaluate seed0/directions.safetensors --probes 1": "--probes",
    "evaluate seed0/directions.safetensors --class pyramid": "'pyramid'",
    "evaluate seed0/directions.safetensors --generator tyni": "'tyni'",
    "compare": "A B",
    "compare seed0/directions.safetensors": "only seed0/directions.safetensors is given",
    "compare seed0/directions.safetensors gone.safetensors": "there is no file gone.safetensors",
    "compare seed0/directions.safetensors wide.safetensors --generator tiny": "z_dim 20",
    "compare seed0/directions.safetensors seed3/directions.safetensors": "give --generator to judge both in one",
    "compare seed0/directions.safetensors seed1/directions.safetensors --path-size -1": "--path-size",
    "compare seed0/directions.safetensors seed1/directions.safetensors --out file": "file",
}


@pytest.mark.parametrize("command", REFUSED)
def test_bad_input_is_one_line_and_leaves_nothing(command: str, call: Callable[[str], tuple], world: Path) -> None:
    before = sorted(world.rglob("*"))
    code, out, err = call(command)
    assert (code, out) == (2, "")
    if command in ("evaluate", "compare"):
        assert REFUSED[command] in err
    else:
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert REFUSED[command] in err
    assert sorted(world.rglob("*")) == before
