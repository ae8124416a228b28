"""ONNX files of users' networks; that of a BigGAN is tested with the static demo, in tests/explorer/test_site.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from biggan_discovery.cli import cli
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FunctionGenerator, export_onnx

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

CODE = """
import torch
from torch import nn
torch.manual_seed(3)
G = nn.Sequential(nn.Linear(4, 3 * 8 * 8), nn.Tanh(), nn.Unflatten(1, (3, 8, 8)))
G.z_dim = 4
"""


class Labelled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.linear = nn.Embedding(3, 4), nn.Linear(4, 3 * 8 * 8)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.linear(z + self.table(y)).tanh().unflatten(1, (3, 8, 8))


def run(path: Path, **inputs: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == list(inputs)
    return session.run(["images"], inputs)[0]


def test_classes_by_index(tmp_path: Path) -> None:
    network = Labelled()
    generator = FunctionGenerator(network, z_dim=4, num_classes=3, truncation=0.5)
    path = tmp_path / "labelled.onnx"
    exported = export_onnx(generator, path, batch=2)
    assert exported.inputs == {"z": (2, 4), "y": (2,)}
    z, y = torch.randn(2, 4), torch.tensor([2, 0])
    with torch.no_grad():
        expected = network(z, y).numpy()
    np.testing.assert_allclose(run(path, z=z.numpy(), y=y.numpy()), expected, atol=1e-5)
    facts = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map["biggan_discovery"]
    assert json.loads(facts) | {"truncation": 0.5, "z_dim": 4, "num_layers": 1} == json.loads(facts)


def test_the_command_writes_a_network_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_gan.py").write_text(CODE)
    cli.main(["export-onnx", "my_gan.py:G", "--out", "mine.onnx"], standalone_mode=False)
    assert "wrote mine.onnx" in capsys.readouterr().out
    space: dict[str, Any] = {}
    exec(CODE, space)
    z = torch.randn(1, 4)
    np.testing.assert_allclose(run(Path("mine.onnx"), z=z.numpy()), space["G"](z).detach().numpy(), atol=1e-5)


def noisy(z: Tensor) -> Tensor:
    return (z @ torch.ones(4, 3 * 64) + torch.rand(1, 3 * 64)).tanh().unflatten(1, (3, 8, 8))


def decomposed(z: Tensor) -> Tensor:
    return torch.linalg.eigh(z.T @ z).eigenvectors.repeat(len(z), 3, 2, 2).tanh()


@pytest.mark.parametrize(("function", "said"), [(noisy, "differ from torch's"), (decomposed, "written as ONNX")])
def test_a_network_that_cannot_be_written_leaves_no_file(tmp_path: Path, function: Any, said: str) -> None:
    generator = FunctionGenerator(function, z_dim=4, resolution=8, channels=3)
    with pytest.raises(UserError, match=said):
        export_onnx(generator, tmp_path / "it.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "batch", "said"),
    [("it.pt", 1, "must end in .onnx"), ("it.onnx", 0, "batch is 0"), ("it.onnx", True, "batch")],
)
def test_bad_arguments(tmp_path: Path, name: str, batch: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        export_onnx(FunctionGenerator(noisy, z_dim=4), tmp_path / name, batch=batch)
