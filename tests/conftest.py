"""What tests of several kinds share: a PostgreSQL server of their own."""

from collections.abc import Iterator

import pytest

from tests.integration.postgres_cluster import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Give a PostgreSQL server, started when it is first asked for."""
    made = Cluster()
    try:
        yield made
    finally:
        made.remove()
