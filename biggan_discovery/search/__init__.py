"""How directions are found."""

from biggan_discovery.search.closed_form import ClosedForm
from biggan_discovery.search.discover import discover
from biggan_discovery.search.ganspace import ganspace
from biggan_discovery.search.jacobian import jacobian
from biggan_discovery.search.sefa import sefa

__all__ = ["ClosedForm", "discover", "ganspace", "jacobian", "sefa"]
