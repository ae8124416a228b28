"""Training images from folders, archives, arrays and renderers; hostile files are refused by name."""

from __future__ import annotations

import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from biggan_discovery.errors import UserError
from biggan_discovery.scenes import apart
from biggan_discovery.training import trees
from biggan_discovery.training.batches import Batches, to_images
from biggan_discovery.training.data import Images, read_images, render_images

COLOURS = {"cat": (200, 30, 40), "dog": (20, 180, 60)}


def picture(colour: tuple[int, int, int], width: int, height: int, form: str = "PNG") -> bytes:
    """The colour in the central square, and white outside of it."""
    image = Image.new("RGB", (width, height), (255, 255, 255))
    side = min(width, height)
    image.paste(colour, ((width - side) // 2, (height - side) // 2, (width + side) // 2, (height + side) // 2))
    content = io.BytesIO()
    image.save(content, form, **({"quality": 95} if form == "JPEG" else {}))
    return content.getvalue()


FILES = {
    "set/dog/b.jpg": picture(COLOURS["dog"], 40, 90, "JPEG"),
    "set/cat/a.png": picture(COLOURS["cat"], 70, 36),
    "set/cat/c.WEBP": picture(COLOURS["cat"], 32, 32, "WEBP"),
    "set/cat/._a.png": b"what another system leaves",
    "__MACOSX/cat/a.png": b"and another",
    "set/readme.txt": b"no picture",
}


def as_folder(path: Path) -> Path:
    for name, content in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def as_zip(path: Path) -> Path:
    with zipfile.ZipFile(path / "set.zip", "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    return path / "set.zip"


def as_tar(path: Path, mode: str = "w:xz") -> Path:
    with tarfile.open(path / "set.tar", mode) as archive:
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path / "set.tar"


@pytest.mark.parametrize(
    "make", [as_folder, as_zip, as_tar, lambda path: as_tar(path, "w"), lambda path: as_tar(path, "w:gz")]
)
def test_pictures_of_any_size_in_classes(make: Callable[[Path], Path], tmp_path: Path) -> None:
    found = read_images(make(tmp_path), 32, quiet=True)
    assert found.classes == ("cat", "dog")
    assert found.labels.tolist() == [0, 0, 1]
    assert (found.pixels.shape, found.pixels.dtype) == ((3, 32, 32, 3), torch.uint8)
    for pixels, label in zip(found.pixels, found.labels, strict=True):
        expected = torch.tensor(COLOURS[found.classes[label]])
        assert ((pixels[2:-2, 2:-2].float() - expected).abs() <= 6).all()
    same = read_images(as_zip(tmp_path), 32, quiet=True)
    assert same.sha256() == found.sha256()
    assert Images(found.pixels, found.labels.flip(0), found.classes).sha256() != found.sha256()


def test_the_resolution_is_the_first_images(tmp_path: Path) -> None:
    for index in range(2):
        (tmp_path / f"{index}.png").write_bytes(picture((1, 2, 3), 140, 150))
    found = read_images(tmp_path, quiet=True)
    assert (found.resolution, found.classes) == (128, ("image",))


def test_arrays(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    x, y = numbers.integers(0, 256, (4, 32, 32, 3), np.uint8), np.array([1, 0, 1, 0])
    for images in (x, x.transpose(0, 3, 1, 2)):
        np.savez_compressed(tmp_path / "a.npz", x=images, y=y[:, None])
        found = read_images(tmp_path / "a.npz", quiet=True)
        assert np.array_equal(found.pixels, x)
        assert np.array_equal(found.labels, y)
    np.savez(tmp_path / "grey.npz", x=x[..., 0])
    found = read_images(tmp_path / "grey.npz", quiet=True)
    assert np.array_equal(found.pixels, np.repeat(x[..., :1], 3, axis=3))
    assert found.classes == ("0",)


def test_renders_have_known_factors(tmp_path: Path) -> None:
    found = render_images("scenes-apart", 12, 32, 1, tmp_path, quiet=True)
    [kept] = tmp_path.glob("renders-*.npz")
    stored = np.load(kept)
    u, y = torch.from_numpy(stored["u"]), torch.from_numpy(stored["y"])
    exact = apart.render(torch.special.ndtr(u), y).unflatten(2, (32, 2)).unflatten(4, (32, 2)).mean(dim=(3, 5))
    shown = found.pixels.permute(0, 3, 1, 2) / 127.5 - 1
    torch.testing.assert_close(shown, exact, rtol=0, atol=0.5 / 127.5 + 1e-5)
    assert found.classes == apart.CLASSES
    before = kept.stat().st_mtime_ns
    again = render_images("scenes-apart", 12, 32, 1, tmp_path, quiet=True)
    assert (again.sha256(), kept.stat().st_mtime_ns) == (found.sha256(), before)


def test_batches_are_of_the_images() -> None:
    pixels = torch.arange(5, dtype=torch.uint8)[:, None, None, None].expand(5, 4, 4, 3).contiguous()
    batches = Batches(Images(pixels, torch.tensor([0, 0, 0, 1, 2]), ("a", "b", "c")), 500, 2, torch.device("cpu"))
    batches.draw(7)
    real, labels = batches.real.clone(), batches.y_real.clone()
    assert torch.equal(labels, (real[..., 0, 0, 0].long() - 2).clamp(min=0))
    assert (batches.y_fake == 0).float().mean().sub(0.6).abs() < 0.06  # as frequent as in the data
    batches.draw(8)
    assert not torch.equal(real, batches.real)
    batches.draw(7)
    assert torch.equal(real, batches.real)


def test_pixels_become_images() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(64, 16, 16, 3)
    generator = torch.Generator().manual_seed(0)
    plain = to_images(pixels, flip=False, generator=generator)
    assert torch.equal(((plain + 1) * 127.5).round().byte().permute(0, 2, 3, 1), pixels)
    mirrored = to_images(pixels, flip=True, generator=generator)
    turned = (mirrored - plain).abs().amax(dim=(1, 2, 3)) > 0.05
    assert 16 < turned.sum() < 48
    assert ((mirrored[turned].flip(3) - plain[turned]).abs() < 1 / 127.5).all()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    def refused(data: Path | str, message: str, resolution: int | None = 32) -> None:
        with pytest.raises(UserError, match=message):
            read_images(data, resolution, quiet=True)

    refused(tmp_path / "none", r"there is no .*none; give a folder of images")
    refused("scenes-65", r"did you mean 'scenes-64'")
    with pytest.raises(UserError, match=r"32 or 64 pixels, not 128"):
        render_images("scenes-64", 2, 128, 0, tmp_path)
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", r"has no images \(\.jpg")
    mixed = tmp_path / "mixed"
    as_folder(mixed)
    (mixed / "x.png").write_bytes(picture((0, 0, 0), 32, 32))
    refused(mixed, r"images beside folders of images \(x\.png\)")
    (mixed / "x.png").write_bytes(b"\x89PNG\r\n\x1a\nbut then nothing")
    refused(mixed, r"cannot read the image x\.png: it is damaged")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", r"is a pipe or a device")
    single = tmp_path / "single"
    single.mkdir()
    (single / "one.png").write_bytes(picture((0, 0, 0), 32, 32))
    refused(single, r"one image; training needs at least two")

    def arrays(message: str, **content: np.ndarray) -> None:
        np.savez(tmp_path / "bad.npz", **content)
        refused(tmp_path / "bad.npz", message)

    x = np.zeros((4, 32, 32, 3), np.uint8)
    arrays(r"no array x of images; it has z", z=x)
    arrays(r"x has shape \(4, 32\)", x=x[:, :, 0, 0])
    arrays(r"x is float64; it should be uint8", x=x / 1.0)
    arrays(r"y is int64 \(3,\)", x=x, y=np.arange(3))
    arrays(r"class 1 of 0 to 2 has no images", x=x, y=np.array([0, 2, 0, 2]))
    arrays(r"classes from -1 to 2", x=x, y=np.array([0, 2, -1, 1]))


def test_hostile_archives_are_refused_before_they_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "LARGEST_PICTURE", 2**16)

    def refused(path: Path, message: str) -> None:
        with pytest.raises(UserError, match=message):
            read_images(path, 32, quiet=True)

    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/bomb.png", bytes(2**24))
    refused(tmp_path / "bomb.zip", r"bomb\.png in .* has 16 MiB; at most 0 MiB are read")
    with tarfile.open(tmp_path / "bomb.tar.xz", "w:xz") as archive:
        member = tarfile.TarInfo("a/bomb.png")
        member.size = 2**24
        archive.addfile(member, io.BytesIO(bytes(2**24)))
    refused(tmp_path / "bomb.tar.xz", r"bomb\.png in .* has 16 MiB")
    # A long name that claims to be as long as the machine's memory.
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 2**24
    (tmp_path / "name.tar.xz").write_bytes(lzma.compress(header.tobuf(tarfile.GNU_FORMAT) + b"a" * 2**24))
    refused(tmp_path / "name.tar.xz", r"damaged archive \(a header claims too much\)")
    whole = as_tar(tmp_path).read_bytes()
    (tmp_path / "cut.tar.xz").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "cut.tar.xz", r"damaged archive")
    # A picture that claims more pixels than its bytes let guess.
    large = tmp_path / "large"
    large.mkdir()
    (large / "a.png").write_bytes(picture((0, 0, 0), 32, 32)[:16] + (2**20).to_bytes(4) * 2 + b"\x08\x02\x00\x00\x00")
    refused(large, r"cannot read the image a\.png|a\.png .*pixels")
