"""What every resource type is, as data: its events, where its id is, how it is fetched, what its statuses mean.

``load()`` reads the files of this package and of an operator's folders into a :class:`Catalog`, which never
changes and may be shared by all threads.
"""
from obsvc.catalog.loader import Catalog, load

__all__ = ["Catalog", "load"]
