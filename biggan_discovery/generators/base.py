"""What the rest of the code sees of a network, and the wrapper for a user's own."""

from __future__ import annotations

import abc
import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Self, final

import torch
from torch import Tensor, nn

from biggan_discovery.errors import UserError
from biggan_discovery.generators import fast
from biggan_discovery.generators.layer_range import ALL, parse_layers
from biggan_discovery.generators.layout import PAPER_SETTINGS


class FrozenGenerator(nn.Module, abc.ABC):
    """A network from latents and classes to images that is never trained.

    It is always in eval mode and its weights never need grad, whatever is called on it; gradients reach z.
    A new family is a subclass that calls `super().__init__` with its network and implements `_finish`, and `_begin`
    where the network has layers that compute faster for many images at once.

    Attributes:
        name: what `load_generator` was given, or "function".
        z_dim: size of a latent.
        num_layers: layers that can get different latents, at least 1.
        resolution: height of the images (and width, except where a user's own network gives other shapes).
        channels: channels of the images, 3 for all BigGANs.
        class_names: one name per class; the index is y.
        truncation: in (0, 1].
        sha256: of the weights file; "" where unknown.
        true_directions: (n, z_dim) float32 on the CPU, the known true directions; None where unknown.
        factor_names: names of the true directions; () where unknown.
    """

    def __init__(
        self,
        network: nn.Module | None,
        *,
        name: str,
        z_dim: int,
        num_layers: int,
        resolution: int,
        channels: int,
        class_names: Sequence[str],
        truncation: float,
        sha256: str = "",
        true_directions: Tensor | None = None,
        factor_names: Sequence[str] = (),
        settings: dict[str, int | float] | None = None,
    ):
        super().__init__()
        weights = (
            [] if network is None else [t for t in (*network.parameters(), *network.buffers()) if t.is_floating_point()]
        )
        # Follows .to(), .double() and the like, so that it tells device and dtype of networks without weights too.
        self.register_buffer("_anchor", weights[0].new_empty(0) if weights else torch.empty(0), persistent=False)
        self._anchor: Tensor
        self._has_weights = bool(weights)
        self.network = network
        self.name = name
        self.z_dim = z_dim
        self.num_layers = num_layers
        self.resolution = resolution
        self.channels = channels
        self.class_names = tuple(class_names)
        self.truncation = check_truncation(truncation)
        self.sha256 = sha256
        self.true_directions = true_directions
        self.factor_names = tuple(factor_names)
        self._settings = {**PAPER_SETTINGS, **(settings or {})}
        self.requires_grad_()
        self.train()

    @property
    def num_classes(self) -> int:
        """Number of classes; y is in [0, num_classes)."""
        return len(self.class_names)

    @property
    def device(self) -> torch.device:
        """Where z and y have to be, and images will be."""
        return self._anchor.device

    @property
    def dtype(self) -> torch.dtype:
        """The type that z has to have, and images will have."""
        return self._anchor.dtype

    @final
    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Images of latents.

        Args:
            z: (N, z_dim), or (N, num_layers, z_dim) for a latent per layer; of the generator's dtype and device.
            y: (N,) int64 class indices. Their range is checked on the CPU only, where that costs no wait.

        Returns:
            (N, channels, resolution, resolution); of BigGANs in [-1, 1].

        Raises:
            UserError: wrong shape, dtype or device, or a class that the generator does not have.
        """
        return self.finish(*self.begin(z, y))

    @final
    def begin(self, z: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """The part of `forward` that computes faster for many images at once, and takes little memory.

        Args:
            z: as `forward` takes it.
            y: as `forward` takes it.

        Returns:
            What `finish` takes: tensors with a row for each image, so that they can be split.

        Raises:
            UserError: as `forward`.
        """
        self._check_z(z)
        self._check_y(y, len(z))
        return self._begin(z, y)

    @final
    def finish(self, *state: Tensor) -> Tensor:
        """The images (N, channels, resolution, resolution) of what `begin` gave, or of some of its rows."""
        return self._finish(*state)

    def _begin(self, z: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """See `begin`; z, of either shape, and y are checked."""
        return z, y

    @abc.abstractmethod
    def _finish(self, *state: Tensor) -> Tensor:
        """See `finish`."""

    def search_space(self, layers: str = ALL) -> slice:
        """The coordinates of z that directions for some layers may have: all, unless layers see parts of z.

        Args:
            layers: see `parse_layers`.

        Raises:
            UserError: no such layers.
        """
        parse_layers(layers, self.num_layers)
        return slice(0, self.z_dim)

    def shift(self, z: Tensor, delta: Tensor, layers: str = ALL) -> Tensor:
        """z + delta for some layers; the others see z as it is. Differentiable.

        Args:
            z: (N, z_dim) or (N, num_layers, z_dim).
            delta: of either shape too.
            layers: see `parse_layers`.

        Returns:
            What `forward` takes: (N, z_dim) where all layers still see the same z, else (N, num_layers, z_dim).

        Raises:
            UserError: no such layers.
        """
        reached = parse_layers(layers, self.num_layers)
        if reached.are_all and z.ndim == delta.ndim:
            return z + delta
        z, delta = self._per_layer(z), self._per_layer(delta)
        mask = torch.zeros(self.num_layers, 1, dtype=torch.bool, device=delta.device)
        mask[reached.first : reached.last + 1] = True
        return z + delta * mask

    def textbook(self) -> FrozenGenerator:
        """The same generator as its authors' layers compute it, for tests and benchmarks; weights are read again.

        Its images and their gradients equal this one's but for rounding, on the same device and in the same type; it
        has no `projections`. A user's own function is run as it is, so it is its own textbook.

        Raises:
            UserError: the file with the weights has gone or has changed.
        """
        return self

    def halved(self, dtype: torch.dtype) -> FrozenGenerator:
        """A copy that convolves and multiplies in a 16-bit type; z, conditions and images stay as they are.

        Args:
            dtype: torch.float16 or torch.bfloat16.

        Raises:
            UserError: a generator that is not in the fast form, such as a user's own function.
        """
        copied = copy.deepcopy(self)
        if copied.network is None or not fast.to_half_precision(copied.network, dtype):
            raise UserError(f"the generator {self.name!r} computes in its own precision; use the precision float32")
        return copied

    def _around(self, network: nn.Module, sha256: str) -> Self:
        """This generator with another network, whose weights come from a file of that sum, instead of its own."""
        if sha256 != self.sha256:
            raise UserError(f"the weights of {self.name} have changed since they were loaded")
        return copy.deepcopy(self, {id(self.network): network.to(self.device)}).requires_grad_().train()

    def projections(self, layers: str = ALL) -> Tensor:
        """The weights that a shift of z meets first, one row per output; closed forms take them apart.

        For all layers, the first linear layer, or wherever each part of z enters first; for some layers, the first
        linear layer (layer 0) and the weights by which the others' norms are conditioned on z, one below the other.
        They are the network's own, spectral norms applied; statistics of batch norms, which would make them depend on
        the truncation, are left out.

        Args:
            layers: see `parse_layers`.

        Returns:
            (rows, coordinates of the search space), without grad.

        Raises:
            UserError: no such layers, or a generator whose layers are not known.
        """
        parse_layers(layers, self.num_layers)
        raise UserError(f"the generator {self.name!r} has no first linear layer that is known; use the method jacobian")

    def _per_layer(self, z: Tensor) -> Tensor:
        return z if z.ndim == 3 else z[..., None, :].expand(*z.shape[:-1], self.num_layers, self.z_dim)

    def latents(self, uniform: Tensor) -> Tensor:
        """Latents from the generator's prior, by its inverse distribution function.

        Args:
            uniform: (N, z_dim) in (0, 1), float64 so that the tails are right.

        Returns:
            z (N, z_dim) of the generator's dtype and device, independent of both but for rounding.

        Raises:
            UserError: wrong shape, or values outside (0, 1).
        """
        if uniform.ndim != 2 or uniform.shape[1] != self.z_dim:
            raise UserError(f"uniform has shape {tuple(uniform.shape)}; it should be (N, {self.z_dim})")
        if uniform.device.type == "cpu" and not ((uniform > 0) & (uniform < 1)).all():
            raise UserError("uniform should lie inside (0, 1); 0 and 1 themselves have no latent")
        return self._quantile(uniform.double()).to(self.device, self.dtype)

    def _quantile(self, uniform: Tensor) -> Tensor:
        """Inverse distribution function of one coordinate of z: a normal of standard deviation `truncation`."""
        return self.truncation * torch.special.ndtri(uniform)

    def defaults(self) -> dict[str, object]:
        """Search settings that suit this generator: steps, batch, lr, path_size, epsilon, probes."""
        return dict(self._settings)

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode; a frozen generator has no other."""
        return super().train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Keep the weights without grad."""
        return super().requires_grad_(False)

    def _check_z(self, z: Tensor) -> None:
        shapes = ((self.z_dim,), (self.num_layers, self.z_dim))
        if not isinstance(z, Tensor) or z.shape[1:] not in shapes:
            shape = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
            raise UserError(
                f"z has shape {shape}; it should be (N, {self.z_dim}) or (N, {self.num_layers}, {self.z_dim})"
            )
        if not z.is_floating_point():
            raise UserError(f"z is {z.dtype}; it should be {self.dtype}")
        # A function without weights takes what it likes, and autocast mixes types on purpose.
        if self._has_weights and z.dtype != self.dtype and not torch.is_autocast_enabled(z.device.type):
            raise UserError(f"z is {z.dtype}, but the generator is {self.dtype}; convert one with .to()")
        if self._has_weights and z.device != self.device:
            raise UserError(f"z is on {z.device}, but the generator is on {self.device}; move one with .to()")

    def _check_y(self, y: Tensor, count: int) -> None:
        if not isinstance(y, Tensor) or y.shape != (count,):
            shape = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
            raise UserError(f"y has shape {shape}; it should be ({count},), one class index for each z")
        if y.dtype != torch.int64:
            raise UserError(f"y is {y.dtype}; it should be torch.int64 class indices")
        if self._has_weights and y.device != self.device:
            raise UserError(f"y is on {y.device}, but the generator is on {self.device}; move one with .to()")
        if count and y.device.type == "cpu" and not 0 <= int(y.min()) <= int(y.max()) < self.num_classes:
            wrong = next(label for label in y.tolist() if not 0 <= label < self.num_classes)
            raise UserError(f"class {wrong} in y is out of range; the generator's classes are 0-{self.num_classes - 1}")


class FunctionGenerator(FrozenGenerator):
    """Any function from latents to images as a generator, so that every tool here works on a user's own network.

    Args:
        fn: fn(z, y) or fn(z), giving images (N, C, H, W) of any number of channels and any size, displayed as
            [-1, 1]. y is passed where the function's second positional argument is required or called "y".
            z is (N, z_dim); with `num_layers` > 1 it is always (N, num_layers, z_dim). An `nn.Module` is put in eval
            mode and frozen, in place; weights that a plain function refers to are left alone.
        z_dim: size of a latent.
        resolution: height of the images; found by calling `fn` once where this or `channels` is not given.
        channels: channels of the images.
        num_classes: number of classes, where there are no names for them.
        class_names: names of the classes; their indices where not given.
        num_layers: layers that can get different latents.
        truncation: the prior of z is N(0, truncation²).
        name: what files and messages call it.
        device: where `fn` works; where not given, where its weights are, else the CPU.

    Raises:
        UserError: sizes below 1, `num_classes` and `class_names` that disagree, or a function that takes other
            arguments or gives something else than images.
    """

    def __init__(
        self,
        fn: Callable[..., Tensor],
        *,
        z_dim: int,
        resolution: int | None = None,
        channels: int | None = None,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        num_layers: int = 1,
        truncation: float = 1.0,
        name: str = "function",
        device: str | torch.device | None = None,
    ):
        for key, size in (("z_dim", z_dim), ("num_layers", num_layers), ("num_classes", num_classes)):
            _check_size(key, size)
        _check_size("resolution", resolution)
        _check_size("channels", channels)
        if class_names is None:
            class_names = [str(index) for index in range(num_classes or 1)]
        elif isinstance(class_names, str) or len(class_names) != (num_classes or len(class_names) or 1):
            raise UserError(f"class_names is {class_names!r}; it should be a list with a name for each class")
        super().__init__(
            fn if isinstance(fn, nn.Module) else None,
            name=name,
            z_dim=z_dim,
            num_layers=num_layers,
            resolution=resolution or 0,
            channels=channels or 0,
            class_names=class_names,
            truncation=truncation,
        )
        self._fn = fn if self.network is None else None
        self._takes_y = _takes_y(fn)
        if device is not None:
            self.to(device)
        if not (resolution and channels):
            self._probe(resolution, channels)

    def _finish(self, *state: Tensor) -> Tensor:
        z, y = state
        images = self._call(z, y)
        _check_images(images, len(z))
        if images.shape[1:3] != (self.channels, self.resolution):
            right = f"{self.channels} channels and a height of {self.resolution}"
            raise UserError(f"{self.name} gave images of shape {tuple(images.shape)}; they should have {right}")
        return images

    def _call(self, z: Tensor, y: Tensor) -> Tensor:
        if self.num_layers == 1:
            z = z.reshape(len(z), self.z_dim)
        elif z.ndim == 2:
            z = z[:, None].expand(-1, self.num_layers, -1)
        fn = self.network if self._fn is None else self._fn
        assert fn is not None
        return fn(z, y) if self._takes_y else fn(z)

    def _probe(self, resolution: int | None, channels: int | None) -> None:
        with torch.no_grad():
            z = torch.zeros(1, self.z_dim, device=self.device, dtype=self.dtype)
            images = self._call(z, torch.zeros(1, device=self.device, dtype=torch.int64))
        _check_images(images, 1)
        self.channels = channels or images.shape[1]
        self.resolution = resolution or images.shape[2]


def check_truncation(truncation: float) -> float:
    """The truncation as a float.

    Raises:
        UserError: not a number in (0, 1].
    """
    if isinstance(truncation, bool) or not isinstance(truncation, int | float) or not 0 < truncation <= 1:
        raise UserError(f"truncation is {truncation!r}; it should be a number in (0, 1]")
    return float(truncation)


def _check_size(key: str, size: Any) -> None:
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise UserError(f"{key} is {size!r}; it should be a whole number, at least 1")


def _check_images(images: Any, count: int) -> None:
    if not isinstance(images, Tensor):
        raise UserError(f"the function gave {type(images).__name__}; it should give a tensor of images (N, C, H, W)")
    if images.ndim != 4 or len(images) != count or 0 in images.shape[1:]:
        raise UserError(
            f"the function gave shape {tuple(images.shape)} for {count} latents; it should be ({count}, C, H, W)"
        )


def _takes_y(fn: Callable[..., Tensor]) -> bool:
    if not callable(fn):
        raise UserError(f"fn is {type(fn).__name__}; it should be a function fn(z, y) or fn(z) to images")
    try:
        signature = inspect.signature(fn.forward if isinstance(fn, nn.Module) else fn)
    except ValueError:  # Some built-in functions do not tell.
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    arguments = [p for p in signature.parameters.values() if p.kind in positional]
    if len(arguments) > 1:
        takes_y = arguments[1].name == "y" or arguments[1].default is inspect.Parameter.empty
    else:
        takes_y = any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in signature.parameters.values())
    try:
        signature.bind(*((None, None) if takes_y else (None,)))
    except TypeError as error:
        raise UserError(f"fn{signature} cannot be called as fn(z, y) or fn(z): {error}") from error
    return takes_y
