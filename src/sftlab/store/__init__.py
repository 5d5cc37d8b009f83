"""The only reader and writer of results."""

from sftlab.store.ledger import Ledger
from sftlab.store.record import Failure, Kind, Record
from sftlab.store.store import Store, write_atomically

__all__ = ["Failure", "Kind", "Ledger", "Record", "Store", "write_atomically"]
