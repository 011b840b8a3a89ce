"""The command `persist trash`: deleted records, and bringing them back."""

import json
from typing import Annotated

import typer

from persist.cli.history import CollectionName, DryRun, RecordId, Workspace
from persist.cli.settings_flags import DatabaseUrl
from persist.cli.snapshots import AsJson, Url, service_at
from persist.cli.terminal import FAILED, print_line, refuse

trash = typer.Typer(
    help=(
        "List the deleted records of a collection, and bring one back.\n\nEach command"
        " works on a running service (--url) or on a database (--database-url), also"
        " while services run on it."
    ),
    epilog=(
        "\b\nExamples:\n  persist trash list ops-tickets\n  persist trash restore"
        " ops-tickets 0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70"
    ),
    rich_markup_mode=None,
    no_args_is_help=True,
)


def add_to(commands: typer.Typer) -> None:
    """Add these commands to the command line."""
    commands.add_typer(
        trash, name="trash", short_help="List deleted records and bring them back."
    )


@trash.command("list", short_help="List the deleted records.")
def list_deleted(
    collection: CollectionName,
    workspace: Workspace = None,
    limit: Annotated[int, typer.Option(help="Records to list at most.")] = 50,
    as_json: AsJson = False,
    url: Url = None,
    database_url: DatabaseUrl = None,
) -> None:
    """List the deleted records of a collection, the newest deletion first."""
    with service_at(url, database_url) as service:
        for record in service.trash(collection, workspace, limit):
            data = json.dumps(record["data"], ensure_ascii=False)
            by = f" by {record['deleted_by']}" if record["deleted_by"] else ""
            sentence = f"{record['id']} {record['deleted_at']}{by}: {data}"
            print_line(record, sentence, as_json=as_json)


@trash.command(short_help="Bring a deleted record back.")
def restore(
    collection: CollectionName,
    record_id: RecordId,
    workspace: Workspace = None,
    dry_run: DryRun = False,
    url: Url = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Bring a deleted record back, with the data that it had before its deletion."""
    with service_at(url, database_url) as service:
        record = service.bring_back(collection, record_id, workspace, dry_run=dry_run)
    if record is None:
        refuse(
            f"{collection} {record_id} is not deleted, or its history was erased",
            FAILED,
        )
    verb = "would come back" if dry_run else "came back"
    typer.echo(f"{collection} {record_id} {verb} at revision {record['revision']}")
