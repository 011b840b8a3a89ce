"""Load: wrk on a core of its own, and what it measured."""

import json
import subprocess
from dataclasses import astuple, dataclass, replace
from itertools import count
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median

import httpx

from benchmarks.peers import Server

WRK = (
    "wrk",
    "--timeout",
    "30s",
    "-s",
    str(Path(__file__).with_name("load.lua")),
)
CLIENTS = 32
_numbers = count(start=1_000_000, step=1_000_000)


@dataclass(frozen=True)
class Request:
    """What is sent over and over. ``path`` may hold ``{collection}`` and ``{id}``;
    ``body`` is a format of two numbers, the request's own and a severity, so that no
    two bodies are the same; ``items`` is how many a list must answer."""

    method: str
    path: str
    body: str | None = None
    items: int | None = None


@dataclass(frozen=True)
class Measurement:
    """Operations a second; milliseconds an answer took, at the median and the 99th
    percentile; microseconds of CPU the server used for each, which other load on the
    machine changes least; and what an answer took at half that rate. ``longest`` is the
    longest answer in milliseconds, ``poorest`` the requests of the thread that had the
    fewest, as a share of those of the one that had the most. ``generator_cpu`` is what
    the load generator itself used for each operation."""

    rate: float
    p50: float = 0.0
    p99: float = 0.0
    cpu: float = 0.0
    half_p50: float = 0.0
    half_p99: float = 0.0
    longest: float = 0.0
    poorest: float = 1.0
    generator_cpu: float = 0.0


def median_of(rounds: list[Measurement]) -> Measurement:
    """The median of each figure."""
    return Measurement(
        *(median(results) for results in zip(*map(astuple, rounds), strict=True))
    )


def at_both_loads(server: Server, request: Request, seconds: int) -> Measurement:
    """Send ``request`` as fast as it is answered, then half as fast."""
    full = hammer(server, request, seconds)
    pause = 2 * CLIENTS / full.rate * 1000 - full.p50 / 2
    half = hammer(server, request, max(1, seconds // 2), pause=pause)
    return replace(full, half_p50=half.p50, half_p99=half.p99)


def hammer(
    server: Server,
    request: Request,
    seconds: int,
    *,
    clients: int = CLIENTS,
    pause: float = 0.0,
    threads: int = 1,
) -> Measurement:
    """Send ``request`` from so many connections for ``seconds``; each waits for
    ``pause`` milliseconds before a request. The connections are divided among
    ``threads``.

    Raises ``RuntimeError`` if any answer failed: the rate of failures is no figure.
    """
    path = server.peer.paths.get(request.path, request.path)
    path = path.replace("{collection}", server.peer.collection)
    _try_once(server, request, path)
    arguments = [
        request.method,
        path,
        str(server.ids),
        str(next(_numbers)),
        f"{pause:f}",
        *filter(None, [request.body]),
    ]
    key_headers = [f"-H{name}: {value}" for name, value in server.headers.items()]
    command = [
        *WRK,
        f"-t{threads}",
        *key_headers,
        f"-c{clients}",
        f"-d{seconds}s",
        server.url,
        "--",
        *arguments,
    ]
    cpu_before = server.cpu_seconds()
    generator_before = _cpu_of_children()
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 60, check=True
    )
    results = json.loads(done.stdout.splitlines()[-1])
    if results["failed"] or results["broken"] or not results["requests"]:
        raise RuntimeError(
            f"{server.peer.name}: {path} failed: {results}\n{server.log_tail()}"
        )
    sent, cpu = results["requests"], server.cpu_seconds() - cpu_before
    return Measurement(
        sent / results["seconds"],
        results["p50"],
        results["p99"],
        cpu / sent * 1e6,
        longest=results["longest"],
        poorest=results["poorest"],
        generator_cpu=(_cpu_of_children() - generator_before) / sent * 1e6,
    )


def _cpu_of_children() -> float:
    """Return the seconds that programs used which this one has waited for."""
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _try_once(server: Server, request: Request, path: str) -> None:
    """See that an answer is what it should be, since wrk only looks at statuses."""
    url = server.url + path.replace("{id}", server.some_id)
    body = None if request.body is None else request.body % (next(_numbers), 10)
    headers = {"Content-Type": "application/json", **server.headers}
    answer = httpx.request(request.method, url, content=body, headers=headers)
    if not answer.is_success:
        raise RuntimeError(
            f"{server.peer.name}: {answer.status_code}"
            f" {answer.text}\n{server.log_tail()}"
        )
    if request.items is not None:
        page = answer.json()
        found = len(page["items"] if isinstance(page, dict) else page)
        if found != request.items:
            raise RuntimeError(
                f"{server.peer.name}: {path} answered {found} items, not"
                f" {request.items}"
            )
