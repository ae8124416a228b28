"""What an evaluation says, in plain sentences: the first thing that a report shows."""

from __future__ import annotations

import math

from biggan_discovery.directions.activity import INACTIVE
from biggan_discovery.evaluation.estimates import Estimate, Ratio
from biggan_discovery.evaluation.metrics.recovery import MEAN as RECOVERY
from biggan_discovery.evaluation.suite import Judged
from biggan_discovery.reports.document import shown
from biggan_discovery.reports.results import Results

_SURE = 2.0  # standard errors


def conclusion(report: Results) -> list[str]:
    """A sentence or two on each set, and which set is best by each ratio to random directions."""
    return [*(f"{each.label}: {_of_set(each)}" for each in report.sets), *_best(report)]


def _of_set(judged: Judged) -> str:
    sentences = [_activity(judged)]
    for figure, value in judged.found.items():
        if isinstance(value, Ratio) and math.isfinite(value.mean):
            name = figure.title.removesuffix(" / random")
            sentences.append(f"{name} {shown(value)} times that of random directions: {_against_chance(value)}.")
    recovery = judged.found.get(RECOVERY)
    if recovery is not None:
        sentences.append(
            f"The known factors are recovered with a mean |cos| of {recovery.mean:.2f} (1 would be perfect)."
        )
    return " ".join(sentences)


def _activity(judged: Judged) -> str:
    count, idle = len(judged.view.Q), len(judged.inactive)
    if not idle:
        return f"All {count} directions are active." if count > 1 else "The direction is active."
    active = f"{count - idle} of {count} directions {'is' if count - idle == 1 else 'are'} active"
    return f"{active}; the others change the image less than {INACTIVE:g} times as much as random ones."


def _against_chance(value: Ratio) -> str:
    if abs(value.mean - 1) <= _SURE * value.standard_error:
        return "not distinguishable from chance"
    return "better than chance" if value.mean < 1 else "worse than chance"


def _best(report: Results) -> list[str]:
    """For each ratio, the set with the least, if it differs from the next by more than their errors."""
    if len(report.sets) < 2:
        return []
    ratios = dict.fromkeys(
        figure for each in report.sets for figure, value in each.found.items() if isinstance(value, Ratio)
    )
    sentences = []
    for figure in ratios:
        values = [(each.found[figure], each.label) for each in report.sets if figure in each.found]
        ordered = sorted((pair for pair in values if math.isfinite(pair[0].mean)), key=lambda pair: pair[0].mean)
        if len(ordered) < 2:
            continue
        (first, best), (second, next_) = ordered[:2]
        name = figure.title.removesuffix(" / random")
        if _differ(first, second):
            sentences.append(f"Least {name}: {best}.")
        else:
            sentences.append(f"Least {name}: {best}, but {next_} is within the error.")
    return sentences


def _differ(one: Estimate | Ratio, other: Estimate | Ratio) -> bool:
    return abs(one.mean - other.mean) > _SURE * math.hypot(one.standard_error, other.standard_error)
