"""A client of the service for Python, synchronous and asynchronous.

>>> with Client("http://127.0.0.1:8000") as client:
...     tickets = client.collection("ops-tickets")
...     ticket = tickets.create({"title": "Database degraded", "severity": 30})
...     tickets.patch(ticket, {"severity": 40})

It needs httpx and nothing of the service's own code.
"""

from persist.client.asynchronous import AsyncClient, AsyncCollection
from persist.client.blocking import Client, Collection
from persist.client.problems import Problem
from persist.client.records import (
    Change,
    CommandResult,
    DeletedRecord,
    ImportReport,
    InvokeReport,
    Outcome,
    Record,
    UndoneRecord,
    UndoReport,
)
from persist.client.transaction import Operation, Transaction

__all__ = [
    "AsyncClient",
    "AsyncCollection",
    "Change",
    "Client",
    "Collection",
    "CommandResult",
    "DeletedRecord",
    "ImportReport",
    "InvokeReport",
    "Operation",
    "Outcome",
    "Problem",
    "Record",
    "Transaction",
    "UndoReport",
    "UndoneRecord",
]
