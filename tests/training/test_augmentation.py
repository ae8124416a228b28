from __future__ import annotations

import pytest
import torch

from biggan_discovery.training.augmentation import NAMES, augment, colour, cutout, translation


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_translation_shifts_by_whole_pixels() -> None:
    images = torch.randn(40, 3, 16, 16, generator=generator())
    shifted = translation(images, generator())
    seen = set()
    for image, result in zip(images, shifted, strict=True):
        fits = []
        for down in range(-2, 3):
            for across in range(-2, 3):
                expected = torch.zeros_like(image)
                rows, columns = (range(max(0, -by), min(16, 16 - by)) for by in (down, across))
                for row in rows:
                    expected[:, row, columns.start : columns.stop] = image[
                        :, row + down, columns.start + across : columns.stop + across
                    ]
                if torch.equal(expected, result):
                    fits.append((down, across))
        assert len(fits) == 1
        seen.update(fits)
    assert len(seen) > 10


def test_cutout_is_a_square() -> None:
    cut = cutout(torch.ones(200, 3, 16, 16), generator())
    holes = (cut == 0).float()
    assert torch.equal(holes[:, 0], holes[:, 2])
    rows, columns = (holes[:, 0].amax(dim=axis).sum(dim=1) for axis in (2, 1))
    torch.testing.assert_close(holes[:, 0].sum(dim=(1, 2)), rows * columns)
    assert rows.max() == columns.max() == 8
    assert rows.min() >= 4


def test_colour_keeps_hue_and_mean() -> None:
    grey = torch.full((50, 3, 4, 4), 0.1)
    changed = colour(grey, generator())
    assert (changed - changed[:, :1, :1, :1]).abs().max() < 1e-6
    shifts = changed[:, 0, 0, 0] - 0.1
    assert shifts.abs().max() <= 0.5
    assert shifts.std() > 0.2


@pytest.mark.parametrize("name", NAMES)
def test_it_is_differentiable_and_depends_on_its_seed_alone(name: str) -> None:
    images = torch.randn(3, 3, 8, 8, dtype=torch.float64, generator=generator()).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: augment(x, [name], generator()), images)
    assert torch.equal(augment(images, [name], generator()), augment(images, [name], generator()))
    assert not torch.equal(augment(images, [name], generator()), images)
