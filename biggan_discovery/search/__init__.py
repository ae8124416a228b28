"""How directions are found."""

from biggan_discovery.search.discover import discover

__all__ = ["discover"]
