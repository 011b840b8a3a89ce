"""Which database URLs are read, and what of them is repeated."""

import pytest

from persist.storage.dialect import dialect_of

HOST = "postgresql://db.example"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (f"{HOST}/shop", f"{HOST}/shop"),
        ("postgres://bob:S3cret@db.example/shop", f"{HOST}/shop"),
        ("postgresql+psycopg://bob:S3cret@db.example/shop", f"{HOST}/shop"),
        ("postgresql://bob:a%2Fb%40c%25@db.example:5433/shop", f"{HOST}:5433/shop"),
        ("postgresql://bob:a?b#c:d@db.example/shop", f"{HOST}/shop"),
        ("postgresql://postgres:@/postgres?host=/tmp/x@y", "postgresql:///postgres"),
        ("postgresql://bob@h1:1,h2:2/shop", "postgresql://h1:1,h2:2/shop"),
        ("postgresql://bob@[::1]:5432/shop", "postgresql://[::1]:5432/shop"),
        (f"{HOST}?password=S3cret", HOST),
        ("postgresql://", "postgresql://"),
    ],
)
def test_an_address_is_the_url_without_its_secrets(url: str, address: str) -> None:
    assert dialect_of(url).address == address


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://bob:S3cret/pw@db.example/shop",
        "postgresql://bob:S3cret@pw@db.example/shop",
        "postgresql://bob:S3cret%zz@db.example/shop",
        "postgresql://bob:S3cret%@db.example/shop",
        "postgresql://bob:S3cret%00@db.example/shop",
        "postgresql://bob:123/S3cret@db.example/shop",
        "postgresql://bob@db.example:S3cret/shop",
        f"{HOST}/shop?password=S3cret%zz",
        "S3cret@pw://db.example",
        "mysql://bob:S3cret@db.example/shop",
        "sqlite://bob:S3cret@",
        "sqlite://S3cret/shop.db",
        "sqlite://bob:S3cret@host:S3cret/x",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|unknown|SQLite") as caught:
        dialect_of(url)
    assert "S3cret" not in str(caught.value)
