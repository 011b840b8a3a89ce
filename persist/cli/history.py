"""The command `persist history`: what changed, and taking it back."""

import json
from typing import Annotated, Literal

import typer

from persist.cli.settings_flags import DatabaseUrl
from persist.cli.snapshots import AsJson, Url, service_at
from persist.cli.terminal import print_line, refuse
from persist.domain.record import Json
from persist.domain.wording import counted

history = typer.Typer(
    help=(
        "Show what changed, go back to a revision, and take back the changes of a"
        " request or of a range.\n\nEach command works on a running service (--url) or"
        " on a database (--database-url), also while services run on it."
    ),
    epilog=(
        "\b\nExamples:\n  persist history show ops-tickets"
        " 0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70\n  persist history undo --request-id"
        " 0198c1d2a --dry-run --url http://127.0.0.1:8000"
    ),
    rich_markup_mode=None,
    no_args_is_help=True,
)

CollectionName = Annotated[str, typer.Argument(metavar="COLLECTION")]
RecordId = Annotated[str, typer.Argument(metavar="ID")]
Workspace = Annotated[
    str | None, typer.Option(help="A workspace. Default: the default one.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would happen, and change nothing.")
]


def add_to(commands: typer.Typer) -> None:
    """Add these commands to the command line."""
    commands.add_typer(
        history, name="history", short_help="Show changes and take them back."
    )


@history.command(short_help="List the changes of a record.")
def show(
    collection: CollectionName,
    record_id: RecordId,
    workspace: Workspace = None,
    as_json: AsJson = False,
    url: Url = None,
    database_url: DatabaseUrl = None,
) -> None:
    """List the changes of a record, newest first; also after its deletion."""
    with service_at(url, database_url) as service:
        for change in service.history(collection, record_id, workspace):
            print_line(change, _sentence(change), as_json=as_json)


@history.command(short_help="Compare two revisions of a record.")
def diff(
    collection: CollectionName,
    record_id: RecordId,
    before: Annotated[int, typer.Option("--from", help="The revision to start from.")],
    after: Annotated[int, typer.Option("--to", help="The revision to arrive at.")],
    workspace: Workspace = None,
    url: Url = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Print the JSON Patch (RFC 6902) between two revisions, an operation a line."""
    with service_at(url, database_url) as service:
        record = collection, record_id, workspace
        for operation in service.diff(*record, before, after):
            typer.echo(json.dumps(operation, ensure_ascii=False))


@history.command(short_help="Give a record the data of an earlier revision.")
def revert(  # noqa: PLR0913, PLR0917 - each is an option of the command
    collection: CollectionName,
    record_id: RecordId,
    to_revision: Annotated[
        int, typer.Option("--to", help="The revision whose data it gets.")
    ],
    workspace: Workspace = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    url: Url = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Give a record the data of an earlier revision, as a new one. A deleted record
    comes back."""
    with service_at(url, database_url) as service:
        record = service.revert(
            collection, record_id, workspace, to_revision, dry_run=dry_run
        )
    data = json.dumps(record["data"], ensure_ascii=False)
    sentence = f"{collection} {record_id} is at revision {record['revision']}: {data}"
    print_line(record, sentence, as_json=as_json)


@history.command(
    short_help="Take back the changes of a request or of a range.",
    epilog=(
        "\b\nExamples:\n  persist history undo --request-id 0198c1d2a --dry-run\n"
        "  persist history undo --from-seq 120 --to-seq 140 --on-conflict skip"
    ),
)
def undo(  # noqa: PLR0913, PLR0917 - each is an option of the command
    request_id: Annotated[
        str | None, typer.Option(help="The request; `show` names it.")
    ] = None,
    from_seq: Annotated[
        int | None, typer.Option(help="The first change of a range.")
    ] = None,
    to_seq: Annotated[
        int | None, typer.Option(help="The last change of the range.")
    ] = None,
    collection: Annotated[
        str | None, typer.Option(help="Only changes of this collection.")
    ] = None,
    workspace: Annotated[
        str | None,
        typer.Option(help="Only changes in this workspace; '' is the default one."),
    ] = None,
    on_conflict: Annotated[
        Literal["fail", "skip"],
        typer.Option(help="What happens if a record was changed since."),
    ] = "fail",
    dry_run: DryRun = False,
    as_json: AsJson = False,
    url: Url = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Have every record that the changes touched go back to what it was before them.

    The undo has its own request id, by which it can be undone.
    """
    if (request_id is None) == (from_seq is None or to_seq is None):
        refuse("name either --request-id, or --from-seq and --to-seq")
    named = {
        "request_id": request_id,
        "from_seq": from_seq,
        "to_seq": to_seq,
        "collection": collection,
        "workspace": workspace,
    }
    body: Json = {name: value for name, value in named.items() if value is not None}
    if workspace == "":
        body["workspace"] = None
    with service_at(url, database_url) as service:
        report = service.undo(body | {"on_conflict": on_conflict}, dry_run=dry_run)
    verb = "would go back" if dry_run else "went back"
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False))
        return
    for record in report["records"]:
        name = f"{record['collection']} {record['id']}"
        typer.echo(f"{name} {record['outcome']}{_reason(record)}")
    undone = counted(report["undone"], "record")
    typer.echo(f"{undone} {verb}, {report['skipped']:,} skipped")


def _sentence(change: Json) -> str:
    operation = change["operation"]
    if change["command"]:
        operation += f" {change['command']}"
    by = f" by {change['actor']}" if change["actor"] else ""
    return (
        f"{change['revision']} {change['at']} {operation}{by},"
        f" request {change['request_id']}"
    )


def _reason(record: Json) -> str:
    reason = record["reason"]
    if reason is None:
        return ""
    by = f" by {reason['actor']}" if reason["actor"] else ""
    at = f" at {reason['at']}" if reason["at"] else ""
    return f": {reason['conflict']}{at}{by}"
