"""What the rest of the code sees of a network."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Self, final

import torch
from jaxtyping import Float, Float32, Float64, Int64, Shaped
from torch import Tensor, nn

from biggan_discovery.errors import UserError
from biggan_discovery.generators import priors
from biggan_discovery.generators.layer_range import ALL, LayerRange, to_layer_range
from biggan_discovery.generators.search_settings import PAPER_SETTINGS

Labels = Int64[Tensor, " N"] | Float[Tensor, "N num_classes"] | Float[Tensor, "N num_layers num_classes"]
"""y: class indices, or class weights, which mix the embeddings of classes and may differ from layer to layer."""
Label = Int64[Tensor, ""] | Float[Tensor, " num_classes"] | Float[Tensor, "num_layers num_classes"]
"""y of one sample."""


class FrozenGenerator(nn.Module, abc.ABC):
    """A network from latents and classes to images that is never trained.

    It is always in eval mode and its weights never require grad, whatever method is called; gradients reach z.
    A new family is a subclass that calls `super().__init__` with its network and implements `_finish`, and also
    `_begin` if some layers of the network are more efficient with many images at once.

    Attributes:
        name: what `load_generator` was given, or "function".
        z_dim: size of a latent.
        latent_size: random numbers that make a latent of the prior; z_dim, unless c is part of it, see `ClassSpace`.
        num_layers: layers that can get different latents, at least 1.
        resolution: height of the images (and width, unless a user's own network gives other shapes).
        channels: channels of the images, 3 for all BigGANs.
        class_names: one name per class; the index is y.
        truncation: in (0, 1].
        sha256: of the weights; "" if unknown.
        true_directions: (n, z_dim) float32 on the CPU, the known true directions; None if unknown.
        factor_names: names of the true directions; () if unknown.
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
        true_directions: Float32[Tensor, "n z_dim"] | None = None,
        factor_names: Sequence[str] = (),
        settings: dict[str, int | float] | None = None,
    ) -> None:
        super().__init__()
        weights = (
            [] if network is None else [t for t in (*network.parameters(), *network.buffers()) if t.is_floating_point()]
        )
        # Follows .to(), .double() and the like, so that networks without weights have a device and dtype too.
        self.register_buffer("_anchor", weights[0].new_empty(0) if weights else torch.empty(0), persistent=False)
        self._anchor: Tensor
        self._has_weights = bool(weights)
        self.network = network
        self.name = name
        self.z_dim = self.latent_size = z_dim
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
    def prior(self) -> str:
        """Distribution of z of a user's own network, for files; "" for that of the family."""
        return ""

    @property
    def space(self) -> str:
        """What the coordinates of directions are: "z", or with `ClassSpace` "class" or "both"."""
        return "z"

    @property
    def num_classes(self) -> int:
        """Number of classes; y is in [0, num_classes)."""
        return len(self.class_names)

    @property
    def device(self) -> torch.device:
        """Device of z, y and the images."""
        return self._anchor.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of z and the images."""
        return self._anchor.dtype

    @final
    def forward(
        self, z: Float[Tensor, "N z_dim"] | Float[Tensor, "N num_layers z_dim"], y: Labels
    ) -> Float[Tensor, "N C H W"]:
        """Generate images.

        Args:
            z: (N, z_dim), or (N, num_layers, z_dim) for a latent per layer; of the generator's dtype and device.
            y: (N,) int64 class indices, whose range is checked on the CPU only, where it needs no synchronization. Or
                class weights (N, num_classes) of the generator's dtype: the embedding is their weighted sum, so that a
                one-hot row gives the image of the index. Or (N, num_layers, num_classes) for weights per layer.

        Returns:
            (N, C, H, W); for BigGANs (N, 3, resolution, resolution) in [-1, 1].

        Raises:
            UserError: wrong shape, dtype or device, or a class that the generator does not have.

        Example:
            >>> generator = load_generator("scenes-64")
            >>> z = generator.latents(torch.rand(4, generator.z_dim, dtype=torch.float64))
            >>> images = generator(z, torch.tensor([0, 1, 2, 3]))  # (4, 3, 64, 64)
        """
        return self.finish(*self.begin(z, y))

    @final
    def begin(
        self, z: Float[Tensor, "N z_dim"] | Float[Tensor, "N num_layers z_dim"], y: Labels
    ) -> tuple[Shaped[Tensor, "N ..."], ...]:
        """The first part of `forward`, which is more efficient with many images at once and needs little memory.

        Args:
            z: see `forward`.
            y: see `forward`.

        Returns:
            The arguments of `finish`: tensors with a row per image, so that they can be split.

        Raises:
            UserError: as `forward`.
        """
        self._check_z(z)
        self._check_y(y, len(z))
        return self._begin(z, y)

    @final
    def finish(self, *state: Shaped[Tensor, "N ..."]) -> Float[Tensor, "N C H W"]:
        """The images (N, C, H, W) of the tensors that `begin` returns, or of some of their rows."""
        return self._finish(*state)

    def _begin(self, z: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """See `begin`; z, of either shape, and y are valid."""
        return z, y

    @abc.abstractmethod
    def _finish(self, *state: Tensor) -> Tensor:
        """See `finish`."""

    def search_space(self, layers: LayerRange | str = ALL) -> slice:
        """The coordinates of z that directions for some layers may have: all, unless each layer sees a part of z.

        Args:
            layers: a range, or what `parse_layers` reads.

        Raises:
            UserError: no such layers.
        """
        to_layer_range(layers, self.num_layers)
        return slice(0, self.z_dim)

    def shift(
        self,
        z: Float[Tensor, "N z_dim"] | Float[Tensor, "N num_layers z_dim"],
        delta: Float[Tensor, "N z_dim"] | Float[Tensor, "N num_layers z_dim"],
        layers: LayerRange | str = ALL,
    ) -> Float[Tensor, "N z_dim"] | Float[Tensor, "N num_layers z_dim"]:
        """z + delta for some layers; the others see z unchanged. Differentiable.

        Args:
            z: (N, z_dim) or (N, num_layers, z_dim).
            delta: of either shape too.
            layers: a range, or what `parse_layers` reads.

        Returns:
            z for `forward`: (N, z_dim) if all layers still see the same z, else (N, num_layers, z_dim).

        Raises:
            UserError: no such layers.
        """
        reached = to_layer_range(layers, self.num_layers)
        if reached.covers_all and z.ndim == delta.ndim:
            return z + delta
        z, delta = self._per_layer(z), self._per_layer(delta)
        mask = torch.zeros(self.num_layers, 1, dtype=torch.bool, device=delta.device)
        mask[reached.first : reached.last + 1] = True
        return z + delta * mask

    def reference(self) -> FrozenGenerator:
        """The same generator in its reference implementation, for tests and benchmarks; weights are reloaded.

        Its images and gradients differ only by rounding, on the same device and in the same dtype. It has no
        `projections`. A generator without a faster implementation is its own reference.

        Raises:
            UserError: if the file with the weights is missing or has changed.
        """
        return self

    def half_precision(self, dtype: torch.dtype) -> FrozenGenerator:
        """A copy with convolutions and matrix products in a 16-bit dtype; z, conditions and images keep theirs.

        Args:
            dtype: torch.float16 or torch.bfloat16.

        Raises:
            UserError: a generator without a half-precision form, such as a user's own function.
        """
        raise UserError(
            f"the generator {self.name!r} computes in its own precision, not in {dtype}; use the precision float32"
        )

    def factor_predictor(self) -> Callable[[Tensor], Tensor] | None:
        """The network that reads the true factors off images; None if the generator has none.

        It maps images (N, 3, 64, 64) in [-1, 1] to factors (N, n) in (0, 1), in the order of `factor_names`.

        Raises:
            UserError: its file is damaged.
        """
        return None

    @property
    def recordable(self) -> bool:
        """Whether `begin`, `finish` and their gradients can be CUDA graphs: the same kernels for all latents."""
        return False

    def projections(self, layers: LayerRange | str = ALL) -> Float[Tensor, "rows coordinates"]:
        """The first weights that a shift of z meets, one row per output; closed-form methods decompose them.

        For all layers: the first linear layer, or the place where each part of z enters first. For some layers: the
        first linear layer (layer 0) and the weights by which the other layers' norms are conditioned on z,
        concatenated. Spectral norms are applied; batch-norm statistics, which depend on the truncation, are not.

        Args:
            layers: a range, or what `parse_layers` reads.

        Returns:
            (rows, coordinates of the search space), without grad.

        Raises:
            UserError: no such layers, or a generator whose first layer is not known.
        """
        to_layer_range(layers, self.num_layers)
        raise UserError(
            f"the first linear layer of {self.name!r} is not known; use the method jacobian, or give "
            "FunctionGenerator its weight as projections"
        )

    def first_layer(self) -> tuple[Float[Tensor, "C H W n"], Float[Tensor, "C H W"]]:
        """Weights and biases of the first linear layer, by channel and place of its output.

        Returns:
            (C, H, W, n) and (C, H, W), where n is the number of coordinates that the layer sees, the first ones of z;
            without grad.

        Raises:
            UserError: a generator whose first layer is not known to have places.
        """
        raise UserError(
            f"the first linear layer of {self.name!r} is not known as a layer of places; use --fit jacobian"
        )

    def _per_layer(self, z: Tensor) -> Tensor:
        return z if z.ndim == 3 else z[..., None, :].expand(*z.shape[:-1], self.num_layers, self.z_dim)

    def latents(self, uniform: Float[Tensor, "N latent_size"]) -> Float[Tensor, "N z_dim"]:
        """Latents from the generator's prior, as a function of uniform random numbers.

        Args:
            uniform: (N, latent_size) in (0, 1), float64 for accurate tails.

        Returns:
            z (N, z_dim) of the generator's dtype and device, which change it by rounding only.

        Raises:
            UserError: wrong shape, or values outside (0, 1).
        """
        if uniform.ndim != 2 or uniform.shape[1] != self.latent_size:
            raise UserError(f"uniform has shape {tuple(uniform.shape)}; it should be (N, {self.latent_size})")
        exact = uniform.cpu().double()  # Not every device has float64.
        if not ((exact > 0) & (exact < 1)).all():
            raise UserError("uniform should be inside (0, 1); 0 and 1 themselves have no latent")
        return self._from_uniform(exact).to(self.device, self.dtype)

    def _from_uniform(self, uniform: Float64[Tensor, "N latent_size"]) -> Float[Tensor, "N z_dim"]:
        """Latents (N, z_dim) from float64 numbers in (0, 1) on the CPU: a normal of standard deviation `truncation`."""
        return self.truncation * priors.normal(uniform)

    def defaults(self) -> dict[str, object]:
        """Search settings that suit this generator: steps, batch, lr, path_size, epsilon, probes."""
        return dict(self._settings)

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode, the only mode of a frozen generator."""
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
        # A function without weights may take any dtype, and autocast mixes dtypes on purpose.
        if self._has_weights and z.dtype != self.dtype and not torch.is_autocast_enabled(z.device.type):
            raise UserError(f"z is {z.dtype}, but the generator is {self.dtype}; convert one with .to()")
        if self._has_weights and z.device != self.device:
            raise UserError(f"z is on {z.device}, but the generator is on {self.device}; move one with .to()")

    @property
    def mixes_classes(self) -> bool:
        """Whether y may be class weights."""
        return True

    def _check_y(self, y: Tensor, count: int) -> None:
        if isinstance(y, Tensor) and y.is_floating_point():
            self._check_weights(y, count)
            return
        if not isinstance(y, Tensor) or y.shape != (count,):
            shape = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
            raise UserError(f"y has shape {shape}; it should be ({count},), one class index for each z")
        if y.dtype != torch.int64:
            raise UserError(f"y is {y.dtype}; it should be torch.int64 class indices, or class weights of {self.dtype}")
        if self._has_weights and y.device != self.device:
            raise UserError(f"y is on {y.device}, but the generator is on {self.device}; move one with .to()")
        if count and y.device.type == "cpu" and not 0 <= int(y.min()) <= int(y.max()) < self.num_classes:
            wrong = next(label for label in y.tolist() if not 0 <= label < self.num_classes)
            raise UserError(f"class {wrong} in y is out of range; the generator's classes are 0-{self.num_classes - 1}")

    def _check_weights(self, y: Tensor, count: int) -> None:
        if not self.mixes_classes:
            raise UserError(f"y is {y.dtype}, but {self.name!r} takes class indices only, torch.int64")
        shapes = ((count, self.num_classes), (count, self.num_layers, self.num_classes))
        if y.shape not in shapes:
            expected = " or ".join(map(str, ((count,), *shapes)))
            raise UserError(f"y has shape {tuple(y.shape)}; it should be {expected}, class indices or class weights")
        if self._has_weights and (y.dtype, y.device) != (self.dtype, self.device):
            found, right = f"{y.dtype} on {y.device}", f"{self.dtype} on {self.device}"
            raise UserError(f"the class weights y are {found}, but the generator is {right}; convert them with .to()")


def check_truncation(truncation: float) -> float:
    """The truncation as a float.

    Raises:
        UserError: not a number in (0, 1].
    """
    if isinstance(truncation, bool) or not isinstance(truncation, int | float) or not 0 < truncation <= 1:
        raise UserError(f"truncation is {truncation!r}; it should be a number in (0, 1]")
    return float(truncation)
