"""What a search minimises: pure functions of any generator-like callable, one file per objective."""

from biggan_discovery.objectives.hessian_penalty import hessian_penalty
from biggan_discovery.objectives.hessian_penalty_numpy import hessian_penalty_numpy
from biggan_discovery.objectives.orojar import orojar

__all__ = ["hessian_penalty", "hessian_penalty_numpy", "orojar"]
