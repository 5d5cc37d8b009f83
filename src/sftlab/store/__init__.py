"""The only reader and writer of results."""

from sftlab.store.record import Failure, Kind, Record
from sftlab.store.store import Store, write_atomically

__all__ = ["Failure", "Kind", "Record", "Store", "write_atomically"]
