"""`biggan-discovery export-onnx`: a generator for other programs and for browsers."""

from __future__ import annotations

from pathlib import Path

import click

from biggan_discovery import output
from biggan_discovery.cli.options import Grouped, IntRange, download_options, group, truncation_option

_EXAMPLES = """
\b
Examples:
  COMMAND scenes-64
  COMMAND biggan-deep-128 --truncation 0.5 --out half.onnx
"""


@click.command("export-onnx", cls=Grouped, epilog=_EXAMPLES)
@click.argument("generator", metavar="GENERATOR")
@group(
    "Output",
    click.option(
        "--out", type=click.Path(path_type=Path), metavar="FILE", help="File (.onnx).  [default: GENERATOR.onnx]"
    ),
    click.option("--batch", type=IntRange(1, 256), default=1, show_default=True, help="Images at once, exactly."),
)
@group("Loading the generator", truncation_option("1"), *download_options)
def export_onnx_command(
    generator: str, out: Path | None, batch: int, truncation: float | None, offline: bool | None, mirror: str | None
) -> None:
    """Write a generator as an ONNX file, checked against torch.

    Inputs are z, a latent for each layer, and y, class weights; the output is images in [-1, 1]. The truncation is part
    of the file. Needs onnx, onnxscript and onnxruntime.
    """
    from biggan_discovery.files import check_writable
    from biggan_discovery.generators import load_generator
    from biggan_discovery.generators.onnx_file import export_onnx

    out = out or Path(f"{Path(generator).stem}.onnx")
    check_writable(out)
    network = load_generator(generator, truncation=truncation, device="cpu", offline=offline, mirror=mirror)
    output.message(f"writing {out}: {network.resolution} px, {batch} at once; this takes a minute or more")
    exported = export_onnx(network, out, batch=batch)
    inputs = ", ".join(f"{name} {shape}" for name, shape in exported.inputs.items())
    size = out.stat().st_size / 1e6
    output.status(f"wrote {out} ({size:.3g} MB): {inputs}; differs from torch by {exported.difference:.1g} at most")
