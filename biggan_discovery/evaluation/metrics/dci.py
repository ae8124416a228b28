"""Disentanglement, completeness and informativeness of codes for known factors, and a mutual-information gap."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.estimates import Estimate, estimate
from biggan_discovery.evaluation.metric import Figure, Metric, Need, View, no_images
from biggan_discovery.evaluation.metrics.factors import (
    codes_and_factors,
    codes_and_predictions,
    codes_and_predictions_cost,
)

_PARTS = 4
_LEAST = 40  # samples of a part


class DCI(NamedTuple):
    """Each in [0, 1], with its standard error; and the importance (codes, factors) of each code for each factor."""

    disentanglement: Estimate
    completeness: Estimate
    informativeness: Estimate
    importance: Float64[Tensor, "codes factors"]


def dci(codes: Float[Tensor, "N ndirs"], factors: Float[Tensor, "N n"]) -> DCI:
    """Eastwood & Williams 2018, "A Framework for the Quantitative Evaluation of Disentangled Representations".

    A Lasso for each factor is fitted to the codes, its penalty chosen by cross-validation; |weights| are the importance
    R. Disentanglement is the mean over codes, weighted by their importance, of 1 - entropy of R's row over factors, to
    the base of the number of factors: 1 where every code that matters is for one factor. Completeness is the mean over
    factors of 1 - entropy of R's column over codes. Informativeness is the mean R² on samples not fitted to (the paper
    gives the error itself).

    Args:
        codes: (N, ndirs) components along the directions; scaled to unit variance here.
        factors: (N, n) values, which a linear function of the right codes gives; likewise scaled.

    Returns:
        Means and standard errors over four parts of the samples, each half fitted to and half tested on.

    Raises:
        UserError: for fewer than 160 samples, or fewer than two codes or factors.
    """
    if len(codes) < _PARTS * _LEAST or codes.shape[1] < 2 or factors.shape[1] < 2:
        shapes = f"codes {tuple(codes.shape)} and factors {tuple(factors.shape)}"
        raise UserError(f"{shapes} are too few; give at least {_PARTS * _LEAST} samples of two or more of each")
    parts = zip(codes.chunk(_PARTS), factors.chunk(_PARTS), strict=True)
    importances, informativeness = zip(*(_fitted(*part) for part in parts), strict=True)
    return DCI(
        estimate(torch.stack([disentanglement(importance) for importance in importances])),
        estimate(torch.stack([disentanglement(importance.T, weighted=False) for importance in importances])),
        estimate(torch.stack(informativeness)),
        torch.stack(importances).mean(dim=0),
    )


def disentanglement(importance: Float[Tensor, "rows columns"], weighted: bool = True) -> Float[Tensor, ""]:
    """1 - entropy of each row of importance (rows, columns) to the base of the columns; the mean over rows.

    If weighted, rows are weighted by their sums, otherwise equally; a row of zeros scores 0.
    """
    total = importance.sum(dim=1, keepdim=True)
    shares = importance / total.clamp_min(1e-30)
    entropy = -(shares * shares.clamp_min(1e-30).log()).sum(dim=1) / np.log(importance.shape[1])
    scores = torch.where(total[:, 0] > 0, 1 - entropy, 0)
    return (scores * total[:, 0]).sum() / total.sum().clamp_min(1e-30) if weighted else scores.mean()


def _fitted(
    codes: Float[Tensor, "N codes"], factors: Float[Tensor, "N factors"]
) -> tuple[Float64[Tensor, "codes factors"], Float64[Tensor, ""]]:
    """Importance (codes, factors) and the mean R² on the held-out half."""
    from sklearn.exceptions import ConvergenceWarning  # Imported here, as it is slow to import.
    from sklearn.linear_model import LassoCV

    half = len(codes) // 2
    x, y = (_standardized(each).numpy() for each in (codes, factors))
    weights, explained = [], []
    for column in y.T:
        with warnings.catch_warnings():
            # If the codes determine a factor exactly, the fit does not converge at the smallest penalties.
            warnings.simplefilter("ignore", ConvergenceWarning)
            lasso = LassoCV(cv=3, max_iter=2000).fit(x[:half], column[:half])
        weights.append(np.abs(lasso.coef_))
        explained.append(max(0.0, float(lasso.score(x[half:], column[half:]))))
    return torch.from_numpy(np.stack(weights, axis=1)), torch.tensor(explained, dtype=torch.float64).mean()


def _standardized(values: Float[Tensor, "N columns"]) -> Float64[Tensor, "N columns"]:
    values = values.double() - values.double().mean(dim=0)
    return values / values.std(dim=0).clamp_min(1e-12)


def mutual_information_gap(
    codes: Float[Tensor, "N ndirs"], factors: Float[Tensor, "N n"], *, bins: int = 20
) -> Estimate:
    """Gap in mutual information with a factor between the two most informative codes, as a fraction of its maximum.

    Chen et al. 2018, "Isolating Sources of Disentanglement", section 4, with codes and factors cut into bins of equal
    counts: the mean over factors of [I(best) - I(second)] / log(bins). Counting N samples in bins² cells puts about
    bins²/2N on every I, which the difference all but cancels.

    Args:
        codes: (N, ndirs), ndirs ≥ 2.
        factors: (N, n).
        bins: of each.

    Returns:
        Mean and standard error over four parts of the samples.

    Raises:
        UserError: for fewer than two codes, or fewer samples than four times the cells.
    """
    if codes.shape[1] < 2 or len(codes) < _PARTS * bins**2:
        least = _PARTS * bins**2
        raise UserError(
            f"codes {tuple(codes.shape)} are too few; {bins} bins need {least} samples of two or more codes"
        )
    parts = zip(codes.chunk(_PARTS), factors.chunk(_PARTS), strict=True)
    return estimate(torch.stack([_gap(_ranked(code, bins), _ranked(factor, bins), bins) for code, factor in parts]))


def _gap(codes: Int64[Tensor, "N ndirs"], factors: Int64[Tensor, "N n"], bins: int) -> Float64[Tensor, ""]:
    gaps = []
    for factor in factors.T:
        cells = torch.stack([torch.bincount(code * bins + factor, minlength=bins**2) for code in codes.T])
        joint = cells.double() / len(factor)
        # Rows and columns have equal counts, so their entropies are log(bins) but for rounding of the counts.
        marginals = joint.view(-1, bins, bins)
        independent = marginals.sum(dim=1, keepdim=True) * marginals.sum(dim=2, keepdim=True)
        ratio = joint / independent.flatten(1).clamp_min(1e-30)
        information = (joint * ratio.clamp_min(1e-30).log()).sum(dim=1)
        best, second = information.topk(2).values
        gaps.append((best - second) / np.log(bins))
    return torch.stack(gaps).mean()


def _ranked(values: Float[Tensor, "N columns"], bins: int) -> Int64[Tensor, "N columns"]:
    """Which of `bins` bins of equal counts each value of each column lies in."""
    return values.argsort(dim=0).argsort(dim=0) * bins // len(values)


_DCI = "Eastwood & Williams 2018"
_DISENTANGLEMENT = Figure(
    "DCI disentanglement",
    "disentanglement (DCI)",
    "Whether each direction's coefficient predicts one factor (1) or all alike (0), by the weights of a Lasso "
    "regression. DCI: disentanglement, completeness and informativeness.",
    "↑",
    paper=_DCI,
)
_COMPLETENESS = Figure(
    "DCI completeness",
    "completeness (DCI)",
    "Whether each factor is predicted by one direction's coefficient (1) or by all alike (0).",
    "↑",
    paper=_DCI,
)
_INFORMATIVENESS = Figure(
    "DCI informativeness",
    "informativeness (DCI)",
    "Share of the factors' variance (R²) that a linear function of the coefficients explains.",
    "↑",
    paper=_DCI,
)
_GAP = Figure(
    "mutual information gap",
    "mutual information gap (MIG)",
    "Gap in mutual information with a factor between the two most informative coefficients, over its entropy.",
    "↑",
    paper="Chen et al. 2018",
)
_OF_LATENTS = (_DISENTANGLEMENT, _COMPLETENESS, _INFORMATIVENESS)
_IN_IMAGES = tuple(
    Figure(
        f"{figure.key} in images",
        f"{figure.title}, images",
        f"{figure.title}, with the factors read off images by a predictor.",
        figure.better,
        paper=figure.paper,
    )
    for figure in _OF_LATENTS
)


def _of_latents(view: View) -> dict[Figure, Any]:
    codes = codes_and_factors(view.generator, view.Q, **view.sizes, seed=view.seed)
    few = (each[: len(each) // 4] for each in codes)
    scores = dci(*few)
    return {**dict(zip(_OF_LATENTS, scores[:3], strict=True)), _GAP: mutual_information_gap(*codes)}


def _in_images(view: View) -> dict[Figure, Any]:
    assert view.predictor is not None  # a need
    codes = codes_and_predictions(
        view.generator,
        view.Q,
        view.predictor,
        classes=view.classes,
        **view.sizes,
        seed=view.seed,
        progress=view.progress,
    )
    return dict(zip(_IN_IMAGES, dci(*codes)[:3], strict=True))


DCI_OF_LATENTS = Metric(
    "disentanglement, completeness, informativeness",
    figures=(*_OF_LATENTS, _GAP),
    presets={"quick": {"samples": 8000}, "full": {"samples": 8000}},
    cost=no_images,
    measure=_of_latents,
    needs=frozenset({Need.TRUE_DIRECTIONS, Need.TWO_FACTORS, Need.ALL_LAYERS, Need.TWO_DIRECTIONS}),
    length=lambda _: (1, "step"),
)
DCI_IN_IMAGES = Metric(
    "disentanglement, completeness, informativeness in images",
    figures=_IN_IMAGES,
    presets={"quick": {"samples": 320}, "full": {"samples": 2000}},
    cost=lambda view: codes_and_predictions_cost(**view.sizes),
    measure=_in_images,
    needs=frozenset({Need.TRUE_DIRECTIONS, Need.TWO_FACTORS, Need.PREDICTOR, Need.ALL_LAYERS, Need.TWO_DIRECTIONS}),
)
