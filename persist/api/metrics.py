"""Metrics for Prometheus. Requests and commits are counted by each process for itself,
and added up over all of the service; what a process is busy with carries its
``worker``, a process id."""

import asyncio
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import PlainTextResponse, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from persist.api.in_flight import SECONDS, InFlightLimiter
from persist.api.requests import Request
from persist.domain.access import Level
from persist.domain.errors import Unavailable
from persist.domain.histogram import Histogram
from persist.storage.database import Database
from persist.storage.statistics import Statistics
from persist.storage.writer import GROUP_SIZES

PERIOD = 1.0
"""Seconds between two moments at which a process tells the others its counts."""

SILENT = 10.0
"""Seconds after which a process that tells nothing is taken for gone; its counts
stay."""

PATIENCE = 2.0
"""Seconds that a scrape waits for the database."""

BUSY = {
    "requests_in_progress": "Requests in progress.",
    "bodies_bytes": "Memory that large bodies take.",
    "writes_waiting": "Writes that wait for the next commit.",
    "finds_waiting": "Reads by key that wait to be done together.",
    "reads_in_threads": "Other reads that are done or wait in threads.",
    "resident_memory_bytes": "Resident memory.",
}
ROUTE = ("method", "route", "status")

Told = dict[str, Any]


class Metrics:
    """Everything ``/metrics`` shows. ``folder`` is where the processes of a service
    tell each other."""

    def __init__(
        self, traffic: InFlightLimiter, database: Database, folder: Path | None
    ) -> None:
        self._traffic = traffic
        self._database = database
        self._folder = folder
        self._looking: asyncio.Task[Statistics] | None = None
        self._figures: Statistics | None = None

    async def tell(self) -> None:
        """Tell the other processes the counts of this one, again and again."""
        while self._folder is not None:
            await asyncio.to_thread(self.tell_once)
            await asyncio.sleep(PERIOD)

    def tell_once(self) -> None:
        """Tell them now, unless there is no room for it."""
        if self._folder is not None:
            written = self._folder / f"{os.getpid()}.new"
            with suppress(OSError):
                written.write_text(json.dumps(self._own()))
                written.replace(self._folder / f"{os.getpid()}.json")

    async def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        await self._look()
        families = list(await asyncio.to_thread(self._families))
        return generate_latest(_Families(families))

    def _own(self) -> Told:
        answers = [
            (*key, list(each.counts), each.total)
            for key, each in list(self._traffic.answers.items())
        ]
        waiting = self._database.waiting
        busy = {
            "requests_in_progress": self._traffic.requests,
            "bodies_bytes": self._traffic.body_bytes,
            "writes_waiting": waiting["writes"],
            "finds_waiting": waiting["finds"],
            "reads_in_threads": waiting["reads"],
            "resident_memory_bytes": _resident_bytes(),
        }
        commits = self._database.writer.group_sizes
        return {
            "worker": str(os.getpid()),
            "at": time.time(),
            "answers": answers,
            "commits": (list(commits.counts), commits.total),
            "busy": busy,
        }

    def _everyone(self) -> Iterator[Told]:
        yield self._own()
        for told in (
            sorted(self._folder.glob("*.json")) if self._folder is not None else ()
        ):
            if told.stem != str(os.getpid()):
                yield json.loads(told.read_text())

    async def _look(self) -> None:
        if self._looking is None:
            self._looking = asyncio.create_task(self._database.statistics.collect())
        done, _ = await asyncio.wait([self._looking], timeout=PATIENCE)
        if done:
            looked, self._looking = self._looking, None
            try:
                self._figures = looked.result()
            except Unavailable:
                self._figures = None

    def _families(self) -> Iterator[Metric]:
        everyone = list(self._everyone())
        yield from _answers(everyone)
        commits = _added((((), *told["commits"]) for told in everyone), GROUP_SIZES)
        yield _histogram("persist_commit_writes", "Writes in one commit.", (), commits)
        alive = [told for told in everyone if told["at"] > time.time() - SILENT]
        for name, meaning in BUSY.items():
            gauge = GaugeMetricFamily(f"persist_{name}", meaning, labels=("worker",))
            for told in alive:
                gauge.add_metric((told["worker"],), told["busy"][name])
            yield gauge
        yield from _stored(self._figures)


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


Series = dict[tuple[str, ...], Histogram]


def _added(told: Iterable[tuple[Any, ...]], bounds: tuple[float, ...]) -> Series:
    """The histograms of several processes as one for each set of labels."""
    series: Series = defaultdict(lambda: Histogram(bounds))
    for labels, counts, total in told:
        sum_ = series[tuple(labels)]
        sum_.counts = [
            mine + theirs for mine, theirs in zip(sum_.counts, counts, strict=True)
        ]
        sum_.total += total
    return series


def _answers(everyone: list[Told]) -> Iterator[Metric]:
    told = (
        ((method, route, str(status)), counts, total)
        for each in everyone
        for method, route, status, counts, total in each["answers"]
    )
    series = _added(told, SECONDS)
    requests = CounterMetricFamily(
        "persist_requests", "Requests answered.", labels=ROUTE
    )
    for labels, histogram in series.items():
        requests.add_metric(labels, sum(histogram.counts))
    yield requests
    yield _histogram(
        "persist_request_seconds", "Seconds until an answer began.", ROUTE, series
    )


def _histogram(
    name: str, meaning: str, labels: tuple[str, ...], series: Series
) -> Metric:
    family = HistogramMetricFamily(name, meaning, labels=labels)
    for values, histogram in series.items():
        bounds = [*(f"{bound:g}" for bound in histogram.bounds), "+Inf"]
        below, buckets = 0, []
        for bound, count in zip(bounds, histogram.counts, strict=True):
            below += count
            buckets.append((bound, below))
        family.add_metric(values, buckets, histogram.total)
    return family


def _stored(figures: Statistics | None) -> Iterator[Metric]:
    up = figures is not None
    yield GaugeMetricFamily(
        "persist_database_up", "Whether the database answers.", value=int(up)
    )
    if figures is None:
        return
    yield GaugeMetricFamily(
        "persist_journal_seq", "The last change's seq.", value=figures.seq
    )
    if figures.snapshot_at is not None:
        age = (
            datetime.now(UTC) - datetime.fromisoformat(figures.snapshot_at)
        ).total_seconds()
        yield GaugeMetricFamily(
            "persist_snapshot_age_seconds", "Age of the newest snapshot.", value=age
        )
    records = GaugeMetricFamily(
        "persist_records",
        "Records, counted once a minute at the most.",
        labels=("collection",),
    )
    for collection, count in figures.records.items():
        records.add_metric((collection,), count)
    yield records


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )
    except OSError:
        return 0  # only Linux tells


def metrics_router(metrics: Metrics) -> APIRouter:
    """``/metrics``."""
    router = APIRouter(tags=["service"])

    @router.get(
        "/metrics", summary="Metrics for Prometheus", response_class=PlainTextResponse
    )
    async def show(http: HttpRequest) -> Response:
        request: Request = http.scope["state"]["request"]
        request.access.require(Level.ADMIN)
        return Response(await metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router
