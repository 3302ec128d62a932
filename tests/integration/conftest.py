"""The engines that a store's tests run on: a file of SQLite, and a database of a PostgreSQL of their own."""

from pathlib import Path

import pytest

from tests.integration.postgres_cluster import Cluster
from tests.integration.store_world import URL_FILE


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Have the store of the test's folder kept by each engine in turn."""
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("cluster")
        (tmp_path / URL_FILE).write_text(cluster.database())
    return str(request.param)


@pytest.fixture
def on_postgres(cluster: Cluster, tmp_path: Path) -> str:
    """Have the store of the test's folder kept by PostgreSQL; return its URL."""
    url = cluster.database()
    (tmp_path / URL_FILE).write_text(url)
    return url
