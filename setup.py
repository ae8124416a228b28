"""Puts the bundled generators and directions, which lie beside the package in a clone, into wheels."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CLONE = Path(__file__).parent
BUNDLED = (
    "checkpoints/scenes-64",
    "checkpoints/scenes-apart",
    "checkpoints/scenes-overlap",
    "checkpoints/cifar-32",
    "directions/cifar-32.safetensors",
    "directions/scenes-64.safetensors",
)


class BuildWithBundledFiles(build_py):
    """Copies them to `biggan_discovery/bundled`. An editable installation reads them where they are."""

    def run(self) -> None:
        """Copy the package, then the bundled files."""
        super().run()
        if self.editable_mode:
            return
        for source, target in self._bundled().items():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """All files that are copied."""
        return [*super().get_outputs(include_bytecode), *map(str, self._bundled().values())]

    def _bundled(self) -> dict[Path, Path]:
        inside = Path(self.build_lib) / "biggan_discovery" / "bundled"
        found = (path for each in BUNDLED for path in (CLONE / each, *(CLONE / each).glob("*")) if path.is_file())
        return {path: inside / path.relative_to(CLONE) for path in found}


setup(cmdclass={"build_py": BuildWithBundledFiles})
