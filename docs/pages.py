"""What the site takes from outside of docs/: the pages that lie elsewhere in the clone, and examples in docstrings."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
BUNDLED = ("scenes-64", "scenes-apart", "scenes-overlap", "cifar-32")
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    **{f"checkpoints/{name}/README.md": f"generators/{name}.md" for name in BUNDLED},
}
"""Files of the clone, and the pages that they are in the site."""
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
_SHOWN = "notebook.md"
_LINK = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)\s]*)?\))")


def notebook_page() -> str:
    """The notebook, which is kept without outputs, as Markdown; first its title and where the file is."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    texts = ("".join(cell["source"]) for cell in cells)
    shown = [
        text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"
        for cell, text in zip(cells, texts, strict=True)
    ]
    shown.insert(1, f'<a href="{NOTEBOOK.name}" download>Download this notebook</a>')
    return "\n\n".join(shown)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie elsewhere, and the notebook."""
    for source, page in ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, _SHOWN, content=notebook_page()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links between files of the clone into links between pages; figures stay beside their errors."""
    place = next((source for source, name in ELSEWHERE.items() if name == page.file.src_uri), None)
    source = Path(place or f"docs/{page.file.src_uri}").parent

    def link(match: re.Match[str]) -> str:
        target = os.path.normpath(source / match[2])
        target = ELSEWHERE.get(target, target.removeprefix("docs/"))
        target = target.replace(NOTEBOOK.name, _SHOWN)
        return f"{match[1]}{os.path.relpath(target, Path(page.file.src_uri).parent)}{match[3]}"

    return _LINK.sub(link, markdown).replace(" ± ", "\u00a0±\u00a0")


class Examples(griffe.Extension):
    """Docstrings say "Example:", which griffe knows as "Examples:" only."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename the section."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
