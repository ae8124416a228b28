"""What a search is about to do, in one line, and what would be cheaper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biggan_discovery.generators.mixes import Class, class_title
from biggan_discovery.output import clean
from biggan_discovery.search.settings import ADAM, JOINT_DIAGONALIZATION

if TYPE_CHECKING:
    from biggan_discovery.generators import FrozenGenerator
    from biggan_discovery.search.method import Method

_MOST_CLASSES = 3
_CHEAPER = {
    ADAM: f"fewer --steps, or --solver {JOINT_DIAGONALIZATION}, which needs a sixth of the evaluations or less",
    JOINT_DIAGONALIZATION: (
        "--minutes or fewer latents (--samples), --method orojar, which takes 1 evaluation for each coordinate and "
        "latent, fewer coordinates (--layers), or the closed forms sefa and ganspace"
    ),
}


def announcement(
    generator: FrozenGenerator,
    name: str,
    solver: str | None,
    method: Method,
    settings: Any,
    *,
    done: int = 0,
    total: int = 0,
) -> str:
    """One line: generator, classes, method and solver, directions, steps, device and precision.

    Args:
        generator: the frozen network.
        name: name of the method.
        solver: name of the solver; None for a closed form.
        method: the method.
        settings: its settings.
        done: steps that are already done, in a resumed run.
        total: steps that are planned so far.

    Example:
        >>> announcement(generator, "hessian", "joint-diagonalization", method, settings)
        'scenes-64, class cone: hessian by joint-diagonalization, 16 directions in layers all, 16 latents, cpu, float32'
    """
    count = settings.directions
    parts = [
        f"{name} by {solver}" if solver else name,
        f"{count} direction{'s' * (count != 1)} in layers {settings.layers}",
        *([] if generator.space == "z" else [f"space {generator.space}"]),
        *_amount(solver, settings),
        str(generator.device),
        getattr(settings, "precision", None) or str(generator.dtype).removeprefix("torch."),
    ]
    evaluations = method.evaluations(settings)
    if evaluations is not None:
        parts.append(f"{evaluations:,} generator evaluations")
    if done:
        parts.append(f"{done:,} of {total:,} done")
    return clean(f"{generator.name}, {_classes(generator, settings.classes)}: {', '.join(parts)}")


def cheaper(solver: str | None) -> str:
    """What to try where a search takes too long, as the end of a sentence."""
    return _CHEAPER.get(solver or "", "")


def _amount(solver: str | None, settings: Any) -> list[str]:
    if solver == ADAM:
        return [f"{settings.steps:,} steps of {settings.batch} samples"]
    if not hasattr(settings, "samples"):
        return []
    sketches = getattr(settings, "sketches", None)
    plural = "s" * (settings.samples != 1)
    latents = "as many latents as it takes" if settings.samples is None else f"{settings.samples:,} latent{plural}"
    most = getattr(settings, "evaluations", None)
    limit = [f"at most {most:,} generator evaluations"] if most else []
    return [latents + (f" × {sketches} sketches" if sketches else ""), *limit]


def _classes(generator: FrozenGenerator, classes: list[Class]) -> str:
    if classes == list(range(generator.num_classes)):
        return "all classes" if len(classes) > 1 else "one class"
    if len(classes) > _MOST_CLASSES:
        return f"{len(classes)} classes"
    return f"class{'es' * (len(classes) > 1)} {', '.join(class_title(generator.class_names, y) for y in classes)}"
