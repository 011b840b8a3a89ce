"""Logs: one form for every record, uvicorn's and ours, which all come through
``logging``; lines for a person at a terminal, JSON otherwise. What is said while a
request is answered names it and who asked; no record has a body, a key or the value of
a variable in it."""

import logging
import logging.config
import sys
from typing import Any

import structlog

from persist.api.requests import CURRENT


def _name_request(
    _: Any, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    request = CURRENT.get(None)
    if request is not None:
        event["request_id"], event["actor"] = (
            request.request_id,
            request.access.actor or None,
        )
    return event


FACTS: list[structlog.typing.Processor] = [
    _name_request,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    structlog.stdlib.ExtraAdder(),
]


def configure(level: str) -> None:
    """Send every record of ``level`` and above to stderr."""
    logging.config.dictConfig(configuration(level))


def configuration(level: str) -> dict[str, Any]:
    """The same as a value, which uvicorn hands to the processes it starts."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"records": {"()": _formatter}},
        "filters": {"seldom": {"()": _Seldom}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "records",
                "filters": ["seldom"],
            }
        },
        "root": {"handlers": ["stderr"], "level": level.upper()},
        "loggers": {"alembic": {"level": "WARNING"}},  # it tells of each of its plugins
    }


REMEMBERED = 1_000
"""Warnings that are remembered, so that no more memory goes to them."""


class _Seldom(logging.Filter):
    """Lets the same warning through once a second, with how often it was said by then:
    in a flood of refusals the log must not be the next to drown."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        key = (record.name, record.getMessage())
        due, unsaid = self._said.get(key, (0.0, 0))
        if record.created < due:
            self._said[key] = (due, unsaid + 1)
            return False
        if unsaid:
            record.unsaid = unsaid
        if len(self._said) >= REMEMBERED:
            self._said.clear()
        self._said[key] = (record.created + 1, 0)
        return True


def _formatter() -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=FACTS,
        processors=[
            _without_colours,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_rendered(),
        ],
    )


def _without_colours(
    _: Any, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Uvicorn says its sentences twice, once for terminals."""
    event.pop("color_message", None)
    return event


def _rendered() -> list[structlog.typing.Processor]:
    if sys.stderr.isatty():
        # the traceback it would show by itself has the values of all variables
        plain = structlog.dev.plain_traceback
        return [
            structlog.dev.ConsoleRenderer(
                timestamp_key="time", exception_formatter=plain
            )
        ]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]
