"""What this project does on a device, job by job; `test_devices` compares each with the CPU."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from sklearn import linear_model
from torch import Tensor, nn

import biggan_discovery as bd
from biggan_discovery.evaluation import held_out_values
from biggan_discovery.evaluation.metric import Need
from biggan_discovery.evaluation.metrics import factors
from biggan_discovery.evaluation.ranges import recommend_ranges
from biggan_discovery.evaluation.table import metric_named, metric_names
from biggan_discovery.generators.batching import Batch
from biggan_discovery.numerics.jacobi_angles import jointly_diagonalize
from biggan_discovery.objectives.table import OBJECTIVES
from biggan_discovery.rendering import curved_paths, edited, equal_path_sizes, leading_directions, move, traversal, walk
from biggan_discovery.runs.folder import State
from biggan_discovery.search import judging, precision
from biggan_discovery.search.settings import ADAM, JOINT_DIAGONALIZATION
from biggan_discovery.search.table import CLOSED_FORMS
from tests.brock_tiny import save_tiny_brock
from tests.evaluation.small import small_sizes
from tests.tiny import save_tiny_biggan

SCENES = Path(__file__).parents[1] / "checkpoints" / "scenes-64"
NETWORKS = ("deep", "brock", "function")
_Z_DIM = 16


class Network(nn.Module):
    """A user's own network, of classes and with layers."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first = nn.Linear(_Z_DIM, 48)
            self.classes = nn.Embedding(5, 48)
            self.last = nn.Linear(48, 3 * 8 * 8)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.last(torch.tanh(self.first(z) + self.classes(y)))).view(-1, 3, 8, 8)


class Bench:
    """A device with generators on it and a folder of files; the same for every device but for the device.

    Attributes:
        device: name of the device.
        folder: to write to, of this device alone.
        shared: weights and directions files.
    """

    def __init__(self, device: str, folder: Path, shared: Path):
        self.device, self.folder, self.shared = device, folder, shared
        folder.mkdir()

    @functools.cache  # noqa: B019 - a bench lives as long as the module
    def generator(self, name: str) -> bd.FrozenGenerator:
        if name == "function":
            network = Network()
            projections = network.first.weight
            of_network = {"z_dim": _Z_DIM, "num_classes": 5, "prior": "uniform", "projections": projections}
            return bd.FunctionGenerator(network, **of_network, device=self.device)
        return bd.load_generator(self.shared / name, device=self.device)

    def put(self, *tensors: Tensor) -> list[Tensor]:
        return [each.to(self.device) for each in tensors]


def small(patch: pytest.MonkeyPatch) -> None:
    """Judge by as few samples as there may be."""
    small_sizes(patch, {"dci": {"samples": 1600}, "leakage": {"samples": 2}})
    patch.setattr(judging, "held_out_values", functools.partial(held_out_values, samples=2, probes=2))
    patch.setattr(judging, "HELD_OUT_SAMPLES", 2)
    patch.setattr(judging, "_UNSEEN_SAMPLES", 2)


def make_shared(folder: Path) -> Path:
    """The networks, and two sets of directions for each; and one whose factors are said to be those of scenes-64."""
    layers = [[True, 16, 8], [True, 8, 4], [True, 4, 2], [True, 2, 1]]
    known = save_tiny_biggan(folder / "known", output_dim=64, channel_width=4, layers=layers)
    for file in ("directions.safetensors", "factor_predictor.safetensors"):
        shutil.copy(SCENES / file, known)
    save_tiny_biggan(folder / "deep")
    save_tiny_brock(folder / "brock")
    for seed in range(2):
        for name in NETWORKS:
            metadata = {
                "generator": "function" if name == "function" else str(folder / name),
                "settings": {"path_size": 3.0, "epsilon": 0.1},
                "names": ["hue", "", "camera height"],
            }
            directions = bd.Directions(_random(3, _Z_DIM, seed=seed), metadata=metadata)
            directions.save(folder / f"{name}-{seed}.safetensors")
    return folder


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _found(directions: bd.Directions) -> dict[str, Any]:
    return {"A": directions.A, "Q": directions.Q, **{key: directions.metadata.get(key) for key in _FIGURES}}


_FIGURES = ("held_out_penalty", "recovery", "strength", "off_diagonal", "eigenvalues", "singular_values")
_ADAM: dict[str, Any] = {"solver": ADAM, "steps": 2, "batch": 2, "directions": 4}
_JOINT: dict[str, Any] = {"solver": JOINT_DIAGONALIZATION, "samples": 2}
_SETTINGS: dict[str, dict[str, Any]] = {
    "ganspace": {"samples": 1500},
    "jacobian": {"samples": 2, "directions": 4},
    "region": {"region": "upper", "samples": 2, "directions": 2},
    "avoid": {"region": "upper", "samples": 2, "avoid": "{network}-0.safetensors"},
    "score": {"score": "tests.device_jobs:brightness", "samples": 2},
    "target": {"target": "brighter", "samples": 2},
}


def brightness(images: Tensor) -> Tensor:
    """A user's score."""
    return images.mean(dim=(1, 2, 3))


_OF_OTHER_NETWORKS = ("hessian by sketches", "hessian, one image at once", "jacobian")
"""They take long with the largest network; "closed forms", "precision auto" and "resumed" try parts of them with it."""


def _searches() -> dict[str, dict[str, Any]]:
    """Every objective by every solver, and every closed form."""
    searches: dict[str, dict[str, Any]] = {}
    for name in OBJECTIVES:
        searches[f"{name} by adam"] = {"method": name, **_ADAM}
        searches[f"{name} by joint diagonalization"] = {"method": name, **_JOINT}
    searches["hessian by sketches"] = {"method": "hessian", **_JOINT, "sketches": 2}
    searches["hessian, one image at once"] = {"method": "hessian", **_ADAM, "micro_batch": 1}
    for name in CLOSED_FORMS:
        searches[name] = {"method": name, **_SETTINGS.get(name, {})}
    return searches


def _discover(bench: Bench, network: str, **settings: Any) -> dict[str, Any]:
    options = {"judge": False, "quiet": True, "classes": [0, 2], **settings}
    if settings.get("solver") == JOINT_DIAGONALIZATION and "sketches" not in settings:
        options.setdefault("init", bench.shared / f"{network}-0.safetensors")  # Three dimensions take little time.
    if "avoid" in settings:
        options["avoid"] = str(bench.shared / settings["avoid"].format(network=network))
    return _found(bd.discover(bench.generator(network), **options))


def _from_file(bench: Bench, **settings: Any) -> dict[str, Any]:
    return _discover(bench, "deep", init=bench.shared / "deep-0.safetensors", **settings)


def _chosen_precision(bench: Bench, **settings: Any) -> list[Any]:
    """The choice of a precision, with 16 bits as a rival on every device, and the search that follows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(precision._FASTEST_FIRST, torch.device(bench.device).type, ("float16",))
        patch.setattr(precision, "LEAST_COSINE", 0.5)
        patch.setattr(precision, "MOST_MATRIX_ERROR", 0.9)
        options = {"judge": False, "quiet": True, **settings}
        metadata = bd.discover(bench.generator("deep"), **options).metadata
    return [metadata["settings"]["precision"], metadata.get("gradient_cosine"), metadata.get("matrix_error")]


class _StoppedError(Exception):
    pass


def _resumed(bench: Bench, name: str, **settings: Any) -> dict[str, Any]:
    """A run that ends after its first saved state, on the CPU, and goes on on the device."""
    save = State.save

    def last(state: State, folder: Path) -> None:
        save(state, folder)
        raise _StoppedError

    options = {"out": bench.folder / name, "save_every": 1, "judge": False, "quiet": True, **settings}
    on_cpu = bd.load_generator(bench.shared / "deep", device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(State, "save", last)
        with pytest.raises(_StoppedError):
            bd.discover(on_cpu, **options)
    return _found(bd.discover(bench.generator("deep"), **options))


def _pictures(*files: Path) -> list[np.ndarray]:
    frames = []
    for file in files:
        with Image.open(file) as image:
            frames += [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
    return frames


def _drawn(bench: Bench, title: str, network: str = "deep", known: bool = True, **options: Any) -> list[np.ndarray]:
    suffix = options.pop("suffix", ".png")
    directions = bench.shared / f"{network}-0.safetensors" if known else None
    out = bench.folder / f"{title}{suffix}"
    options = {"samples": 2, "frames": 4, "path_size": 2.0, "quiet": True, **options}
    made = bd.draw(bench.generator(network), directions, out, **options)
    return _pictures(*(made if isinstance(made, list) else [made]))


_DRAWN: dict[str, dict[str, Any]] = {
    "strip": {"network": "brock"},
    "film": {"suffix": ".gif"},
    "each direction its file": {"suffix": "", "per_direction": True, "format": "png"},
    "transfer": {"transfer": True, "only": [1]},
    "soft classes": {"classes": [((0, 0.25), (4, 0.75)), 2]},
    "soft classes, brock": {"classes": [((0, 0.25), (4, 0.75)), 2], "network": "brock", "transfer": True, "only": [1]},
    "curved": {"network": "function", "curved": True, "path_size": 0.5, "frames": 3, "only": [0]},
    "curved without directions": {"curved": True, "known": False, "path_size": 0.25, "only": [0], "samples": 1},
    "path size auto": {"path_size": "auto", "only": [0, 1], "samples": 1},
    "layers": {"layers": "fine", "centred": True},
    "latents": {"latents": _random(2, _Z_DIM, seed=4), "samples": None, "network": "function"},
    "maps": {"maps": True, "only": [0], "network": "function"},
}


def _drawn_own_latents(bench: Bench) -> list[np.ndarray]:
    return _drawn(bench, "own latents", latents=bench.put(_random(2, _Z_DIM, seed=4))[0], samples=None)


def _edit(bench: Bench, title: str, edits: Any, suffix: str = ".png", **options: Any) -> list[Any]:
    kept = bench.folder / f"{title}.npy"
    directions = bench.shared / "deep-0.safetensors"
    out = bench.folder / f"{title}{suffix}"
    made = bd.edit(bench.generator("deep"), directions, edits, out, save_latents=kept, frames=4, quiet=True, **options)
    return [*_pictures(made), np.load(kept)]


def _walked(bench: Bench, title: str, **options: Any) -> Tensor:
    """Latents of the frames of a walk; the film is made of them as all are."""
    kept = bench.folder / f"{title}.npz"
    options = {"steps": 2, "moves": {0: [0.0, 1.0]}, "classes": [0, ((1, 0.5), (2, 0.5))], "quiet": True, **options}
    directions, out = bench.shared / "deep-0.safetensors", bench.folder / f"{title}.webp"
    walk(bench.generator("deep"), out, directions=directions, seeds=[0, 1], save_latents=kept, **options)
    with np.load(kept) as arrays:
        return torch.from_numpy(np.concatenate((arrays["z"], arrays["y"]), axis=1))


def _inverted(bench: Bench) -> list[Any]:
    """A fit of few steps, which rounding does not lead elsewhere."""
    target = torch.linspace(-1, 1, 3 * 32 * 32).view(3, 32, 32)
    found = bd.invert(bench.generator("deep"), target, starts=1, steps=1, quiet=True)
    return [found.z.round(decimals=3), found.y, round(found.psnr, 2)]


def _contact_sheet(bench: Bench) -> list[np.ndarray]:
    return _pictures(bd.contact_sheet(bench.generator("deep"), bench.folder / "samples.png", samples=3, quiet=True))


def _evaluated(bench: Bench, network: str, metrics: Sequence[str] | None = None, **options: Any) -> Any:
    """All figures, and the pictures of the report."""
    directions = bench.shared / f"{network}-0.safetensors"
    report = bd.evaluate(bench.generator(network), directions, metrics=metrics, quiet=True, **options)
    folder = bench.folder / f"report-{network}"
    report.save(folder)
    return [json.loads(report.to_json())["sets"], *_pictures(*sorted((folder / "figures").iterdir()))]


def _evaluated_by_known_factors(bench: Bench) -> Any:
    """The metrics of generators whose true directions are known; their report has no other pictures."""
    metrics = [
        name for name in metric_names() if {Need.TRUE_DIRECTIONS, Need.PREDICTOR} & set(metric_named(name).needs)
    ]
    directions = bd.Directions(_random(3, _Z_DIM))
    with pytest.MonkeyPatch.context() as patch:  # Fits of figures, which are on the CPU.
        penalties: Any = [0.1, 0.01]
        patch.setattr(linear_model, "LassoCV", functools.partial(linear_model.LassoCV, alphas=penalties))
        report = bd.evaluate(bench.generator("known"), directions, metrics=metrics, quiet=True)
    return json.loads(report.to_json())["sets"]


def _known_factors(bench: Bench) -> list[Tensor]:
    """What the metrics of known factors measure, along directions that are on the device."""
    generator = bench.generator("known")
    predictor = generator.factor_predictor()
    assert predictor is not None
    Q, z = bench.put(_random(3, generator.z_dim), _random(4, generator.z_dim, seed=1))
    return [
        factors.factor_values(z, factors.true_directions(generator)),
        factors.response_of_images(generator, Q, lambda images: brightness(images)[:, None], samples=2).changes,
        factors.response_of_latents(generator, Q, samples=2).changes,
        factors.response_of_images(generator, Q, predictor, samples=2).changes,
        *factors.codes_and_factors(generator, Q, samples=2),
        *factors.codes_and_predictions(generator, Q, predictor, samples=2),
    ]


def _compared(bench: Bench) -> Any:
    files = [bench.shared / f"function-{seed}.safetensors" for seed in range(2)]
    comparison = bd.compare(bench.generator("function"), *files, quiet=True)
    comparison.save(bench.folder / "comparison")
    figures = sorted((bench.folder / "comparison" / "figures").iterdir())
    return [json.loads(comparison.to_json())["comparisons"], *_pictures(*figures)]


def _penalties(bench: Bench) -> list[Any]:
    """The portable functions, with probes from either side, and their gradients."""
    generator = bench.generator("function")
    results: list[Any] = []
    for penalty in (bd.hessian_penalty, bd.orojar, bd.spectral_penalty):
        for probes in (None, _random(3, 2, _Z_DIM).sign(), *bench.put(_random(3, 2, _Z_DIM).sign())):
            z, y = bench.put(_random(2, _Z_DIM), torch.tensor([0, 3]))
            drawn = torch.Generator().manual_seed(0)
            value = penalty(lambda z, y: generator(z, y), z.requires_grad_(), probes=probes, generator=drawn, y=y)
            results += [value, torch.autograd.grad(value, z)[0]]

    def on_arrays(z: np.ndarray) -> np.ndarray:
        return generator(*bench.put(torch.from_numpy(z).float(), torch.tensor([0, 3]))).cpu().numpy()

    return [*results, bd.hessian_penalty_numpy(on_arrays, _random(2, _Z_DIM).numpy(), rng=np.random.default_rng(0))]


def _recommended(bench: Bench) -> Any:
    directions = bd.Directions.load(bench.shared / "function-0.safetensors")
    recommend_ranges(directions, bench.generator("function"))
    return directions.recommended_ranges


def _moved(bench: Bench) -> list[Any]:
    """Directions made of, and applied to, what is on the device."""
    (A,) = bench.put(_random(3, _Z_DIM))
    directions = bd.Directions(A)
    directions.save(bench.folder / "moved.safetensors")
    loaded = bd.Directions.load(bench.folder / "moved.safetensors")
    z, amounts = bench.put(_random(2, _Z_DIM, seed=1), torch.tensor([1.0, -2.0]))
    kept = [directions.A - loaded.A, directions.Q - loaded.Q]  # Of directions, which are on the CPU.
    return [*kept, loaded.A, loaded.Q, *(loaded.apply(z, 1, amount) for amount in (2.0, amounts, amounts.cpu()))]


def _orthonormalized(bench: Bench) -> list[Tensor]:
    results = []
    for method in ("qr", "gram-schmidt", "none"):
        A = bench.put(_random(3, _Z_DIM))[0].requires_grad_()
        Q = bd.orthonormalize(A, method)
        results += [Q, *torch.autograd.grad((Q * Q * A.detach()).cumsum(1).sum(), A)]
    return results


def _closed_forms(bench: Bench) -> list[Any]:
    weight, z = bench.put(_random(6, _Z_DIM), _random(40, _Z_DIM, seed=1))
    y = torch.zeros(2, dtype=torch.int64).to(bench.device)
    found = (
        bd.sefa(weight),
        bd.ganspace(lambda z: z @ weight.T, z.split(20), 4),
        bd.jacobian(lambda z: bench.generator("deep")(z, y), z[:2], 1),
    )
    return [[each.A, each.values] for each in found]


def _rendered(bench: Bench) -> list[Any]:
    """The parts of drawing, with latents from the CPU and from the device."""
    generator, smooth, results = bench.generator("deep"), bench.generator("function"), []
    directions = bd.Directions.load(bench.shared / "deep-0.safetensors")
    for z, y in ((_random(2, _Z_DIM), torch.tensor([0, 3])), bench.put(_random(2, _Z_DIM), torch.tensor([0, 3]))):
        edits = [bd.Edit(0, 1.0), bd.Edit("camera", -1.0, "fine")]
        results += [move(generator, directions, z, 1, 2.0), edited(generator, directions, z, edits)]
        results += traversal(generator, directions, z, y, 0, [-1.0, 1.0])
        lines = leading_directions(smooth, z, y, 2)
        lines = lines.cpu() if z.device == generator.device else lines
        results.append(curved_paths(smooth, z, y, lines, 0.5, quiet=True).points)
    for Q in (directions.Q, *bench.put(directions.Q)):
        results.append(equal_path_sizes(smooth, Q, samples=2))
    return results


def _networks(bench: Bench) -> list[Any]:
    """What a generator does besides, in either implementation."""
    results = []
    for name in NETWORKS:
        generator = bench.generator(name)
        z, y, uniform = bench.put(_random(3, _Z_DIM), torch.tensor([0, 3, 1]), _random(3, _Z_DIM).sigmoid())
        results += [generator(z, y), generator.reference()(z, y), generator.projections()]
        results += [generator.latents(uniform.cpu()), generator.latents(uniform)]
        for delta in bench.put(_random(3, _Z_DIM, seed=2), _random(3, generator.num_layers, _Z_DIM, seed=3)):
            results.append(generator(generator.shift(z, delta), y))
            if name != "function":
                results.append(generator(generator.shift(z, delta, "fine"), y))
        results += Batch(2).map(generator, z, y)
    return results


def _function_of_the_device(bench: Bench) -> Tensor:
    """A network that is on the device already, with projections from the CPU."""
    network = Network().to(bench.device)
    rows = bd.FunctionGenerator(network, z_dim=_Z_DIM, num_classes=5, projections=_random(4, _Z_DIM)).projections()
    assert rows is not None
    return rows @ bench.put(_random(_Z_DIM))[0]


def _diagonalized(bench: Bench) -> Tensor:
    matrices = _random(6, 5, 5)
    found = jointly_diagonalize(matrices + matrices.mT, device=bench.device)
    return found.Q.abs().sort(dim=0).values


def _jobs() -> dict[str, Callable[[Bench], Any]]:
    jobs: dict[str, Callable[[Bench], Any]] = {}
    for network in NETWORKS:
        for title, settings in _searches().items():
            if network == "deep" and title in _OF_OTHER_NETWORKS:
                continue
            jobs[f"{network}: {title}"] = functools.partial(_discover, network=network, **settings)
    by_layers = ("hessian by adam", "hessian by sketches", "sefa", "ganspace", "jacobian")
    for network, layers, titles in (("deep", "coarse", by_layers[:1]), ("brock", "fine", by_layers)):
        for title in titles:
            settings = {**_searches()[title], "layers": layers}
            jobs[f"{network}, {layers}: {title}"] = functools.partial(_discover, network=network, **settings)
    adam = {**_ADAM, "directions": 3}
    jobs["a start from a file"] = functools.partial(_from_file, **adam)
    for title, settings in (("adam", adam), ("joint diagonalization", {**_JOINT, "sketches": 2})):
        jobs[f"precision auto, {title}"] = functools.partial(_chosen_precision, **settings)
        jobs[f"resumed, {title}"] = functools.partial(_resumed, name=title, **settings)
    warm = {**_ADAM, "init": JOINT_DIAGONALIZATION, "judge": True}
    jobs["a warm start, judged"] = functools.partial(_discover, network="function", **warm)
    jobs["known directions, judged"] = functools.partial(_discover, network="known", **_ADAM, judge=True)
    for title, options in _DRAWN.items():
        jobs[f"draw {title}"] = functools.partial(_drawn, title=title, **options)
    jobs["draw latents of the device"] = _drawn_own_latents
    jobs["edit"] = functools.partial(_edit, title="still", edits={0: 2.0, "camera": -1.0})
    jobs["edit by degrees"] = functools.partial(_edit, title="degrees", edits={"hue": "-0.5°"})
    edits = [bd.Edit(0, 2.0, "fine"), bd.Edit(1, 1.0)]
    jobs["edit as a film"] = functools.partial(_edit, title="film", edits=edits, suffix=".gif", samples=2)
    jobs["walk"] = functools.partial(_walked, title="straight", hold=[1])
    jobs["walk around"] = functools.partial(_walked, title="around", path="great-circle")
    jobs["walk on a small circle"] = functools.partial(_walked, title="small", path="small-circle", reference=1)
    for network in ("deep", "brock"):
        settings = {"method": "jacobian", "samples": 2, "directions": 2, "space": "class"}
        jobs[f"class space, {network}"] = functools.partial(_discover, network=network, **settings)
    for fit in ("jacobian", "first-layer"):
        moves = {"method": "target", "target": "zoom,shift-x", "fit": fit, "samples": 2}
        jobs[f"moves by {fit}"] = functools.partial(_discover, network="brock", **moves)
    jobs["recommended ranges"] = _recommended
    jobs["invert"] = _inverted
    jobs["samples"] = _contact_sheet
    jobs["evaluate"] = functools.partial(_evaluated, network="function", metrics=metric_names())
    jobs["evaluate chunks"] = functools.partial(_evaluated, network="brock", metrics=["hessian", "diagonalness"])
    jobs["evaluate baselines"] = functools.partial(_evaluated, network="function", metrics=["hessian"], baselines=True)
    jobs["evaluate known factors"] = _evaluated_by_known_factors
    jobs["compare"] = _compared
    return jobs | {
        "penalties": _penalties,
        "known factors": _known_factors,
        "directions": _moved,
        "orthonormalize": _orthonormalized,
        "closed forms": _closed_forms,
        "parts of drawing": _rendered,
        "generators": _networks,
        "a function of the device": _function_of_the_device,
        "jointly diagonalize": _diagonalized,
    }


JOBS = _jobs()
