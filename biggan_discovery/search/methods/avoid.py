"""Existing directions, projected so that they leave a region of the image alone (Zhu et al. 2021, LowRankGAN)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biggan_discovery.errors import UserError
from biggan_discovery.search.method import ClosedForm, Found, setting
from biggan_discovery.search.methods.region import (
    InRegion,
    check_region,
    held_out_maps,
    region_grams,
    weights_of,
)

if TYPE_CHECKING:
    from torch import Tensor

    from biggan_discovery.directions import Directions
    from biggan_discovery.generators import FrozenGenerator

_LEAST_LEFT = 0.05  # of what a direction changes outside of the region; less is noise of the latents
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class AvoidSettings(InRegion):
    """Settings of the method avoid."""

    avoid: str | None = setting("Directions file to project off the region.", default="none")
    cut: float = setting("Share of change in the region that is allowed, relative to random.", default="0.5", above=0)
    orthogonalize: str = setting("Orthonormalization of A to Q.", default="none", choices=("none",))

    def header(self) -> dict[str, Any]:
        """See `Settings.header`; with the content of the directions."""
        from biggan_discovery.directions import Directions

        return {**super().header(), "avoid_sha256": Directions.load(str(self.avoid)).sha256}


class Avoid(ClosedForm):
    """Projections of directions onto those that leave a region alone.

    LowRankGAN projects onto the null space of JᵀJ of the region's pixels (Zhu et al. 2021, "Low-Rank Subspaces in
    GANs", section 3.3). Here J is whitened by JᵀJ of the whole image, so that the criterion is the share of a
    direction's change that lies in the region, and a weak trace of a strong direction does not remove it: kept are the
    generalised eigenvectors with a share below `cut` times that of random directions. Projections, orthogonal in the
    metric of the whole image's change, are scaled to length 1. Directions that keep less than a twentieth of their
    squared change outside of the region are left out.
    """

    paper = "Zhu et al. 2021"
    Settings = AvoidSettings

    def defaults(self, generator: FrozenGenerator, layers: Any, asked: dict[str, Any]) -> dict[str, Any]:
        """All directions of the file, 16 samples, a cut of 0.5."""
        count = len(_given(asked.get("avoid")))
        return {"directions": count, "samples": 16, "tau": 0.01, "cut": 0.5, "orthogonalize": "none"}

    def check(self, generator: FrozenGenerator, settings: AvoidSettings) -> None:
        """Check that the directions fit, the region is valid and the latents fit in memory."""
        from biggan_discovery.directions.defaults import check_fits

        given = _given(settings.avoid)
        check_fits(given, generator)
        if settings.directions > len(given):
            raise UserError(f"directions is {settings.directions}; {settings.avoid} has {len(given)}")
        check_region(generator, settings)

    def find(self, generator: FrozenGenerator, settings: AvoidSettings, *, quiet: bool) -> Found:
        """Project; shares of the change inside the region are measured at other latents."""
        from torch.nn.functional import normalize

        from biggan_discovery.directions.change_maps import inside_shares
        from biggan_discovery.numerics.eigenvectors import strongest_ratio
        from biggan_discovery.numerics.symmetric import ridge

        given = _given(settings.avoid)
        weights = weights_of(generator, settings)
        (gram, rest), cost = region_grams(generator, settings, (weights, 1 - weights), quiet=quiet)
        whole = gram + rest
        metric = whole + ridge(whole, settings.tau)
        shares, vectors = strongest_ratio(gram, metric)
        allowed = settings.cut * gram.trace() / whole.trace()
        null = vectors[:, shares < allowed]
        null = null / (null * (metric @ null)).sum(dim=0).sqrt()
        space = generator.search_space(settings.layers)
        rows = normalize(given.Q[: settings.directions, space].double(), dim=1)
        projected = rows @ metric @ null @ null.T
        left = _squares(projected, rest) / _squares(rows, rest).clamp(min=1e-300)
        kept = [row for row, share in enumerate(left.tolist()) if share >= _LEAST_LEFT]
        if not kept:
            raise UserError(
                f"nothing is left of the directions of {settings.avoid} outside of the region, as "
                f"{len(shares) - null.shape[1]} of {len(shares)} dimensions change it; give a larger --cut or a "
                "smaller region"
            )
        if lost := [str(row) for row in range(len(rows)) if row not in kept]:
            _log.warning("left out, as hardly anything of them remains outside of the region: %s", ", ".join(lost))
        A = normalize(projected[kept], dim=1).float()
        maps, judged = held_out_maps(generator, settings, A, quiet=quiet)
        before, judged_before = held_out_maps(generator, settings, rows[kept].float(), quiet=quiet)
        after, was = inside_shares(maps, weights).tolist(), inside_shares(before, weights).tolist()
        values = {
            "region_share": after,
            "projected": left[kept].tolist(),
            "random_share": (gram.trace() / whole.trace()).item(),
            "null_dimensions": null.shape[1],
            "names": [given.names[row] for row in kept],
            "notes": [
                f"direction {row} of a file, projected: share of its change in the region {now:.2f}, was {once:.2f}"
                for row, once, now in zip(kept, was, after, strict=True)
            ],
        }
        return Found(A, values, cost + judged + judged_before)


def _squares(rows: Tensor, gram: Tensor) -> Tensor:
    """qᵀGq for each row q."""
    return ((rows @ gram) * rows).sum(dim=1)


def _given(file: str | None) -> Directions:
    from biggan_discovery.directions import Directions

    if file is None:
        raise UserError("the method avoid needs directions; give --avoid FILE and a --region or --mask")
    return Directions.load(file)
