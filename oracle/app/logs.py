"""Structured logs: JSON lines for a daemon, readable lines for a person. Secrets are never passed to a logger; their types redact themselves."""

import logging
import sys
from typing import TextIO

import structlog


def configure_logs(*, json_lines: bool, level: int = logging.INFO, stream: TextIO = sys.stderr) -> None:
    """Set up structlog for this process, once."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if json_lines else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )


def quiet_logs() -> None:
    """For a command that speaks to a person: errors alone, as readable lines."""
    configure_logs(json_lines=False, level=logging.ERROR)
