"""Inversion: the latent and the class weights of a photo, shown beside it."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.lpips_distance import Distance, lpips_distance
from biggan_discovery.files import check_writable, existing_file
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.base import Labels
from biggan_discovery.generators.class_space import in_space
from biggan_discovery.generators.labels import ClassChoice, class_list, class_of
from biggan_discovery.generators.mixes import Class
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.numerics.trial import loaded
from biggan_discovery.progress import Progress
from biggan_discovery.reading.pictures import read_square
from biggan_discovery.rendering.captions import class_name, joined, place
from biggan_discovery.rendering.latent_files import check_latents_file
from biggan_discovery.rendering.latents import save_samples
from biggan_discovery.rendering.output import Target
from biggan_discovery.rendering.reconstruction import draw_reconstruction
from biggan_discovery.rendering.table import check_integers
from biggan_discovery.runs.interrupts import Interrupts
from biggan_discovery.search.inversion import Fit, Point, draws

REACHED = 30.0
"""PSNR in dB from which a photo counts as reached; images of a generator itself come back above it."""

_DONE = 45.0  # PSNR after its first round at which no other start is tried; rounding to 8 bits alone leaves 59
_EXACT = (2 / 255 / 4) ** 2  # distance at which a fit ends: a quarter of a level of 8 bits
_FURTHER = 2  # rounds after the first one
_SLIGHT = 0.05  # weight of a class that is left out
_SAME = 0.5  # dB that this may cost
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inversion:
    """A photo, and the nearest image of a generator that was found.

    Attributes:
        z: (1, z_dim) latent, on the CPU.
        y: (1,) int64 class index, or (1, num_classes) class weights; on the CPU.
        photo: (1, C, R, R) what the image should be, in [-1, 1]; on the CPU.
        image: (1, C, R, R) the generator's image, on the CPU.
        psnr: peak signal-to-noise ratio of the image, in dB.
        length: root mean square of the latent in standard deviations of the prior, about 1 for its samples.
        lpips: LPIPS distance of the image; None if LPIPS is not available, see `lpips_distance`.
    """

    z: Float[Tensor, "1 z_dim"]
    y: Labels
    photo: Float[Tensor, "1 C R R"]
    image: Float[Tensor, "1 C R R"]
    psnr: float
    length: float
    lpips: float | None

    @property
    def reached(self) -> bool:
        """Whether the image shows the photo, as it would if the generator had made it."""
        return self.psnr >= REACHED

    def __str__(self) -> str:
        lpips = "" if self.lpips is None else f"LPIPS {self.lpips:.3f}, "
        return f"PSNR {self.psnr:.1f} dB, {lpips}latent of {self.length:.2g} times the usual length"


def invert(
    generator: FrozenGenerator | str | os.PathLike[str],
    image: str | os.PathLike[str] | Tensor,
    *,
    classes: ClassChoice = None,
    starts: int = 4,
    steps: int = 100,
    lpips: float = 0.0,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    save_latents: str | os.PathLike[str] | None = None,
    scale: int | None = None,
    command: str | None = None,
    report: Callable[[str], object] | None = None,
    quiet: bool = False,
) -> Inversion:
    """Find the latent, and the class weights, whose image is nearest to a photo.

    Minimises the mean squared difference, averaged over an image pyramid (the image, and its means of 2 × 2, 4 × 4, ...
    pixels), plus LPIPS where it has a weight, by L-BFGS (Liu & Nocedal 1989), whose steps are combined from the
    eigenvectors of JᵀJ (Wang & Ponce 2021, "The Geometry of Deep Generative Image Models"). The latent is that of the
    prior at standard normal coordinates v, so it never leaves the truncation. The mean square of v is penalised in
    proportion to the loss that is left, so that a photo out of reach does not pull it far away. Class weights are a
    softmax of further coordinates; those below 0.05 are left out where the image allows it.

    Args:
        generator: a frozen generator, or anything that `load_generator` accepts.
        image: a picture of any size, of which the largest central square is resized; or a tensor (C, R, R) in [-1, 1]
            of the generator's own size.
        classes: the class: an index, a name, or one mix, see `class_list`. Defaults to fitting class weights too.
        starts: latents to start from, the nearest of 128 samples or more. The best is fitted further.
        steps: evaluations of the loss in each round, a pass forward and one backward each. A start has one round, the
            best one two more, and two with its final class weights.
        lpips: weight of LPIPS, at least 0; that of squared differences in [-1, 1] is 1.
        seed: random seed of the samples.
        out: a .png file for photo, image and their difference.
        save_latents: a file for the latent and its class, see `rendering.save_latents`; `edit`, `draw` and `walk` take
            it as `latents`.
        scale: enlarge the pictures of `out` by this integer, 1 to 32.
        command: the command line, kept in the file's settings.
        report: called with a line about each written file.
        quiet: show no progress.

    Returns:
        The latent, its class and image, and how near it is. A warning is logged if the photo was not reached. After a
        signal to stop, the best so far is written before the exception of the signal is raised.

    Raises:
        UserError: for an invalid value, a picture that cannot be read, several classes, or a generator that is not
            differentiable.
        OSError: if writing fails; no partial file is left.

    Example:
        >>> found = invert("scenes-64", "photo.jpg", out="inverted.png", save_latents="inverted.npz")
        >>> edit("scenes-64", "scenes-64", {"camera height": 2.0}, "edited.png", latents="inverted.npz")
    """
    check_integers(scale=scale, seed=seed)
    for name, value, least in (("starts", starts, 1), ("steps", steps, 1)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UserError(f"{name} is {value!r}; it should be an integer of at least {least}")
    if not 0 <= lpips < math.inf:
        raise UserError(f"lpips is {lpips!r}; it should be a number of at least 0")
    target = check_paths(image, out, save_latents)
    network = in_space(loaded(generator), "z")
    photo = _photo(network, image)
    distance = lpips_distance(network)
    if lpips and distance is None:
        raise UserError(
            "LPIPS needs colour images of at least 32 pixels, the package lpips, and AlexNet's weights in "
            f"{Path(torch.hub.get_dir(), 'checkpoints')}; without them its weight should be 0"
        )
    fit = Fit(network, photo.to(network.device, network.dtype), distance if lpips else None, lpips)
    interrupts = Interrupts()
    with arithmetic("float32"), interrupts.remembered():
        nearest = _nearest(fit, network, _chosen(network, classes), starts, steps, seed, interrupts, quiet=quiet)
    found = _inversion(fit, nearest, photo, distance)
    name = class_name(network, class_of(found.y[0]))
    if not quiet:
        _log.info("%s", ", ".join(filter(None, (name, str(found)))))
    if not found.reached:
        _log.warning(
            "the photo was not reached: PSNR %.1f dB, where images of the generator itself come back at %g dB or more; "
            "what differs is not among them, or other starts would find it",
            *(found.psnr, REACHED),
        )
    tell = report or (lambda _: None)
    if save_latents is not None:
        save_samples(save_latents, network, found.z, found.y)
        tell(f"{os.fspath(save_latents)} (the latent and its class)")
    if target is not None:
        settings = {
            "command": command,
            "picture": "inversion",
            "image": None if isinstance(image, Tensor) else os.fspath(image),
            "generator": network.name,
            "generator_sha256": network.sha256,
            "truncation": network.truncation,
            "seed": seed,
            "psnr": found.psnr,
        }
        caption = joined(name, f"PSNR {found.psnr:.1f} dB", place(network))
        written = draw_reconstruction(target, photo, found.image, caption=caption, settings=settings, scale=scale)
        tell(written)
    try:
        interrupts.leave()
    except BaseException as error:
        if out is not None or save_latents is not None:
            error.add_note(f"the best so far is in {os.fspath(save_latents or out)}")  # pyright: ignore
        raise
    return found


def check_paths(
    image: str | os.PathLike[str] | Tensor,
    out: str | os.PathLike[str] | None,
    save_latents: str | os.PathLike[str] | None,
) -> Target | None:
    """The target of `out`; raises what is wrong with the paths before anything is loaded.

    Raises:
        UserError: there is no such image, or a file of another kind or that cannot be written.
    """
    if not isinstance(image, Tensor):
        existing_file(image)
    check_latents_file(save_latents)
    if save_latents is not None and Path(save_latents).suffix:
        check_writable(save_latents)
    if out is None:
        return None
    target = Target.of(out, None)
    target.check(1)
    if not target.still:
        raise UserError(f"photo and image are shown in a .png file, and {os.fspath(out)} is none")
    return target


def _photo(generator: FrozenGenerator, image: str | os.PathLike[str] | Tensor) -> Float[Tensor, "1 C R R"]:
    """The image to reach, in [-1, 1], on the CPU."""
    shape = (generator.channels, generator.resolution, generator.resolution)
    if isinstance(image, Tensor):
        one = image[0] if image.ndim == 4 and len(image) == 1 else image
        if one.shape != shape or not one.is_floating_point() or not one.isfinite().all():
            raise UserError(
                f"image is {image.dtype} of shape {tuple(image.shape)}; it should be finite numbers of shape {shape}"
            )
        return one[None].detach().float().cpu().clamp(-1, 1)
    pixels, (width, height) = read_square(image, generator.resolution)
    side = min(width, height)
    if (width, height) != shape[1:]:
        square = "" if width == height else f"its central {side} × {side} of "
        verb = "enlarged" if side < generator.resolution else "resized"
        _log.info("%s: %s%d × %d pixels, %s to %d × %d", os.fspath(image), square, width, height, verb, *shape[1:])
    colours = torch.tensor(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    return colours if generator.channels == 3 else colours.mean(dim=1, keepdim=True)


def _chosen(generator: FrozenGenerator, classes: ClassChoice) -> list[Class]:
    """The classes to start from: the one that is given, or all."""
    found = class_list(generator, classes)
    if classes is not None and len(found) > 1:
        raise UserError(f"{len(found)} classes are given, and an image has one; it may be a mix: cone:0.7, torus:0.3")
    return found


def _nearest(
    fit: Fit,
    generator: FrozenGenerator,
    classes: list[Class],
    starts: int,
    steps: int,
    seed: int,
    interrupts: Interrupts,
    *,
    quiet: bool,
) -> Point:
    """The nearest point of all starts; after a signal, the nearest so far."""
    mixed = len(classes) > 1 and generator.mixes_classes
    total = (starts + (1 + mixed) * _FURTHER) * steps
    if not quiet:
        _log.info(
            "of %d samples the %d nearest are fitted, and the best of them further: at most %s steps, each a pass "
            "forward and one backward",
            *(draws(classes), starts, f"{total:,}"),
        )

    def stop() -> bool:
        interrupts.agree(interrupts.votes())
        return bool(interrupts.signal)

    with Progress(draws(classes), "choosing starts", unit="image", quiet=quiet) as progress:

        def count(images: int) -> bool:
            progress.advance(images)
            return stop()

        points = fit.starts(classes, starts, seed, count)
    if stop():
        return points[0]
    frame = fit.frame(points)
    with Progress(total, "fitting", quiet=quiet) as progress:
        left = total

        def lowered(point: Point, rounds: int, *, mixed: bool) -> Point:
            nonlocal left
            for _ in range(rounds):
                reserve, left = steps, left - steps

                def step(at: Point) -> bool:
                    nonlocal reserve
                    if reserve:
                        reserve -= 1
                        progress.advance(distance=at.apart**0.5)
                    return stop() or at.apart <= _EXACT

                point = point if stop() else fit.lower(point, frame, steps, step, mixed=mixed)
                if reserve:
                    progress.advance(reserve)
            return point

        tried: list[Point] = []
        for start in points:
            tried.append(lowered(start, 1, mixed=mixed))
            if stop() or fit.psnr(tried[-1]) >= _DONE:
                break
        best = lowered(min(tried, key=lambda point: point.loss), _FURTHER, mixed=mixed)
        if mixed:
            clear = lowered(best._replace(y=_clear(best.y)), _FURTHER, mixed=False)
            best = clear if fit.psnr(clear) >= fit.psnr(best) - _SAME else best
        if left:
            progress.advance(left)
    return best


def _clear(y: Labels) -> Labels:
    """Class weights without slight ones; a class index where one weight is left."""
    if not y.is_floating_point():
        return y
    kept = y * (y >= min(_SLIGHT, y.max().item()))
    return kept.argmax(dim=1) if kept.count_nonzero() == 1 else kept / kept.sum()


def _inversion(fit: Fit, point: Point, photo: Tensor, distance: Distance | None) -> Inversion:
    image = fit.image(point)
    with torch.no_grad():
        lpips = None if distance is None else distance(image, photo.to(image)).item()
    y = point.y.float() if point.y.is_floating_point() else point.y
    length = point.v.square().mean().sqrt().item()
    return Inversion(fit.z(point.v).float().cpu(), y.cpu(), photo, image.float().cpu(), fit.psnr(point), length, lpips)
