"""Logs: one form for every record, uvicorn's and ours, which all come through ``logging``; lines for
a person at a terminal, JSON otherwise."""

import logging
import logging.config
import sys
from typing import Any

import structlog

FACTS: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
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
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "records"}},
        "root": {"handlers": ["stderr"], "level": level.upper()},
        "loggers": {"alembic": {"level": "WARNING"}},  # it tells of each of its plugins
    }


def _formatter() -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=FACTS,
        processors=[
            _without_colours,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_rendered(),
        ],
    )


def _without_colours(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Uvicorn says its sentences twice, once for terminals."""
    event.pop("color_message", None)
    return event


def _rendered() -> list[structlog.typing.Processor]:
    if sys.stderr.isatty():
        return [structlog.dev.ConsoleRenderer(timestamp_key="time")]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
