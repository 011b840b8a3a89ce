"""Generate clients of a service, check them, and drive each of them over HTTP."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx

from tests.support.forked import ROOT
from tests.support.server import Server, serving

HERE = Path(__file__).parent
TOOLS = ROOT / ".clients"
PYTHON = TOOLS / "python" / "bin"
NODE = TOOLS / "node_modules" / ".bin"

PACKAGE = ROOT / "clients" / "typescript"
COMMITTED_TYPES = PACKAGE / "src" / "schemas.ts"
TYPES = ("Record", "Change", "CommandResult", "Invocations", "Problem", "Undo")
"""The schemas that the client of ``clients/typescript`` takes its types from."""

Json = dict[str, Any]


class Failed(Exception):
    """A generator, a check or a driver failed; the message is its output."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.clients")
    parser.add_argument(
        "--short", action="store_true", help="one Python and one TypeScript client"
    )
    short = parser.parse_args().short
    failures = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        settings = {"MODELS": "app.models", "SCHEMAS": str(HERE / "types")}
        url = f"sqlite:///{folder}/persist.db"
        with serving(url, folder, settings=settings) as server:
            work = Workshop(folder, server)
            for name, step in work.steps(short=short):
                try:
                    step()
                except Failed as error:
                    failures.append(name)
                    print(f"✗ {name}\n{error}")
                else:
                    print(f"✓ {name}")
    print(f"{len(failures)} failed" if failures else "all clients work")
    return 1 if failures else 0


class Workshop:
    """The temporary folder in which clients of one service are generated."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        self.url = server.url
        self.path = folder / "openapi.json"
        self.document: Json = httpx.get(f"{server.url}/openapi.json").json()
        self.path.write_text(json.dumps(self.document))
        (folder / "node_modules").symlink_to(TOOLS / "node_modules")
        shutil.copy(HERE / "package.json", folder)

    def steps(self, *, short: bool) -> list[tuple[str, Callable[[], None]]]:
        """Return the names of the generators with what to do for each."""
        steps = [
            ("openapi-python-client", self.openapi_python_client),
            ("openapi-typescript and openapi-fetch", self.openapi_typescript),
            ("clients/typescript", self.client_for_typescript),
        ]
        if short:
            return steps
        return [
            *steps,
            ("datamodel-code-generator", self.datamodel_code_generator),
            ("openapi-generator, python", self.openapi_generator),
            ("@hey-api/openapi-ts", self.hey_api),
            ("orval", self.orval),
            ("redocly", self.redocly),
            ("spectral", self.spectral),
        ]

    # Python

    def openapi_python_client(self) -> None:
        target = self.folder / "persist_client"
        self.run(
            PYTHON / "openapi-python-client",
            *("generate", "--path", self.path, "--output-path", target),
            *("--meta", "none", "--overwrite"),
        )
        self.check_complete(target)
        self.drive_python("drive_openapi_python_client.py")

    def datamodel_code_generator(self) -> None:
        target = self.folder / "persist_models.py"
        self.run(
            PYTHON / "datamodel-codegen",
            *("--input", self.path, "--input-file-type", "openapi"),
            *("--output", target, "--output-model-type", "pydantic_v2.BaseModel"),
            *("--use-annotated", "--formatters", "builtin"),
        )
        self.run(PYTHON / "mypy", "--strict", target)
        self.run(PYTHON / "python", "-W", "error", "-c", "import persist_models")
        self.drive_python("drive_datamodel_code_generator.py")

    def openapi_generator(self) -> None:
        target = self.folder / "generated"
        self.run(
            PYTHON / "openapi-generator-cli",
            *("generate", "-i", self.path, "-g", "python", "-o", target),
            "--additional-properties=packageName=persist_generated",
        )
        self.check_complete(target)
        package = target / "persist_generated"
        self.run(PYTHON / "mypy", package)
        package.rename(self.folder / package.name)
        # Its package does not export its names, which the strictest rules demand.
        self.drive_python(
            "drive_openapi_generator.py",
            *("--follow-imports=silent", "--implicit-reexport"),
        )

    def drive_python(self, name: str, *options: str) -> None:
        """Check and run a program that uses a generated client."""
        driver = shutil.copy(HERE / "drivers" / name, self.folder)
        self.run(PYTHON / "mypy", "--strict", *options, driver)
        self.run(PYTHON / "python", driver, self.url)

    # TypeScript

    def openapi_typescript(self) -> None:
        target = self.folder / "openapi-fetch"
        target.mkdir()
        self.run(NODE / "openapi-typescript", self.path, "-o", target / "schema.d.ts")
        self.check_complete(target)
        self.drive_typescript(target, "drive_openapi_fetch.ts")

    def client_for_typescript(self) -> None:
        """Write the types of ``clients/typescript``, compile it with what every browser
        has, and run the examples of its pages; fail where the types have changed."""
        reduced = self.folder / "types.json"
        reduced.write_text(json.dumps(with_schemas(self.document, TYPES)))
        written = self.folder / "types.ts"
        self.run(NODE / "openapi-typescript", reduced, "-o", written, "--immutable")
        content = written.read_text()
        if content != COMMITTED_TYPES.read_text():
            COMMITTED_TYPES.write_text(content)
            raise Failed(f"{COMMITTED_TYPES.relative_to(ROOT)} was out of date")
        self.run(NODE / "tsc", "--project", PACKAGE, "--noEmit")
        folder = self.folder / "typescript"
        shutil.copytree(PACKAGE / "src", folder)
        for page in (PACKAGE / "README.md", ROOT / "docs/how-to/use-the-client.md"):
            example = page.read_text().split("```ts\n")[1].split("```")[0]
            for documented, used in (
                ("persist-service-client", "./index.js"),
                ("http://127.0.0.1:8000", self.url),
                (', { key: "…" }', ""),
            ):
                example = example.replace(documented, used)
            driver = folder / "example.ts"
            driver.write_text(example)
            self.run_typescript(folder, driver)

    def hey_api(self) -> None:
        target = self.folder / "hey-api"
        self.run(NODE / "openapi-ts", "-i", self.path, "-o", target)
        self.check_complete(target)
        self.drive_typescript(target, "drive_hey_api.ts")

    def orval(self) -> None:
        target = self.folder / "orval"
        self.run(
            NODE / "orval",
            *("--input", self.path, "--output", target / "client.ts"),
            *("--client", "fetch"),
        )
        self.check_complete(target)
        self.drive_typescript(target, "drive_orval.ts")

    def drive_typescript(self, folder: Path, name: str) -> None:
        self.run_typescript(folder, Path(shutil.copy(HERE / "drivers" / name, folder)))

    def run_typescript(self, folder: Path, driver: Path) -> None:
        """Compile a client with a program that uses it under the strictest rules, and
        run the program."""
        self.run(
            NODE / "tsc",
            *("--strict", "--target", "es2022"),
            *("--lib", "es2022,dom,dom.iterable,dom.asynciterable"),
            *("--module", "esnext", "--moduleResolution", "bundler"),
            *("--noEmit", *folder.rglob("*.ts")),
        )
        # The imports of generated clients name no files, as bundlers want them.
        bundle = folder / "driver.mjs"
        self.run(
            NODE / "esbuild",
            *(driver, "--bundle", "--platform=node", "--format=esm"),
            f"--outfile={bundle}",
        )
        self.run("node", bundle, self.url)

    # Linters

    def redocly(self) -> None:
        """The one finding that is allowed for: an id is a UUID, never ``commands``."""
        self.run(
            NODE / "redocly",
            *("lint", "--extends", "recommended", "--max-problems", "100"),
            *("--skip-rule", "no-ambiguous-paths"),
            self.path,
            expected=r"(?s)^(?!.*(\d+ warning|\d+ error))",
        )

    def spectral(self) -> None:
        rules = self.folder / ".spectral.yaml"
        rules.write_text('extends: ["spectral:oas"]\n')
        self.run(NODE / "spectral", "lint", "-F", "hint", "-r", rules, self.path)

    # What all do

    def check_complete(self, target: Path) -> None:
        """Raise ``Failed`` with the operations that a client does not have."""
        files = [path for path in target.rglob("*") if path.is_file()]
        names = " ".join(path.name for path in files)
        text = plain(names + " ".join(path.read_text() for path in files))
        missing = [
            operation["operationId"]
            for item in self.document["paths"].values()
            for operation in item.values()
            if plain(operation["operationId"]) not in text
        ]
        if missing:
            raise Failed(f"operations are missing: {', '.join(missing)}")

    def run(self, *command: object, expected: str = "", **variables: object) -> None:
        """Run a program in the folder. Raises ``Failed`` where it fails, or writes
        something else than is expected."""
        done = subprocess.run(
            list(map(str, command)),
            cwd=self.folder,
            env=os.environ | {name: str(value) for name, value in variables.items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        if done.returncode or not re.search(expected, done.stdout):
            raise Failed(
                f"$ {' '.join(map(str, command))[:300]}\n{done.stdout[-6000:]}"
            )


def with_schemas(document: Json, names: Iterable[str]) -> Json:
    """Return a document of some schemas, and of those that they refer to."""
    schemas: Json = document["components"]["schemas"]
    wanted = list(names)
    for name in wanted:
        references = re.findall(
            "#/components/schemas/(\\w+)", json.dumps(schemas[name])
        )
        wanted += [each for each in dict.fromkeys(references) if each not in wanted]
    chosen = {name: schemas[name] for name in sorted(wanted)}
    head = {"openapi": document["openapi"], "info": {"title": "", "version": ""}}
    return {**head, "paths": {}, "components": {"schemas": chosen}}


def plain(text: str) -> str:
    """Return a text without case and punctuation, which each generator chooses."""
    return re.sub("[^a-z0-9]", "", text.lower())


sys.exit(main())
