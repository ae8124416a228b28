"""`python -m benchmarks.recognition DATA GENERATOR…`: how often a classifier of real images recognises generated ones.

A small convolutional network learns the classes of DATA, what `train` takes. Prints for each class its accuracy on a
tenth of DATA that was held out, and how often it gives a generated image the class that was asked for. The classifier
is kept in --out.
"""

from __future__ import annotations

from pathlib import Path

import click
import safetensors.torch
import torch
from torch import Tensor, nn

from biggan_discovery import load_generator
from biggan_discovery.cli import run
from biggan_discovery.cli.options import POSITIVE_INT
from biggan_discovery.files import atomic_write
from biggan_discovery.progress import Progress
from biggan_discovery.training.data import Images, read_images

_WIDTHS = (32, 64, 128)
_BATCH = 128
_HELD_OUT = 10  # one image in so many
_SHIFT = 3  # pixels by which training images are moved at most


@click.command()
@click.argument("data")
@click.argument("generators", nargs=-1, required=True)
@click.option("--epochs", type=POSITIVE_INT, default=8, show_default=True)
@click.option("--samples", type=POSITIVE_INT, default=500, show_default=True, help="Generated images of each class.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/recognition"), show_default=True)
def benchmark(data: str, generators: tuple[str, ...], epochs: int, samples: int, out: Path) -> None:
    """Train a classifier on real images and count how often it recognises generated ones."""
    images = read_images(data)
    held = torch.randperm(len(images.labels), generator=torch.Generator().manual_seed(0)) % _HELD_OUT == 0
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = classifier(len(images.classes)).to(device)
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    kept = out / f"classifier-{epochs}-{images.sha256()[:16]}.safetensors"
    if kept.exists():
        safetensors.torch.load_model(network, kept)
    else:
        _fit(network, images, ~held, epochs)
        out.mkdir(parents=True, exist_ok=True)
        weights = {name: value.contiguous() for name, value in network.state_dict().items()}
        atomic_write(kept, safetensors.torch.save(weights))
    network.eval()
    columns = {"real, held out": _right(network, images.pixels[held], images.labels[held], len(images.classes))}
    for name in generators:
        columns[name] = _recognised(network, name, samples, len(images.classes))
    click.echo("| class | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
    rows = [*images.classes, "mean"]
    for row, title in enumerate(rows):
        shown = (each[row] if row < len(each) else each.mean() for each in columns.values())
        click.echo(f"| {title} | " + " | ".join(f"{100 * value:.1f} %" for value in shown) + " |")
    click.echo(f"{int(held.sum()):,} held-out images; {samples} generated ones per class; {epochs} epochs")


def classifier(classes: int) -> nn.Sequential:
    """Three stages of two 3 × 3 convolutions, each halving the side; then the mean over pixels."""
    layers: list[nn.Module] = []
    before = 3
    for width in _WIDTHS:
        for _ in range(2):
            layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(before, classes))


def _fit(network: nn.Module, images: Images, chosen: Tensor, epochs: int) -> None:
    rows = chosen.nonzero()[:, 0]
    steps = epochs * (len(rows) // _BATCH)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=steps)
    random = torch.Generator().manual_seed(0)
    with Progress(steps, "training the classifier", unit="step") as progress:
        for _ in range(epochs):
            for part in rows[torch.randperm(len(rows), generator=random)].split(_BATCH):
                if len(part) < _BATCH:
                    continue
                shown = _augmented(_prepared(network, images.pixels[part]), random)
                # Most CPUs have no units for bfloat16, and take ten times as long with it.
                with torch.autocast(shown.device.type, torch.bfloat16, enabled=shown.is_cuda):
                    scores = network(shown)
                loss = nn.functional.cross_entropy(
                    scores.float(), images.labels[part].to(shown.device), label_smoothing=0.1
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                progress.advance(1, loss=loss.item())


def _prepared(network: nn.Module, pixels: Tensor) -> Tensor:
    """Pixels (N, R, R, 3) uint8 as images in [-1, 1] on the device of the network."""
    device = next(network.parameters()).device
    return pixels.to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def _augmented(images: Tensor, random: torch.Generator) -> Tensor:
    """All mirrored or none, and all moved by the same few pixels; batches are small enough for that."""
    if torch.rand((), generator=random) < 0.5:
        images = images.flip(3)
    x, y = torch.randint(-_SHIFT, _SHIFT + 1, (2,), generator=random).tolist()
    return images.roll((x, y), (2, 3))


@torch.no_grad()
def _right(network: nn.Module, pixels: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Share of the images of each class that are given it, (classes,)."""
    found = torch.cat([network(_prepared(network, part)).argmax(1).cpu() for part in pixels.split(500)])
    return torch.stack([(found[labels == each] == each).double().mean() for each in range(classes)])


@torch.no_grad()
def _recognised(network: nn.Module, name: str, samples: int, classes: int) -> Tensor:
    generator = load_generator(name)
    labels = torch.arange(classes).repeat(samples)
    z = torch.randn(len(labels), generator.z_dim, generator=torch.Generator().manual_seed(0))
    parts = zip(z.split(100), labels.split(100), strict=True)
    images = torch.cat([generator(z.to(generator.device), y.to(generator.device)).cpu() for z, y in parts])
    pixels = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    return _right(network, pixels, labels, classes)


if __name__ == "__main__":
    run(benchmark, "python -m benchmarks.recognition")
