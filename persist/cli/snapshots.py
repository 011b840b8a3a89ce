"""The commands `persist snapshot` and `persist restore`."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import httpx
import typer

from persist import logging_config
from persist.cli.service_client import ServiceClient, refusal_text
from persist.cli.settings_flags import DatabaseUrl, load_settings
from persist.cli.terminal import FAILED, REFUSED, reason_of, refuse, spinner
from persist.cli.transfers import check_folder, download, upload
from persist.client import Client, Problem
from persist.domain.identifiers import is_canonical
from persist.domain.record import Json
from persist.domain.wording import counted
from persist.settings import KEY, InvalidSettings, read_env_file

snapshot = typer.Typer(
    help=(
        "Take, list, export, import, verify and delete snapshots: verified copies of"
        " collections with their schema versions. `persist restore` restores one."
    ),
    epilog=(
        "\b\nExamples:\n  persist snapshot take ops-tickets --note 'before the release'"
        " --url http://127.0.0.1:8000\n  persist snapshot take --output"
        " everything.ndjson --database-url sqlite:///persist.db\n  persist snapshot"
        " import everything.ndjson --database-url postgresql://me@db/shop\n\nEach"
        " command works on a running service (--url) or on a database"
        " (--database-url), also while services run on it."
    ),
    rich_markup_mode=None,
    no_args_is_help=True,
)

AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON instead of a sentence.")
]
SnapshotId = Annotated[
    str,
    typer.Argument(metavar="SNAPSHOT", help="The id of a snapshot; see `list`."),
]
Url = Annotated[
    str | None,
    typer.Option(
        help=(
            "The URL of a running service. It is sent the key in PERSIST_KEY."
            " Default: work on the database."
        )
    ),
]


def add_to(commands: typer.Typer) -> None:
    """Add these commands to the command line."""
    commands.add_typer(snapshot, name="snapshot", short_help="Take and keep snapshots.")
    commands.command(
        short_help="Restore a snapshot.",
        epilog=(
            "\b\nExamples:\n  persist restore 0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70"
            " --dry-run\n  persist restore everything.ndjson --database-url"
            " postgresql://me@db/shop\n  persist restore tickets.ndjson --on-conflict"
            ' overwrite --plan plan.json\n\nA plan: {"ops-tickets": [{"from": 1, "to":'
            ' 2, "set": {"severity": "data.severity * 10"}}]}'
        ),
    )(restore)


@contextmanager
def service_at(
    url: str | None, database_url: str | None, *, create: bool = False
) -> Iterator[ServiceClient]:
    """Give a client of the service at a URL, or of a local one on the database.

    A SQLite file that does not exist is created only with ``create``. An error ends
    the command with its message.
    """
    try:
        if url is not None:
            read_env_file()
            # An answer has no limit of time: a restore may take hours.
            with Client(url, os.environ.get(KEY), timeout_seconds=None) as client:
                yield ServiceClient(client)
        else:
            with _local_client(database_url, create=create) as client:
                yield ServiceClient(client)
    except Problem as problem:
        refuse(refusal_text(problem), FAILED)
    except (InvalidSettings, OSError) as error:
        refuse(error, FAILED)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        refuse(f"the service cannot be reached: {error}", FAILED)


@contextmanager
def _local_client(database_url: str | None, *, create: bool) -> Iterator[Client]:
    from persist.cli import preflight
    from persist.cli.local_service import CannotStart, passive_service

    settings = load_settings({"database_url": database_url})
    logging_config.configure("warning")
    try:
        preflight.database(settings.database_url, create=create)
    except preflight.NotReady as error:
        refuse(error, REFUSED)
    try:
        with passive_service(settings) as service, service.client() as client:
            yield client
    except (preflight.NotReady, CannotStart) as error:
        refuse(error, FAILED)


@snapshot.command(
    short_help="Take a snapshot.",
    epilog=(
        "\b\nExamples:\n  persist snapshot take\n  persist snapshot take ops-tickets"
        " --note 'before the release' --output tickets.ndjson"
    ),
)
def take(
    collection: Annotated[
        str | None, typer.Argument(help="A collection. Default: everything.")
    ] = None,
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
    schema_only: Annotated[
        bool, typer.Option("--schema-only", help="Leave out the records.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Export it to this file, too.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Take a snapshot and store it in the database. Writers do not wait."""
    check_folder(output)
    mode = "schema_only" if schema_only else "with_data"
    with service_at(url, database_url) as service:
        with spinner(f"taking a snapshot of {collection or 'everything'}"):
            request = {"mode": mode, "note": note}
            manifest = service.take_snapshot(collection, request)
        _print_manifest(manifest, as_json=as_json)
        if output is not None:
            download(service, manifest, output)


@snapshot.command("list")
def list_(
    collection: Annotated[
        str | None,
        typer.Argument(help="Only snapshots with this collection. Default: all."),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    database_url: DatabaseUrl = None,
) -> None:
    """List the snapshots, newest first."""
    with service_at(url, database_url) as service:
        manifests = service.snapshots(collection)
    if as_json:
        _print_json(manifests)
        return
    for manifest in manifests:
        _print_manifest(manifest, as_json=False)


@snapshot.command(short_help="Write a snapshot to a file.")
def export(
    snapshot_id: SnapshotId,
    output: Annotated[
        Path | None, typer.Option(help="File to write. Default: standard output.")
    ] = None,
    url: Url = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write a snapshot as NDJSON: its manifest, one record a line, a line with its
    SHA-256."""
    check_folder(output)
    with service_at(url, database_url) as service:
        download(service, service.manifest(snapshot_id), output)


@snapshot.command("import", short_help="Store a snapshot from a file.")
def import_(
    file: Annotated[
        Path, typer.Argument(help="An exported snapshot; - is standard input.")
    ],
    as_json: AsJson = False,
    url: Url = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Verify an exported snapshot and store it in this database under its own id.

    `persist restore` restores its records.
    """
    with service_at(url, database_url, create=True) as service:
        _print_manifest(upload(service, file), as_json=as_json)


@snapshot.command(short_help="Verify a snapshot.")
def verify(
    snapshot_id: SnapshotId,
    as_json: AsJson = False,
    url: Url = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Verify that a snapshot is complete and unaltered. If not, exit with status 1."""
    with service_at(url, database_url) as service, spinner("verifying"):
        result = service.verify(snapshot_id)
    if as_json:
        typer.echo(json.dumps(result))
    elif result["ok"]:
        typer.echo(f"ok: {counted(result['records'], 'record')}")
    else:
        typer.echo(f"FAIL: {result['detail']}")
    raise typer.Exit(0 if result["ok"] else FAILED)


@snapshot.command()
def delete(
    snapshot_id: SnapshotId, url: Url = None, database_url: DatabaseUrl = None
) -> None:
    """Delete a snapshot."""
    with service_at(url, database_url) as service:
        service.delete(snapshot_id)
    typer.echo(f"deleted {snapshot_id}")


def restore(  # noqa: PLR0913, PLR0917 - each is an option of the command
    snapshot: Annotated[
        str, typer.Argument(help="The id of a snapshot, or an exported file.")
    ],
    on_conflict: Annotated[
        Literal["fail", "skip", "overwrite"],
        typer.Option(help="What to do with a record that exists already."),
    ] = "fail",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Change no record; report the outcome."),
    ] = False,
    workspace: Annotated[
        str | None,
        typer.Option(
            help=(
                "The workspace to restore into; '' is the default one. Default: the"
                " workspaces of the snapshot."
            )
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            help="A JSON file with the steps of each collection for this run."
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Restore a snapshot.

    Each record is migrated from its schema version to the current one, validated, and
    stored under its own id. Either all records are restored, or none.
    """
    file = Path(snapshot)
    is_file = file.is_file()
    if not is_file and not is_canonical(snapshot):
        refuse(f"{snapshot} is neither the id of a snapshot nor a file here")
    request: Json = {"on_conflict": on_conflict, "dry_run": dry_run}
    if workspace is not None:
        request["workspace"] = workspace or None
    if plan is not None:
        request["plan"] = _read_plan(plan)
    with service_at(url, database_url, create=is_file) as service:
        request["snapshot"] = upload(service, file)["id"] if is_file else snapshot
        with spinner("restoring"):
            report = service.restore(request)
    if as_json:
        _print_json(report)
    else:
        typer.echo(_report_text(report, dry_run=dry_run))


def _read_plan(file: Path) -> Json:
    try:
        plan: Json = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        name = "" if isinstance(error, OSError) else f"{file}: "
        refuse(f"{name}{reason_of(error)}")
    return plan


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def _print_manifest(manifest: Json, *, as_json: bool) -> None:
    if as_json:
        _print_json(manifest)
        return
    collections = ", ".join(
        f"{entry['count']:,} {entry['name']} at schema version"
        f" {entry['schema_version']}"
        for entry in manifest["collections"]
    )
    note = f"  {manifest['note']}" if manifest["note"] else ""
    typer.echo(f"{manifest['id']}  {manifest['created_at']}  {collections}{note}")


def _report_text(report: Json, *, dry_run: bool) -> str:
    counted = ("created", "overwritten", "skipped", "migrated")
    counts = ", ".join(f"{report[name]:,} {name}" for name in counted)
    lines = [f"{'would be' if dry_run else report['id']}: {counts}"]
    for collection in report["collections"]:
        lines += _collection_lines(collection)
    return "\n".join(lines)


def _collection_lines(collection: Json) -> Iterator[str]:
    current = collection["to_version"]
    for version, count in collection["from_versions"].items():
        line = f"  {collection['name']}: {count:,} of schema version {version}"
        yield line if int(version) == current else f"{line}, now {current}"
