"""Access that is taken back while a response is being sent (F19)."""

from persist.domain.access import scope_of
from persist.storage.access.keys import Keys
from persist.storage.dialect import dialect_of
from tests.contract.test_keys import bearer, becomes
from tests.hostile.conftest import Target, created
from tests.support.raw import connected

LENGTH = 900_000
RECORDS = 24


def test_an_export_ends_when_its_key_is_revoked(target: Target) -> None:
    keys = Keys(dialect_of(target.database_url))
    secret = keys.create("leaver", [scope_of("large:read")]).secret
    with target.client() as admin:
        for number in range(RECORDS):
            created(admin, "large", {"s": "e" * LENGTH, "n": number})
    becomes({403}, target.server, secret)
    authorization = bearer(secret)["Authorization"]
    with connected(target.url) as connection:
        connection.sendall(
            "GET /api/large/export HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: {authorization}\r\n\r\n".encode()
        )
        received = connection.recv(65_536)
        assert received.startswith(b"HTTP/1.1 200")
        keys.revoke("leaver")
        becomes({401}, target.server, secret)
        total = 0
        while chunk := connection.recv(1_048_576):
            total += len(chunk)
            received = received[-64:] + chunk
    assert not received.endswith(b"0\r\n\r\n")
    with target.client() as admin:
        admin.delete("/api/large?n__gte=0&max_affected=100").raise_for_status()
