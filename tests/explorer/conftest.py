from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.explorer.serving import Page, Served, save_directions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("explorer")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    server = Served(save_directions(folder))
    yield server
    server.stop()


@pytest.fixture
def page(served: Served) -> Iterator[Page]:
    save_directions(Path(served.sources[0].path).parent)
    with served.page() as page:
        yield page
