"""Any function from latents to images as a generator."""

from __future__ import annotations

import contextlib
import enum
import functools
import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.generators.base import FrozenGenerator
from biggan_discovery.generators.layer_range import ALL, LayerRange, to_layer_range
from biggan_discovery.generators.priors import PRIORS, Prior


class FunctionGenerator(FrozenGenerator):
    """Any function from latents to images as a generator, so that every tool here works on a user's own network.

    Args:
        fn: fn(z, y), fn(z, y=y) or fn(z), returning images (N, C, H, W) of any number of channels and any size,
            displayed as [-1, 1]. y is passed if the second positional argument is required or is called "y", or an
            argument by keyword only is; of `nn.DataParallel` and compiled modules, those of the module inside count. A
            function of *args is called to find out; where it takes z alone as well, it gets y if there are classes.
            z is (N, z_dim); with `num_layers` > 1 it is always (N, num_layers, z_dim). An `nn.Module` is put in eval
            mode and frozen, in place. Weights that a plain function refers to are not touched; their modules are in
            eval mode during each call, so that running statistics stay as they are, and in the mode before after it.
        z_dim: size of a latent.
        resolution: height of the images. If this or `channels` is not given, `fn` is called once to find out.
        channels: channels of the images.
        num_classes: number of classes, if they have no names. Defaults to 1.
        class_names: names of the classes. Defaults to their indices.
        num_layers: layers that can get different latents.
        truncation: in (0, 1]; latents of the prior are multiplied by it.
        prior: distribution of z before truncation: "normal", N(0, I); "uniform", U(-1, 1); "truncated", a normal
            truncated at ±2, as BigGAN has it; "sphere", uniform on the sphere of radius √z_dim; or a function from
            float64 numbers (N, z_dim), uniform in (0, 1), to latents (N, z_dim).
        projections: (rows, z_dim), the weight of the first linear layer, which the methods sefa and ganspace decompose.
            For a linear layer it is `linear.weight`; for a transposed convolution of z, `conv.weight.flatten(1).T`.
        mixes_classes: whether y may also be class weights (N, num_classes) of z's dtype, so that soft classes work.
        name: what files and messages call it.
        device: where `fn` computes. Defaults to the device of its weights, or the CPU.

    Raises:
        UserError: sizes below 1, `num_classes` and `class_names` that disagree, an unknown prior, projections of
            another shape, or a function that takes other arguments or returns something other than images.

    Example:
        >>> network = nn.Sequential(nn.Linear(8, 3 * 16 * 16), nn.Tanh(), nn.Unflatten(1, (3, 16, 16)))
        >>> generator = FunctionGenerator(network, z_dim=8, prior="uniform", projections=network[0].weight)
        >>> directions = discover(generator, method="sefa")
    """

    def __init__(
        self,
        fn: Callable[..., Float[Tensor, "N C H W"]],
        *,
        z_dim: int,
        resolution: int | None = None,
        channels: int | None = None,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        num_layers: int = 1,
        truncation: float = 1.0,
        prior: str | Prior = "normal",
        projections: Float[Tensor, "rows z_dim"] | None = None,
        mixes_classes: bool = False,
        name: str = "function",
        device: str | torch.device | None = None,
    ) -> None:
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
        self._referred = () if self.network is not None else _modules_of(fn)
        self._form = _form_of(fn)
        self._mixes_classes = mixes_classes
        self._prior, self._prior_name = _checked_prior(prior), prior if isinstance(prior, str) else ""
        # A buffer, so that it follows .to(), .double() and the like.
        weight = None if projections is None else _checked_projections(projections, z_dim).to(self._anchor)
        self.register_buffer("_projections", weight, persistent=False)
        self._projections: Tensor | None
        if device is not None:
            self.to(device)
        if self._form is _Form.UNKNOWN:
            self._form = self._form_by_calling()
        if not (resolution and channels):
            self._probe(resolution, channels)

    def projections(self, layers: LayerRange | str = ALL) -> Float[Tensor, "rows z_dim"]:
        """The weight that was given; see `FrozenGenerator.projections`."""
        reached = to_layer_range(layers, self.num_layers)
        if self._projections is None:
            return super().projections(reached)
        if not reached.covers_all:
            raise UserError(f"the projections of {self.name!r} are for all layers, not for {reached}; give layers all")
        return self._projections

    def _from_uniform(self, uniform: Float64[Tensor, "N z_dim"]) -> Float[Tensor, "N z_dim"]:
        latents = self._prior(uniform)
        if not isinstance(latents, Tensor) or latents.shape != uniform.shape or not latents.is_floating_point():
            found = f"{latents.dtype} {tuple(latents.shape)}" if isinstance(latents, Tensor) else type(latents).__name__
            raise UserError(f"the prior returned {found}; it should return float latents {tuple(uniform.shape)}")
        return self.truncation * latents

    @property
    def prior(self) -> str:
        """Name of the prior; for a function, its name and a checksum of a few latents that it gives."""
        if self._prior_name:
            return self._prior_name
        spread = torch.linspace(0.01, 0.99, 4 * self.z_dim, dtype=torch.float64).view(4, self.z_dim)
        digest = hashlib.sha256(self._prior(spread).double().cpu().numpy().tobytes()).hexdigest()
        return f"{getattr(self._prior, '__qualname__', type(self._prior).__name__)} {digest[:16]}"

    @property
    def in_train_mode(self) -> bool:
        """Whether a plain function refers to a network in train mode with layers that behave differently in it."""
        layers = (layer for network in self._referred for layer in network.modules())
        return any(
            layer.training and (isinstance(layer, _DropoutNd) or hasattr(layer, "running_mean")) for layer in layers
        )

    @property
    def mixes_classes(self) -> bool:
        """See the argument."""
        return self._mixes_classes

    def _finish(self, *state: Tensor) -> Tensor:
        z, y = state
        images = self._call(z, y)
        _check_images(images, len(z))
        if images.shape[1:3] != (self.channels, self.resolution):
            right = f"{self.channels} channels and a height of {self.resolution}"
            raise UserError(f"{self.name} returned images of shape {tuple(images.shape)}; they should have {right}")
        return images

    def _call(self, z: Tensor, y: Tensor) -> Tensor:
        if self.num_layers == 1:
            z = z.reshape(len(z), self.z_dim)
        elif z.ndim == 2:
            z = z[:, None].expand(-1, self.num_layers, -1)
        fn = self.network if self._fn is None else self._fn
        assert fn is not None
        with _in_eval_mode(self._referred):
            match self._form:
                case _Form.Z:
                    return fn(z)
                case _Form.KEYWORD:
                    return fn(z, y=y)
                case _:
                    return fn(z, y)

    def _form_by_calling(self) -> _Form:
        """The form of a function whose signature does not say whether it takes y, found by calling it."""
        with_y = (_Form.BOTH, _Form.KEYWORD)
        preferred = (*with_y, _Form.Z) if self.num_classes > 1 else (_Form.Z, *with_y)
        for form in preferred:
            self._form = form
            with contextlib.suppress(TypeError):
                self._one_image()
                return form
        return preferred[0]  # Its own error is shown when it is called.

    def _probe(self, resolution: int | None, channels: int | None) -> None:
        images = self._one_image()
        _check_images(images, 1)
        self.channels = channels or images.shape[1]
        self.resolution = resolution or images.shape[2]

    @torch.no_grad()
    def _one_image(self) -> Tensor:
        z = torch.zeros(1, self.z_dim, device=self.device, dtype=self.dtype)
        return self._call(z, torch.zeros(1, device=self.device, dtype=torch.int64))


def _check_size(key: str, size: Any) -> None:
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise UserError(f"{key} is {size!r}; it should be an integer, at least 1")


def _check_images(images: Any, count: int) -> None:
    if not isinstance(images, Tensor):
        raise UserError(f"the function returned {type(images).__name__}; it should return images (N, C, H, W)")
    if not images.is_floating_point():
        raise UserError(f"the function returned {images.dtype}; it should return floating-point images in [-1, 1]")
    if images.ndim == 4 and images.shape[3] in (1, 3) and images.shape[1] == images.shape[2] > 3:
        raise UserError(f"the function returned shape {tuple(images.shape)}; return images.permute(0, 3, 1, 2)")
    if images.ndim != 4 or len(images) != count or 0 in images.shape[1:]:
        raise UserError(
            f"the function returned shape {tuple(images.shape)} for {count} latents; it should be ({count}, C, H, W)"
        )


def _checked_prior(prior: str | Prior) -> Prior:
    if callable(prior):
        return prior
    if prior not in PRIORS:
        known = f"{', '.join(PRIORS)}, or a function"
        raise UserError(f"prior is {prior!r}{near_matches(str(prior), PRIORS)}; it should be {known}")
    return PRIORS[prior]


def _checked_projections(weight: Float[Tensor, "rows z_dim"], z_dim: int) -> Float[Tensor, "rows z_dim"]:
    if not isinstance(weight, Tensor) or weight.ndim != 2 or weight.shape[1] != z_dim:
        shape = tuple(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
        raise UserError(f"projections has shape {shape}; it should be (rows, {z_dim})")
    return weight.detach()


def unwrapped(fn: Any) -> Any:
    """The module inside `nn.DataParallel`, `DistributedDataParallel` and `torch.compile`; anything else as it is."""
    if isinstance(fn, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return unwrapped(fn.module)
    # The class of compiled modules is not looked up, as that imports torch's compiler.
    compiled = getattr(fn, "_orig_mod", None)
    return unwrapped(compiled) if isinstance(compiled, nn.Module) else fn


def _signature(fn: Any) -> inspect.Signature:
    """Of a function, the `forward` of a module, or either with some arguments given."""
    if isinstance(fn, functools.partial):
        inner = unwrapped(fn.func)
        if isinstance(inner, nn.Module):
            return inspect.signature(functools.partial(inner.forward, *fn.args, **fn.keywords))
    return inspect.signature(fn.forward if isinstance(fn, nn.Module) else fn)


def _modules_of(fn: Any, depth: int = 3) -> tuple[nn.Module, ...]:
    """The modules that a function refers to: by name, as an object's attribute, or as an argument of a partial."""
    if isinstance(fn, nn.Module):
        return (fn,)
    if not depth or isinstance(fn, type | ModuleType | Tensor):
        return ()
    parts: list[Any] = []
    if isinstance(fn, functools.partial):
        parts = [fn.func, *fn.args, *fn.keywords.values()]
    elif inspect.ismethod(fn):
        parts = [fn.__self__, fn.__func__]
    elif inspect.isfunction(fn):
        with contextlib.suppress(ValueError):  # A variable that has no value yet.
            variables = inspect.getclosurevars(fn)
            parts = [*variables.nonlocals.values(), *variables.globals.values()]
    elif isinstance(fn, Mapping):
        parts = list(fn.values())
    elif isinstance(fn, list | tuple):
        parts = list(fn)
    elif hasattr(fn, "__dict__"):
        parts = list(vars(fn).values())
    found = {id(module): module for part in parts for module in _modules_of(part, depth - 1)}
    return tuple(found.values())


@contextlib.contextmanager
def _in_eval_mode(networks: tuple[nn.Module, ...]) -> Iterator[None]:
    training = [module for network in networks for module in network.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


class _Form(enum.Enum):
    """How a function takes latents and classes."""

    Z = enum.auto()
    BOTH = enum.auto()
    KEYWORD = enum.auto()
    UNKNOWN = enum.auto()


def _form_of(fn: Callable[..., Tensor]) -> _Form:
    if not callable(fn):
        raise UserError(f"fn is {type(fn).__name__}; it should be a function fn(z, y) or fn(z) to images")
    inner = unwrapped(fn)
    schema = getattr(getattr(inner, "forward", None), "schema", None)
    if schema is not None:  # A traced module, whose signature takes anything.
        return _Form.BOTH if len(schema.arguments) > 2 else _Form.Z  # Itself, z, and y.
    try:
        signature = _signature(inner)
    except ValueError:  # Some built-in functions have no signature.
        return _Form.Z
    kinds = [p.kind for p in signature.parameters.values()]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    arguments = [p for p in signature.parameters.values() if p.kind in positional]
    keyword = signature.parameters.get("y")
    if keyword is not None and keyword.kind is inspect.Parameter.KEYWORD_ONLY:
        form = _Form.KEYWORD
    elif len(arguments) > 1:
        wanted = arguments[1].name == "y" or arguments[1].default is inspect.Parameter.empty
        form = _Form.BOTH if wanted else _Form.Z
    else:
        form = _Form.UNKNOWN if inspect.Parameter.VAR_POSITIONAL in kinds else _Form.Z
    try:
        signature.bind(
            *((None, None) if form is _Form.BOTH else (None,)), **({"y": None} if form is _Form.KEYWORD else {})
        )
    except TypeError as error:
        raise UserError(f"fn{signature} cannot be called as fn(z, y), fn(z, y=y) or fn(z): {error}") from error
    return form
