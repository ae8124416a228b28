"""docs/notebook.ipynb runs from top to bottom, and the site shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from biggan_discovery import Directions

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("anywidget")
NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"
_LONGEST = 300  # seconds of a cell


@pytest.mark.long
def test_it_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=_LONGEST, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    kinds = {kind for output in outputs for kind in output.get("data", ())}
    assert {"image/png", "image/webp", "application/vnd.jupyter.widget-view+json"} <= kinds
    assert any("recovery" in output.get("text", "") for output in outputs)
    [saved] = tmp_path.glob("named.safetensors")
    assert Directions.load(saved).names[8] == "the ninth"


def test_it_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(
        cell.outputs == [] and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code"
    )


def test_the_site_shows_it_as_a_page() -> None:
    pages = pytest.importorskip("docs.pages")
    shown = pages.notebook_page()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert shown.startswith("# ")
    assert shown.count("```python\n") == sum(cell.cell_type == "code" for cell in notebook.cells)
    assert all(cell.source in shown for cell in notebook.cells)
