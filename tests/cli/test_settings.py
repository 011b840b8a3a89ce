import pytest
from pydantic import ValidationError

from persist.settings import (
    InvalidSettings,
    Settings,
    load,
    unknown_variables,
    variable,
)


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(variable(field), raising=False)


def refusal(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> str:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as caught:
        load()
    return str(caught.value)


def test_the_defaults_are_those_of_the_contract() -> None:
    assert load().model_dump() == {
        "database_url": "sqlite:///persist.db",
        "host": "127.0.0.1",
        "port": 8000,
        "workers": 1,
        "models": "app.models",
        "schemas": "schemas",
        "auto_migrate": True,
        "require_if_match": False,
        "snapshot_every": 0,
        "snapshot_keep": 5,
        "max_body_bytes": 1_048_576,
        "max_import_bytes": 1_073_741_824,
        "body_timeout_seconds": 10.0,
        "max_connections": 5_000,
        "max_requests": 2_000,
        "max_waiting": 1_000,
        "max_streams": 8,
        "max_read_seconds": 10.0,
        "max_bodies_bytes": 67_108_864,
        "max_spooled_bytes": 4_294_967_296,
        "max_responses_bytes": 268_435_456,
        "shutdown_seconds": 10,
        "journal_key": "",
        "root_path": "",
        "cors_origins": "",
        "console": True,
        "console_name": "",
        "console_color": "",
        "log_level": "info",
    }


def test_every_setting_says_what_it_is_for() -> None:
    assert [
        name for name, field in Settings.model_fields.items() if not field.description
    ] == []


def test_settings_do_not_change_after_start() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PERSIST_PORT", "9000", 9000),
        ("PERSIST_REQUIRE_IF_MATCH", "true", True),
        ("PERSIST_AUTO_MIGRATE", "0", False),
        ("PERSIST_BODY_TIMEOUT_SECONDS", "0.5", 0.5),
        ("PERSIST_LOG_LEVEL", "WARNING", "warning"),
        ("PERSIST_MODELS", "shop.models", "shop.models"),
        ("PERSIST_HOST", "::1", "::1"),
        ("PERSIST_HOST", "127.0.0.2", "127.0.0.2"),
        ("PERSIST_HOST", "localhost", "localhost"),
        ("PERSIST_HOST", "0.0.0.0", "0.0.0.0"),
    ],
)
def test_a_variable_sets_its_field(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: object
) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(load(), name.removeprefix("PERSIST_").lower()) == expected


def test_an_empty_variable_leaves_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSIST_PORT", "")
    assert load().port == 8000


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("PERSIST_PORT", "eighty", "valid integer"),
        ("PERSIST_PORT", "65536", "less than or equal to 65535"),
        ("PERSIST_WORKERS", "0", "greater than or equal to 1"),
        ("PERSIST_AUTO_MIGRATE", "perhaps", "valid boolean"),
        ("PERSIST_REQUIRE_IF_MATCH", "2", "valid boolean"),
        ("PERSIST_SNAPSHOT_EVERY", "-1", "greater than or equal to 0"),
        ("PERSIST_SNAPSHOT_KEEP", "0", "greater than or equal to 1"),
        ("PERSIST_MAX_BODY_BYTES", "0", "greater than or equal to 1"),
        ("PERSIST_MAX_IMPORT_BYTES", "1e9x", "valid integer"),
        ("PERSIST_BODY_TIMEOUT_SECONDS", "inf", "finite"),
        ("PERSIST_BODY_TIMEOUT_SECONDS", "0", "greater than 0"),
        ("PERSIST_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("PERSIST_MODELS", "shop/models.py", "not the name of a Python module"),
        ("PERSIST_DATABASE_URL", "persist.db", "sqlite:///persist.db"),
    ],
)
def test_a_bad_value_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    message = refusal(monkeypatch, name, value)
    assert message.startswith(name)
    assert reason in message


def test_all_bad_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSIST_WORKERS", "none")
    lines = refusal(monkeypatch, "PERSIST_PORT", "eighty").splitlines()
    assert [line.split("=")[0] for line in lines] == ["PERSIST_PORT", "PERSIST_WORKERS"]


def test_a_password_in_the_database_url_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "hunter2" not in refusal(
        monkeypatch, "PERSIST_DATABASE_URL", "me:hunter2@database"
    )


def test_the_port_that_kubernetes_sets_for_a_service_is_not_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PERSIST_PORT", "tcp://10.96.0.1:80")
    assert load().port == 8000


def test_an_unknown_variable_is_named_with_its_nearest() -> None:
    assert unknown_variables({"PERSIST_DATBASE_URL": "x"}) == [
        "PERSIST_DATBASE_URL is not a setting; did you mean PERSIST_DATABASE_URL?"
    ]


def test_an_unknown_variable_without_a_nearest_points_to_the_list() -> None:
    assert "persist serve --help" in unknown_variables({"PERSIST_ZZZZZZ": "x"})[0]


def test_known_foreign_and_kubernetes_variables_pass_without_a_word() -> None:
    foreign = {
        "PERSIST_SERVICE_HOST": "10.0.0.1",
        "PERSIST_PORT_80_TCP": "tcp://10.0.0.1:80",
        "HOME": "/",
    }
    assert (
        unknown_variables({"PERSIST_PORT": "1", "persist_workers": "2", **foreign})
        == []
    )
