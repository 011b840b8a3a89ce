"""CliSnapshots: `persist snapshot` and `persist restore`, against a running service or
one of their own."""

import json
import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from persist.cli.client import Json
from persist.cli.service import DatabaseUrl, Url, service_at
from persist.cli.terminal import FAILED, refuse, waiting
from persist.cli.transfers import received, sent

snapshot = typer.Typer(
    help=(
        "Take, list, export, import, verify and delete snapshots: verified copies of"
        " collections, with the schema versions they were taken at. `persist restore`"
        " brings one back."
    ),
    epilog=(
        "\b\nExamples:\n  persist snapshot take ops-tickets --note 'before the release'"
        " --url http://127.0.0.1:8000\n  persist snapshot take --output"
        " everything.ndjson --database-url sqlite:///persist.db\n  persist snapshot"
        " import everything.ndjson --database-url postgresql://me@db/shop\n\nEach works"
        " on a running service (--url), or on a database (--database-url), for which it"
        " starts a service of its own as long as it takes."
    ),
    rich_markup_mode=None,
    no_args_is_help=True,
)

ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON instead of a sentence.")
]
Id = Annotated[
    str,
    typer.Argument(metavar="SNAPSHOT", help="The id of a snapshot; `list` tells them."),
]


def add_to(commands: typer.Typer) -> None:
    """Make these commands part of the command line."""
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
        bool, typer.Option("--schema-only", help="Without the records.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="A file to export it to as well.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Take a snapshot of one moment, without holding up writers, and keep it in the
    database."""
    with service_at(url, database_url) as service:
        with waiting(f"taking a snapshot of {collection or 'everything'}"):
            mode = "schema_only" if schema_only else "with_data"
            manifest = service.take(collection, {"mode": mode, "note": note})
        _tell(manifest, as_json)
        if output is not None:
            received(service, manifest, output)


@snapshot.command("list")
def list_(
    collection: Annotated[
        str | None, typer.Argument(help="A collection they hold. Default: any.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    database_url: DatabaseUrl = None,
) -> None:
    """List the snapshots, the newest first."""
    with service_at(url, database_url) as service:
        manifests = service.snapshots(collection)
    if as_json:
        typer.echo(json.dumps(manifests, ensure_ascii=False, indent=2))
        return
    for manifest in manifests:
        _tell(manifest, as_json)


@snapshot.command(short_help="Write a snapshot to a file.")
def export(
    id: Id,
    output: Annotated[
        Path | None, typer.Option(help="File to write; default: standard output.")
    ] = None,
    url: Url = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write a snapshot as NDJSON: its manifest, a record a line, a closing line with a
    SHA-256."""
    with service_at(url, database_url) as service:
        received(service, service.manifest(id), output)


@snapshot.command("import", short_help="Keep a snapshot from a file.")
def import_(
    file: Annotated[
        Path, typer.Argument(help="An exported snapshot; - is standard input.")
    ],
    as_json: AsJson = False,
    url: Url = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Keep an exported snapshot in this database, under the id it has. It is verified
    on the way in.

    Its records come back with `persist restore`.
    """
    with service_at(url, database_url, made=True) as service:
        _tell(sent(service, file), as_json)


@snapshot.command(short_help="Tell whether a snapshot is whole.")
def verify(
    id: Id, as_json: AsJson = False, url: Url = None, database_url: DatabaseUrl = None
) -> None:
    """Tell whether a snapshot is whole and unaltered; exit status 1 where it is not."""
    with service_at(url, database_url) as service, waiting("verifying"):
        found = service.verify(id)
    if as_json:
        typer.echo(json.dumps(found))
    elif found["ok"]:
        typer.echo(f"ok: {found['records']:,} records")
    else:
        typer.echo(f"FAIL: {found['detail']}")
    raise typer.Exit(0 if found["ok"] else FAILED)


@snapshot.command()
def delete(id: Id, url: Url = None, database_url: DatabaseUrl = None) -> None:
    """Delete a snapshot."""
    with service_at(url, database_url) as service:
        service.delete(id)
    typer.echo(f"deleted {id}")


def restore(  # noqa: PLR0913, PLR0917 - each is an option of the command
    snapshot: Annotated[
        str, typer.Argument(help="The id of a snapshot, or an exported file to import.")
    ],
    on_conflict: Annotated[
        Literal["fail", "skip", "overwrite"],
        typer.Option(help="What happens where a record is here already."),
    ] = "fail",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Change no record; tell what would happen."),
    ] = False,
    workspace: Annotated[
        str | None,
        typer.Option(
            help=(
                "Where to: a workspace, '' for the default one. Default: where it was"
                " taken."
            )
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            help="JSON: steps by collection, for this run instead of their own."
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Restore a snapshot: each record walks the migration plan from the schema version
    it carries to the current one, is validated, and is stored under its own id. All of
    them, or none.
    """
    file = Path(snapshot)
    if not file.is_file() and not ID.fullmatch(snapshot):
        refuse(f"{snapshot} is neither the id of a snapshot nor a file here")
    wanted: Json = {"on_conflict": on_conflict, "dry_run": dry_run}
    if workspace is not None:
        wanted["workspace"] = workspace or None
    if plan is not None:
        wanted["plan"] = _plan(plan)
    with service_at(url, database_url, made=True) as service:
        id = sent(service, file)["id"] if file.is_file() else snapshot
        with waiting("restoring"):
            report = service.restore({"snapshot": id, **wanted})
    typer.echo(
        json.dumps(report, ensure_ascii=False, indent=2)
        if as_json
        else _told(report, dry_run=dry_run)
    )


def _plan(file: Path) -> Json:
    try:
        plan: Json = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        refuse(f"{file}: {error}")
    return plan


def _tell(manifest: Json, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(manifest, ensure_ascii=False, indent=2))
        return
    held = ", ".join(
        f"{entry['count']:,} {entry['name']} at schema version"
        f" {entry['schema_version']}"
        for entry in manifest["collections"]
    )
    note = f"  {manifest['note']}" if manifest["note"] else ""
    typer.echo(f"{manifest['id']}  {manifest['created_at']}  {held}{note}")


def _told(report: Json, *, dry_run: bool) -> str:
    counts = ", ".join(
        f"{report[what]:,} {what}"
        for what in ("created", "overwritten", "skipped", "migrated")
    )
    lines = [f"{'would be' if dry_run else report['id']}: {counts}"]
    for collection in report["collections"]:
        for version, count in collection["from_versions"].items():
            current = collection["to_version"]
            came = f"of schema version {version}" + (
                "" if int(version) == current else f", now {current}"
            )
            lines.append(f"  {collection['name']}: {count:,} {came}")
    return "\n".join(lines)
