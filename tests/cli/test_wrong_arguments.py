"""Wrong arguments: each command says in one line what is wrong, and ends with 1 or 2."""

from pathlib import Path

import pytest

from tests.support.program import persist

ID = "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70"
DEAD = "http://127.0.0.1:1"

WRONG = [
    ("serve --port abc", 2, "PERSIST_PORT=abc: should be a valid integer"),
    ("serve --workers 0", 2, "PERSIST_WORKERS=0: should be greater"),
    ("serve --host nosuch.invalid --port 0", 2, "cannot listen on nosuch.invalid:0"),
    ("migrate --database-url nonsense", 2, "PERSIST_DATABASE_URL: not a URL"),
    ("migrate --database-url sqlite:///folder", 1, "unable to open database file"),
    (
        "migrate --database-url postgresql://127.0.0.1:1/x",
        1,
        'connection to server at "127.0.0.1", port 1 failed: Connection refused',
    ),
    ("makemigration nosuch", 1, "no class has the collection 'nosuch'"),
    ("openapi --output folder", 2, "folder: Is a directory"),
    ("openapi --output nosuch/x.json", 2, "nosuch/x.json: No such file or directory"),
    ("init file", 1, "file: File exists"),
    ("keys create --name x --scope nosuch", 2, "'nosuch' is not a scope"),
    ("keys create --name a/b --scope *:read", 2, "'a/b' cannot name a key"),
    ("keys revoke nosuch", 1, "no such file"),
    (f"snapshot list --url {DEAD}", 1, "the service cannot be reached"),
    ("snapshot list --url nonsense", 1, "the service cannot be reached"),
    ("restore nosuch.ndjson", 2, "neither the id of a snapshot nor a file"),
    (f"restore {ID} --plan nosuch --url {DEAD}", 2, "nosuch: No such file"),
    (f"restore {ID} --plan file --url {DEAD}", 2, "file: Expecting value"),
    ("backup x.db", 1, "there is no such file"),
    ("history undo", 2, "name either --request-id, or --from-seq and --to-seq"),
    ("journal trim --before abc", 2, "--before takes a seq such as 250000"),
    ("journal verify --head nosuch", 2, "--head takes a file"),
    ("console", 1, "there is no such file"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "file").write_text("x")
    (folder / "folder").mkdir()
    return folder


@pytest.mark.parametrize(("arguments", "status", "reason"), WRONG)
def test_a_wrong_argument_is_named_in_one_line(
    folder: Path, arguments: str, status: int, reason: str
) -> None:
    outcome = persist(folder, *arguments.split())
    assert outcome.returncode == status, outcome.stderr
    assert reason in outcome.stderr
    assert outcome.stderr.startswith("persist: ")
    assert len(outcome.stderr.splitlines()) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize(
    "arguments",
    ["nosuch", "serve --nosuch", "keys create", "snapshot", "restore", "trash list"],
)
def test_what_is_no_command_shows_its_use(folder: Path, arguments: str) -> None:
    outcome = persist(folder, *arguments.split())
    assert outcome.returncode == 2
    said = outcome.stdout + outcome.stderr
    assert "Usage: " in said
    assert "Traceback" not in said


def test_a_fault_of_an_uploaded_file_is_said_once(tmp_path: Path) -> None:
    assert persist(tmp_path, "migrate", PERSIST_MODELS="app.models").returncode == 0
    (tmp_path / "lines.ndjson").write_text('{"x": 1}\n')
    outcome = persist(tmp_path, "snapshot", "import", "lines.ndjson")
    assert outcome.returncode == 1
    assert outcome.stderr == "persist: line 1 is not a manifest\n"


def test_a_backup_blames_the_folder_that_cannot_be_written(tmp_path: Path) -> None:
    assert persist(tmp_path, "migrate").returncode == 0
    outcome = persist(tmp_path, "backup", "/proc/copy.db")
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("persist: /proc/copy.db.part")
    assert "PERSIST_DATABASE_URL" not in outcome.stderr
