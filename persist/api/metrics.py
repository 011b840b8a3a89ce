"""Metrics for Prometheus.

Each process counts its own requests and commits. If a service has several processes,
``PROMETHEUS_MULTIPROC_DIR`` names the folder in which prometheus_client keeps the
counts of all of them, and any process answers with their sums. Metrics of the work in
progress have the process id as the label ``worker``.
"""

import asyncio
import collections
import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from fastapi.responses import PlainTextResponse
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from persist.api.fastapi_registration import AuthorizedRequest
from persist.api.in_flight import InFlightLimiter
from persist.domain.errors import Unavailable
from persist.storage.database import Database
from persist.storage.operation.statistics import Statistics

REFRESH_SECONDS = 1.0
"""Seconds between two moments at which a process sets its gauges for the others."""

DATABASE_SECONDS = 2.0
"""Seconds that a scrape waits for the database."""

OBSERVED_REQUESTS = 512
"""Requests of one route that are observed at once."""

LATENCY_SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
COMMIT_WRITES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ROUTE_LABELS = ("method", "route", "status")
METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))
USED = {
    "connections": "Open connections.",
    "requests_in_progress": "Requests in progress.",
    "requests_following": "Requests that wait for changes.",
    "bodies_bytes": "Memory that large bodies take.",
    "spooled_bytes": "Bytes of bodies in the temporary folder.",
    "responses_bytes": "Memory that large responses under way take.",
    "writes_waiting": "Writes that run or wait for the next commit.",
    "finds_waiting": "Reads by key that wait for the database.",
    "reads_in_threads": "Other reads that run or wait in threads.",
    "streams": "Exports that run.",
    "jobs": "Snapshots, restores and imports that have begun.",
}
"""How much of each limit a process uses."""

GAUGES = USED | {
    "resident_memory_bytes": "Resident memory.",
    "wal_bytes": "Size of the write-ahead log at the last checkpoint; 0 on PostgreSQL.",
    "failed_checkpoints": "Checkpoints of the write-ahead log that failed.",
}
MULTIPROCESS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable by which prometheus_client shares counts between the
processes of a service; ``persist serve`` sets it."""

disable_created_metrics()  # type: ignore[no-untyped-call]


RouteKey = tuple[str, str, int]
"""Method, route and status."""


class Counted(Protocol):
    """The parts of a request that are counted. ``seconds`` is the time until its
    response began."""

    method: str
    route: str
    status: int
    seconds: float


class BulkHistogram(Histogram):
    """A histogram that observes many amounts in a tenth of the time.

    It depends on private parts of prometheus_client's ``Histogram``.
    """

    def observe_all(self, amounts: Sequence[float]) -> None:
        """Observe each of the amounts."""
        bounds = self._upper_bounds
        counts = collections.Counter(
            [bisect_left(bounds, amount) for amount in amounts]
        )
        for position, count in counts.items():
            self._buckets[position].inc(count)
        self._sum.inc(sum(amounts))


class _RouteMetrics(NamedTuple):
    requests: Counter
    seconds: BulkHistogram


class Metrics:
    """Everything that ``/metrics`` shows."""

    def __init__(self, limiter: InFlightLimiter, database: Database) -> None:
        # The class was chosen when prometheus_client was imported, when the folder of
        # several processes may not have been known.
        values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]
        self._database = database
        self._reading: asyncio.Task[Statistics] | None = None
        self._statistics: Statistics | None = None
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "persist_requests", "Requests answered.", ROUTE_LABELS, registry=registry
        )
        self._seconds = BulkHistogram(
            "persist_request_seconds",
            "Seconds until a response began.",
            ROUTE_LABELS,
            registry=registry,
            buckets=LATENCY_SECONDS,
        )
        self._routes: dict[RouteKey, _RouteMetrics] = {}
        self._observed: defaultdict[RouteKey, list[float]] = defaultdict(list)
        commits = Histogram(
            "persist_commit_writes",
            "Writes in one commit.",
            registry=registry,
            buckets=COMMIT_WRITES,
        )
        database.observe_commits(commits.observe)
        worker = str(os.getpid())
        self._used = {
            "connections": limiter.connections,
            "requests_in_progress": limiter.requests,
            "requests_following": limiter.waiting,
            "bodies_bytes": limiter.body_bytes,
            "spooled_bytes": limiter.spooled_bytes,
            "responses_bytes": limiter.response_bytes,
            "writes_waiting": database.used.writes,
            "finds_waiting": database.used.finds,
            "reads_in_threads": database.used.reads,
            "streams": database.used.streams,
            "jobs": database.used.jobs,
        }
        self._limits = Gauge(
            "persist_limit",
            "The limit of one process for the metric of that name.",
            ("worker", "name"),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._worker = worker
        self._gauges = {
            name: Gauge(
                f"persist_{name}",
                meaning,
                ("worker",),
                registry=registry,
                multiprocess_mode="livesum",
            ).labels(worker)
            for name, meaning in GAUGES.items()
        }

    def count(self, request: Counted) -> None:
        """Count a request whose response is complete."""
        observed = self._observed[request.method, request.route, request.status]
        observed.append(request.seconds)
        # In batches, because prometheus_client takes a lock for each amount.
        if len(observed) >= OBSERVED_REQUESTS:
            self.observe()

    def observe(self) -> None:
        """Observe the requests that were counted since the last time."""
        observed = self._observed
        self._observed = defaultdict(list)
        for key, seconds in observed.items():
            metrics = self._routes.get(key) or self._route_metrics(*key)
            metrics.requests.inc(len(seconds))
            metrics.seconds.observe_all(seconds)

    def _route_metrics(self, method: str, route: str, status: int) -> _RouteMetrics:
        """Return the labelled metrics, which are kept: a look-up by labels costs more
        than the observation."""
        # Clients may send any word as a method, and each would be a series for ever.
        known = method if method in METHODS else "other"
        labels = (known, route, str(status))
        metrics = _RouteMetrics(
            self._requests.labels(*labels), self._seconds.labels(*labels)
        )
        if known == method:
            self._routes[method, route, status] = metrics
        return metrics

    async def refresh(self) -> None:
        """Set the gauges again and again, for the processes that answer a scrape."""
        while MULTIPROCESS_FOLDER in os.environ:
            self.observe()
            self._set_gauges()
            await asyncio.sleep(REFRESH_SECONDS)

    def _set_gauges(self) -> None:
        gauges = self._gauges
        for name, shares in self._used.items():
            gauges[name].set(shares.taken)
            self._limits.labels(self._worker, name).set(shares.limit)
        gauges["resident_memory_bytes"].set(_resident_bytes())
        health = self._database.health
        gauges["wal_bytes"].set(health.wal_bytes)
        gauges["failed_checkpoints"].set(health.failed_checkpoints)

    async def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        self.observe()
        self._set_gauges()
        await self._read_statistics()
        # Writing the text of many routes takes milliseconds.
        return await asyncio.to_thread(self._text)

    def _text(self) -> bytes:
        folder = os.environ.get(MULTIPROCESS_FOLDER)
        registry = self._registry
        if folder is not None:
            _remove_dead_workers(Path(folder))
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        stored = _Stored(self._statistics)
        return generate_latest(registry) + generate_latest(stored)

    async def _read_statistics(self) -> None:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._database.statistics.collect())
        reading = self._reading  # scrapes at the same time share it
        # Without the database the scrape has the other metrics, and says that it is
        # down.
        done, _ = await asyncio.wait([reading], timeout=DATABASE_SECONDS)
        if done:
            try:
                self._statistics = reading.result()
            except Unavailable:
                self._statistics = None


class _Stored(Collector):
    """What the database holds; None if it does not answer."""

    def __init__(self, statistics: Statistics | None) -> None:
        self._statistics = statistics

    def collect(self) -> Iterable[Metric]:
        statistics = self._statistics
        yield GaugeMetricFamily(
            "persist_database_up",
            "Whether the database answers.",
            value=int(statistics is not None),
        )
        if statistics is not None:
            yield from _families(statistics)


def _families(statistics: Statistics) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "persist_journal_seq", "The last change's seq.", value=statistics.seq
    )
    if statistics.snapshot_at is not None:
        taken_at = datetime.fromisoformat(statistics.snapshot_at)
        yield GaugeMetricFamily(
            "persist_snapshot_age_seconds",
            "Age of the newest snapshot.",
            value=(datetime.now(UTC) - taken_at).total_seconds(),
        )
    records = GaugeMetricFamily(
        "persist_records",
        "Records, counted at most once a minute.",
        labels=("collection",),
    )
    for collection, count in statistics.records.items():
        records.add_metric((collection,), count)
    yield records


def _remove_dead_workers(folder: Path) -> None:
    """Remove the gauges of processes that ended; their counts stay."""
    workers = {path.stem.rpartition("_")[2] for path in folder.glob("gauge_live*.db")}
    for worker in workers:
        try:
            os.kill(int(worker), 0)
        except ProcessLookupError:
            with suppress(FileNotFoundError):  # another worker removed it first
                mark_process_dead(worker, str(folder))  # type: ignore[no-untyped-call]


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0  # only Linux has it
    return pages * os.sysconf("SC_PAGE_SIZE")


class MetricsRoutes:
    """The handler of ``/metrics``."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def metrics(self, request: AuthorizedRequest) -> PlainTextResponse:
        """Return all metrics."""
        text = await self._metrics.text()
        return PlainTextResponse(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)
