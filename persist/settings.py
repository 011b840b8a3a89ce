"""Settings: what a deployment chooses, in environment variables or a file ``.env``.

``create_app`` and ``cli`` read them. Everything else gets values.
"""

import io
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from persist.api.journal_key import JournalKey, UnusableKey
from persist.domain.suggestions import nearest

PREFIX = "PERSIST_"
DEFAULT_MODELS = "app.models"
# Kubernetes sets these in every container next to a service called "persist".
KUBERNETES_PREFIXES = ("PERSIST_SERVICE_", "PERSIST_PORT_")
KEY = "PERSIST_KEY"
"""The key that commands send to a running service, which has no such setting."""

SECRET = ("database_url",)
"""Fields whose values are not repeated in messages."""

ENV_FILE = ".env"
"""A file of the current folder with a variable in each line."""
ROOT_PATH = re.compile(r"(/[\w.~-]+)+", re.ASCII)
ORIGIN = re.compile(
    r"https?://([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:\d{1,5})?", re.ASCII
)
COLOR = re.compile(r"[a-z]{3,20}|#[0-9a-f]{3}|#[0-9a-f]{6}", re.IGNORECASE | re.ASCII)


class InvalidSettings(Exception):
    """A value cannot be used. The message names each variable and what is wrong."""


class Settings(BaseSettings):
    """The settings. Each field is the environment variable ``PERSIST_<FIELD>``."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        allow_inf_nan=False,
    )

    database_url: str = Field(
        "sqlite:///persist.db",
        description=(
            "Where the records are stored: sqlite:///relative.db,"
            " sqlite:////absolute.db, or a PostgreSQL URL"
            " (pip install 'persist-service[postgres]')."
        ),
    )
    host: str = Field(
        "127.0.0.1",
        description=(
            "Address to listen on. Where other machines reach it, every request needs a"
            " key: see `persist keys`."
        ),
    )
    port: int = Field(
        8000,
        ge=0,
        le=65535,
        description="Port to listen on. 0 chooses a free one and prints it.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=256,
        description=(
            "Processes that serve. Several can share one database, also a SQLite file."
        ),
    )
    models: str = Field(
        DEFAULT_MODELS,
        description=(
            "Python module that lists the deployment's @entity classes. The default"
            " is app/models in the current folder; without it only registered types"
            " are served."
        ),
    )
    schemas: str = Field(
        "schemas",
        description="Folder with JSON definitions of registered entity types.",
    )
    auto_migrate: bool = Field(
        True,
        description=(
            "Migrate tables of an older schema version at start. If false, the service"
            " does not start while a table has an older schema version."
        ),
    )
    require_if_match: bool = Field(
        False,
        description="Answer 428 to a change of a record without If-Match.",
    )
    snapshot_every: int = Field(
        0,
        ge=0,
        description=(
            "Changes of a collection after which a snapshot of it is taken; 0 is never."
        ),
    )
    snapshot_keep: int = Field(
        5, ge=1, description="How many automatic snapshots of a collection to keep."
    )
    max_body_bytes: int = Field(
        1_048_576, ge=1, description="Largest body of a request; a larger one is 413."
    )
    max_import_bytes: int = Field(
        1_073_741_824, ge=1, description="Largest import; a larger one is 413."
    )
    body_timeout_seconds: float = Field(
        10.0,
        gt=0,
        description=(
            "Longest pause in seconds while the body of a request arrives; after it the"
            " answer is 408."
        ),
    )
    max_connections: int = Field(
        5_000,
        ge=1,
        description=(
            "Connections open at once in one process, and requests that wait for"
            " changes. Each address gets at most half of what others leave; one more is"
            " 429, or 503 if the service has no room."
        ),
    )
    max_requests: int = Field(
        2_000,
        ge=1,
        description=(
            "Requests in progress at once in one process. Each key, or address without"
            " one, gets at most half of what others leave, as of all limits below; one"
            " more is 429, or 503 if the service has no room."
        ),
    )
    max_waiting: int = Field(
        1_000,
        ge=1,
        description=(
            "Writes that may wait for the database in one process. A quarter as many"
            " reads may wait for a thread. One more of either is 429 or 503."
        ),
    )
    max_streams: int = Field(
        8,
        ge=1,
        description=(
            "Exports that run at once in one process; one more waits, then it is 429"
            " or 503."
        ),
    )
    max_read_seconds: float = Field(
        10.0,
        gt=0,
        description="Seconds that one read may take; a longer one is ended with 503.",
    )
    max_bodies_bytes: int = Field(
        67_108_864,
        ge=1,
        description=(
            "Memory of one process for large bodies; one that does not fit is 429 or"
            " 503."
        ),
    )
    max_spooled_bytes: int = Field(
        4_294_967_296,
        ge=1,
        description=(
            "Disk of the temporary folder for the bodies of imports and snapshots in"
            " one process, at most half of what is free; one that does not fit is 429"
            " or 503."
        ),
    )
    max_responses_bytes: int = Field(
        268_435_456,
        ge=1,
        description=(
            "Memory of one process for large responses until their clients have taken"
            " them; one that does not fit is 429 or 503."
        ),
    )
    shutdown_seconds: int = Field(
        10,
        ge=1,
        description="Seconds that requests in progress have to finish after SIGTERM.",
    )
    journal_key: str = Field(
        "",
        description=(
            "PEM file (PKCS#8) with the private Ed25519 key that signs the answer of"
            " GET /changes/head (pip install 'persist-service[signing]')."
        ),
    )
    root_path: str = Field(
        "",
        description=(
            "Prefix that a proxy strips from the path of each request, such as"
            " /persist; the addresses in answers begin with it."
        ),
    )
    cors_origins: str = Field(
        "",
        description=(
            "Origins of the pages of other sites that may ask from a browser, separated"
            " by commas, such as https://app.example.com."
        ),
    )
    console: bool = Field(
        True,
        description=(
            "Serve the console at /console. Otherwise / leads a browser to /docs."
        ),
    )
    console_name: str = Field(
        "",
        max_length=40,
        description="Name of the environment, which the console shows: production.",
    )
    console_color: str = Field(
        "",
        description=(
            "Color of the environment in the console: a name of CSS, such as crimson,"
            " or #b00020."
        ),
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info",
        description="Least severe log record to write: debug, info, warning or error.",
    )

    @field_validator("database_url")
    @classmethod
    def _url(cls, url: str) -> str:
        if "://" not in url:
            raise ValueError("not a URL; write a file as sqlite:///persist.db")
        return url

    @field_validator("journal_key")
    @classmethod
    def _readable_key(cls, file: str) -> str:
        if file:
            try:
                JournalKey(Path(file))
            except UnusableKey as error:
                raise ValueError(str(error)) from None
        return file

    @field_validator("root_path")
    @classmethod
    def _prefix(cls, path: str) -> str:
        if path and not ROOT_PATH.fullmatch(path):
            raise ValueError("not a prefix of paths, such as /persist")
        return path

    @field_validator("cors_origins")
    @classmethod
    def _exact_origins(cls, text: str) -> str:
        for origin in split_origins(text):
            if not ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin} is not an exact origin, such as https://app.example.com;"
                    " * and null would allow every page"
                )
        return text

    @field_validator("console_color")
    @classmethod
    def _color(cls, text: str) -> str:
        if text and not COLOR.fullmatch(text):
            raise ValueError("not a color of CSS, such as crimson or #b00020")
        return text

    @field_validator("models")
    @classmethod
    def _module(cls, name: str) -> str:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError("not the name of a Python module, such as shop.models")
        return name

    @field_validator("port", mode="before")
    @classmethod
    def _not_of_kubernetes(cls, port: object) -> object:
        """Ignore a variable that Kubernetes sets: ``PERSIST_PORT=tcp://10.0.0.1:80``."""
        if isinstance(port, str) and port.startswith(("tcp://", "udp://")):
            return 8000
        return port

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, level: object) -> object:
        return level.lower() if isinstance(level, str) else level


class ExplicitSettings(Settings):
    """Settings that the caller gives. The environment is not read."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the one source of values: the arguments."""
        return (init_settings,)


def read_env_file() -> None:
    """Set the environment variables of ``.env`` that are not set.

    Values are taken as they are written. Raise ``InvalidSettings`` where the file
    cannot be read.
    """
    # Its warnings of lines without an equals sign come before logs are configured.
    logging.getLogger("dotenv").setLevel(logging.ERROR)
    try:
        values = dotenv_values(ENV_FILE, interpolate=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InvalidSettings(f"{ENV_FILE} cannot be read: {error}") from None
    for name, value in values.items():
        if value is not None:
            os.environ.setdefault(name, value)


def ignored_lines() -> list[str]:
    """Return a sentence for each line of ``.env`` that sets nothing."""
    try:
        text = Path(ENV_FILE).read_text(encoding="utf-8-sig")
    except OSError:  # there is none
        return []
    return [
        f"{ENV_FILE}, line {binding.original.line}: it is not NAME=value, and sets"
        " nothing"
        for binding in parse_stream(io.StringIO(text))
        if binding.error or (binding.key is not None and binding.value is None)
    ]


def split_origins(text: str) -> list[str]:
    """Return the origins of a list that is separated by commas."""
    return [origin.strip() for origin in text.split(",") if origin.strip()]


def load() -> Settings:
    """Return the settings of this environment. Raise ``InvalidSettings``."""
    read_env_file()
    try:
        return Settings()
    except ValidationError as error:
        sentences = [_sentence(found) for found in error.errors()]
        raise InvalidSettings("\n".join(sentences)) from None


def variable(field: str) -> str:
    """Return the environment variable of a field."""
    return PREFIX + field.upper()


def unknown_variables(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return a sentence for each variable ``PERSIST_…`` that is not a setting."""
    known = {variable(field) for field in Settings.model_fields} | {KEY}
    names = sorted(name for name in environment if name.upper().startswith(PREFIX))
    return [
        _unknown(name, known)
        for name in names
        if name.upper() not in known
        and not name.upper().startswith(KUBERNETES_PREFIXES)
    ]


def _unknown(name: str, known: set[str]) -> str:
    # The prefix would make any two names look alike.
    stems = {setting.removeprefix(PREFIX): setting for setting in sorted(known)}
    near = nearest(name.upper().removeprefix(PREFIX), stems)
    if near is None:
        return f"{name} is not a setting; `persist serve --help` lists them"
    return f"{name} is not a setting; did you mean {stems[near]}?"


def _sentence(error: Any) -> str:
    field = str(error["loc"][0]) if error["loc"] else ""
    value = "" if field in SECRET else f"={error['input']}"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{variable(field)}{value}: {message}"
