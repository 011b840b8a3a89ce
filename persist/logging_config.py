"""Logs: plain, coloured lines on a terminal, and JSON elsewhere.

uvicorn's records and ours come through ``logging`` and have one form. A record that is
written while a request is answered names the request and its actor. No record has a
body, a key or the values of variables.
"""

import logging
import logging.config
import os
import sys

import structlog

from persist.api.requests import CURRENT

REPEAT_SECONDS = 1.0
"""Time in which the same warning is written once: a log must not drown in a flood."""

REMEMBERED_WARNINGS = 1_000
"""Warnings that are remembered, so that their memory is bounded."""


def _name_request(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    request = CURRENT.get(None)
    if request is not None:
        event["request_id"] = request.request_id
        event["actor"] = request.access.actor or None
    return event


FACTS: list[structlog.typing.Processor] = [
    _name_request,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    structlog.stdlib.ExtraAdder(),
]
"""What every record says besides its event."""


def configure(level: str) -> None:
    """Write every record of ``level`` and above to stderr."""
    logging.config.dictConfig(configuration(level))


def configuration(level: str) -> dict[str, object]:
    """Return the configuration that uvicorn gives to the processes it starts."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"records": {"()": _formatter}},
        "filters": {"repeated": {"()": _RepeatedWarnings}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "records",
                "filters": ["repeated"],
            }
        },
        "root": {"handlers": ["stderr"], "level": level.upper()},
        # Alembic writes a record for each of its plugins.
        "loggers": {"alembic": {"level": "WARNING"}},
    }


class _RepeatedWarnings(logging.Filter):
    """Drops repetitions of a warning, and counts them in the next one written."""

    def __init__(self) -> None:
        super().__init__()
        self._written: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        key = (record.name, record.getMessage())
        due, dropped = self._written.get(key, (0.0, 0))
        if record.created < due:
            self._written[key] = (due, dropped + 1)
            return False
        if dropped:
            record.repetitions = dropped
        if len(self._written) >= REMEMBERED_WARNINGS:
            self._written.clear()
        self._written[key] = (record.created + REPEAT_SECONDS, 0)
        return True


def _formatter() -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=FACTS,
        processors=[
            _drop_coloured_message,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_renderers(),
        ],
    )


def _drop_coloured_message(
    _: object, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Drop uvicorn's second version of a message, which is for terminals."""
    event.pop("color_message", None)
    return event


def _renderers() -> list[structlog.typing.Processor]:
    if not sys.stderr.isatty():
        return [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    lines = structlog.dev.ConsoleRenderer(
        timestamp_key="time",
        colors="NO_COLOR" not in os.environ,
        # The default one writes the values of all variables, which can be data.
        exception_formatter=structlog.dev.plain_traceback,
    )
    return [lines]
