"""Directions and the layers of a generator: sets for different layers, and which layers a direction moves most."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from biggan_discovery.directions.directions import Directions, check_orthonormal
from biggan_discovery.directions.metadata import PER_DIRECTION, THUMBNAIL
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.layer_range import LayerRange, parse_layers

_LEAST_SHOWN = 0.05  # of a direction's energy


def single_layers(generator: FrozenGenerator) -> list[LayerRange]:
    """Every layer of a generator as a range of its own.

    Example:
        >>> [str(each) for each in single_layers(load_generator("scenes-64"))][:3]
        ['0', '1', '2']
    """
    count = generator.num_layers
    return [LayerRange(layer, layer, count) for layer in range(count)]


def together(directions: Directions, generator: FrozenGenerator) -> bool:
    """Whether directions for different layers are one orthonormal set for all layers, which shows the same images.

    That is so if each is zero outside the part of z that only its own layers see, as in hierarchical networks.

    Raises:
        UserError: If the generator does not have the layers.
    """
    for layers, rows in directions.layer_groups.items():
        space = generator.search_space(parse_layers(layers, generator.num_layers))
        outside = directions.Q[rows].clone()
        outside[:, space] = 0
        if space == slice(0, generator.z_dim) or outside.any():
            return False
    try:
        check_orthonormal(directions.Q)
    except UserError:
        return False
    return True


def rows_of(directions: Directions, layers: LayerRange) -> list[int]:
    """Indices of the directions that are for exactly these layers.

    Raises:
        UserError: If there are none.
    """
    same = {own for own in directions.layer_groups if parse_layers(own, layers.num_layers) == layers}
    return rows_named(directions, *(same or {str(layers)}))


def rows_named(directions: Directions, *layers: str) -> list[int]:
    """Indices of the directions whose layers are written in one of these ways, without a generator to compare them.

    Raises:
        UserError: If there are none.
    """
    groups = directions.layer_groups
    found = [row for own in layers for row in groups.get(own, [])]
    if not found:
        several = ", ".join(groups)
        raise UserError(f"{directions.source} has no directions for the layers {layers[0]}, only for {several}")
    return sorted(found)


def layer_shares(generator: FrozenGenerator, Q: Float[Tensor, "ndirs z_dim"]) -> dict[str, list[float]]:
    """The share of each direction's energy by layer, for generators whose layers see different parts of z.

    The energy is the sum of squared entries of q; its share in a layer is that of the entries that the layer sees. How
    much the layer does to the image does not count.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows.

    Returns:
        By layer, one number in [0, 1] for each direction; without layers in which all directions are zero. Empty if
        a layer sees all of z, or all energy lies in one layer.

    Example:
        >>> layer_shares(load_generator("brock-128"), torch.eye(120)[:1] * 0.6 + torch.eye(120)[20:21] * 0.8)
        {'0': [0.36], '1': [0.64]}
    """
    if generator.space != "z":
        return {}
    energy = Q.double().square()
    total = energy.sum(dim=1)
    shares: dict[str, list[float]] = {}
    for layer in single_layers(generator):
        space = generator.search_space(layer)
        if space == slice(0, generator.z_dim):
            return {}
        within = energy[:, space].sum(dim=1)
        if within.any():
            shares[str(layer)] = [round(each, 6) for each in (within / total).tolist()]
    return shares if len(shares) > 1 else {}


def shares_text(shares: dict[str, list[float]], direction: int) -> str:
    """The layers with a twentieth or more of a direction's energy, the largest share first.

    Example:
        >>> shares_text({"0": [0.83], "1": [0.05], "2": [0.12], "3": [0.0]}, 0)
        'layer 0 83 %, layer 2 12 %, layer 1 5 %'
    """
    of_layers = sorted(((own[direction], layer) for layer, own in shares.items()), key=lambda pair: -pair[0])
    return ", ".join(
        f"layer {layer} {share:.0%}".replace("%", " %") for share, layer in of_layers if share >= _LEAST_SHOWN
    )


def subset(directions: Directions, rows: list[int]) -> Directions:
    """Some directions as a set of their own, with their names, notes, strengths and layers.

    Example:
        >>> subset(Directions.load("scenes-64"), [0, 3])
        Directions(2 × 16 of scenes-64, 2 named)
    """
    known = {key: value for key, value in directions.metadata.items() if key != THUMBNAIL}
    for key in PER_DIRECTION:
        if known.get(key) is not None:
            known[key] = [known[key][row] for row in rows]
    if "layer_shares" in known:
        known["layer_shares"] = {layer: [own[row] for row in rows] for layer, own in known["layer_shares"].items()}
    chosen = Directions(directions.A[rows], directions.Q[rows], known)
    chosen.source = directions.source
    return chosen
