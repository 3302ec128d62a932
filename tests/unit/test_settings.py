"""What logs and messages say of a store's URL."""

import pytest

from daemon.settings import is_server, shown


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:///var/tollway.db", "sqlite:///var/tollway.db"),
        ("postgresql://u:secret@db:5432/t", "postgresql://u@db:5432/t"),
        ("postgresql://u:se@cr:et@db/t", "postgresql://u@db/t"),
        ("postgresql://u@/t?host=/run/postgresql", "postgresql://u@/t?host=/run/postgresql"),
        ("postgresql://db/t", "postgresql://db/t"),
    ],
)
def test_no_password_is_shown(url: str, said: str) -> None:
    assert shown(url) == said
    assert is_server(url) == url.startswith("postgresql")
