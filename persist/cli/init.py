"""The command `persist init`."""

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from persist.cli.terminal import FAILED, refuse

TEMPLATE = Path(__file__).parent / "template"
"""The files of a new deployment."""

VERSION_MARK = "{version}"
"""What the version of this program replaces in ``requirements.txt``."""


def add_to(commands: typer.Typer) -> None:
    """Add this command to the command line."""
    commands.command(
        short_help="Write a new deployment.",
        epilog=(
            "\b\nExample:\n  persist init shop\n  cd shop\n  persist serve\n\nThe"
            " README.md of the new folder says what its files are for."
        ),
    )(init)


def init(
    folder: Annotated[
        Path, typer.Argument(help="Where to write it. Default: the current folder.")
    ] = Path(),
) -> None:
    """Write a deployment to start from: a class, a JSON Schema, a plan and tests.

    No file that exists is overwritten.
    """
    files = _template_files()
    existing = [str(file) for file in files if (folder / file).exists()]
    if existing:
        refuse(
            f"{folder / existing[0]} exists already; nothing was written. Choose an"
            " empty folder",
            FAILED,
        )
    try:
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(TEMPLATE / file, folder / file)
        _pin_version(folder / "requirements.txt")
    except OSError as error:
        refuse(error, FAILED)
    typer.echo(f"wrote {len(files)} files; read {folder / 'README.md'}")


def _template_files() -> list[Path]:
    return sorted(
        path.relative_to(TEMPLATE)
        for path in TEMPLATE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )


def _pin_version(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    pinned = text.replace(VERSION_MARK, version("persist-service"))
    file.write_text(pinned, encoding="utf-8")
