"""Principal axes of the image changes that finite steps of z make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from biggan_discovery.search.method import ClosedForm, Found, Settings, setting

if TYPE_CHECKING:
    from biggan_discovery.generators import FrozenGenerator
    from biggan_discovery.generators.layer_range import LayerRange


@dataclass(frozen=True, kw_only=True)
class ImageAxesSettings(Settings):
    """Settings of the method image-axes."""

    samples: int = setting("Latents to measure.", default="16", least=1, most=10**9)
    reach: float = setting("Length of the steps.", default="1", above=0)


class ImageAxes(ClosedForm):
    """Eigenvectors of the mean of DᵀD, where column i of D is G(z + reach·eᵢ) - G(z - reach·eᵢ)."""

    paper = ""
    Settings = ImageAxesSettings

    def defaults(self, generator: FrozenGenerator, layers: LayerRange, asked: dict) -> dict:
        """16 samples, steps of length 1."""
        return super().defaults(generator, layers, asked) | {"samples": 16, "reach": 1.0}

    def find(self, generator: FrozenGenerator, settings: ImageAxesSettings, *, quiet: bool) -> Found:
        """The axes, the strongest first."""
        # torch is imported here, as the command line reads the settings above without it.
        import torch

        from biggan_discovery.directions.shifts import along_directions
        from biggan_discovery.numerics.eigenvectors import fixed_signs
        from biggan_discovery.numerics.streams import Stream
        from biggan_discovery.objectives.samples import draw

        axes = torch.eye(generator.z_dim)[generator.search_space(settings.layers)]
        ends = torch.tensor([-settings.reach, settings.reach])
        drawn = draw(
            generator,
            settings.classes,
            len(axes),
            count=settings.samples,
            probes=0,
            path_size=0.0,
            seed=settings.seed,
            stream=Stream.SEARCH,
            step=0,
        )
        gram = torch.zeros(len(axes), len(axes), dtype=torch.float64)
        for z, y in zip(drawn.z, drawn.y, strict=True):
            pairs = along_directions(generator, axes, z, y, ends, settings.layers)
            changes = torch.stack([(after - before).flatten().double() for before, after in pairs])
            gram += (changes @ changes.T).cpu() / settings.samples
        values, vectors = torch.linalg.eigh(gram)  # the weakest first
        A = fixed_signs(vectors.T.flip(0)[: settings.directions]).float()
        strength = values.flip(0)[: settings.directions].tolist()
        return Found(A, {"squared_change": strength}, 2 * len(axes) * settings.samples)
