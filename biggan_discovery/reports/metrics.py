"""What each metric is called in reports, which way is better, and what it says."""

from __future__ import annotations

from typing import NamedTuple


class Metric(NamedTuple):
    """A figure of `evaluation.suite.Judgement`, a short title, "↑", "↓" or "", and what it says."""

    key: str
    title: str
    better: str
    meaning: str


METRICS = (
    Metric("Hessian Penalty", "Hessian Penalty", "↓", "Held-out; off-diagonal second derivatives of every pixel."),
    Metric("Hessian Penalty / random", "HP / random", "↓", "The same over that of random orthonormal directions."),
    Metric("OroJaR", "OroJaR", "↓", "Held-out; inner products of the image changes of different directions."),
    Metric("OroJaR / random", "OroJaR / random", "↓", "The same over that of random orthonormal directions."),
    Metric("largest on diagonal", "max on diagonal", "↑", "Share of pixels whose largest |H| lies on the diagonal."),
    Metric(
        "diagonal / off-diagonal", "diag / off", "↑", "Mean |H| on the diagonal over that off it, mean over pixels."
    ),
    Metric(
        "inactive directions",
        "inactive",
        "",
        "Directions with less than 2 % of the activeness of the strongest. With i inactive ones of n, VP, RCA and "
        "contrastive accuracy cannot exceed (n - i + 1)/n, (n - i + 1)/n and (n - i)/n or so.",
    ),
    Metric("VP", "VP", "↑", "Few examples: how often a network tells which direction was moved."),
    Metric("RCA", "RCA", "↑", "Many examples: how often a reconstructor tells which direction was moved."),
    Metric("RCA shift error", "shift error", "↓", "How far it misses the amount, in units of the path size."),
    Metric("contrastive accuracy", "contrastive", "↑", "Image changes of one direction resemble each other most."),
    Metric("class transfer", "class transfer", "↑", "Correlation of image changes between classes, active directions."),
    Metric("recovery", "recovery", "↑", "Mean |cos| of each true direction with its partner, one to one."),
    Metric("leakage", "leakage", "↓", "Share of a direction's effect on true factors beyond its first factor."),
    Metric("leakage in images", "leakage (images)", "↓", "The same, factors read off images by a predictor."),
    Metric("DCI disentanglement", "DCI D", "↑", "Each code is for one factor."),
    Metric("DCI completeness", "DCI C", "↑", "Each factor is told by one code."),
    Metric("DCI informativeness", "DCI I", "↑", "R² of the factors from the codes."),
    Metric("DCI disentanglement in images", "DCI D (images)", "↑", "As DCI D, factors read off images."),
    Metric("DCI completeness in images", "DCI C (images)", "↑", "As DCI C, factors read off images."),
    Metric("DCI informativeness in images", "DCI I (images)", "↑", "As DCI I, factors read off images."),
    Metric("mutual information gap", "MIG", "↑", "How much more the best code tells of a factor than the second."),
)
