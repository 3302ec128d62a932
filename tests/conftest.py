"""What tests of several kinds share: a PostgreSQL server of their own, and no deadline for one example.

How long an example takes says how busy the machine is; what must be fast has a bench or a bound of its own.
"""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.integration.postgres_cluster import Cluster

settings.register_profile("tollway", deadline=None)
settings.load_profile("tollway")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Give a PostgreSQL server, started when it is first asked for."""
    made = Cluster()
    try:
        yield made
    finally:
        made.remove()
