"""What the daemon says of a failure that goes on, and of a store whose URL names a file that is not there."""

from itertools import pairwise
from pathlib import Path

import pytest

from daemon.app import REPEAT_SECONDS_MAX, Backoff
from daemon.charging.ports import StoreError
from daemon.store.migrate import is_needed
from daemon.store.postgres_link import explained


def test_a_failure_is_told_at_once_and_then_at_growing_intervals() -> None:
    untold = Backoff()
    told = [second for second in range(400) if untold.is_due(float(second))]
    assert told[:7] == [0, 1, 3, 7, 15, 31, 63]
    assert {later - earlier for earlier, later in pairwise(told[6:])} == {int(REPEAT_SECONDS_MAX)}
    untold.ended()
    assert untold.is_due(400.0), "another failure is told at once"


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    url = f"postgresql://u:p@h/d?sslmode=verify-full&sslrootcert={tmp_path}/ca.pem"
    assert f"sslrootcert={tmp_path}/ca.pem" in str(explained(FileNotFoundError(2, "No such file"), url))
    (tmp_path / "ca.pem").touch()
    assert "is it running" in str(explained(FileNotFoundError(2, "No such file"), url))


def test_an_empty_database_says_how_it_gets_its_tables() -> None:
    with pytest.raises(StoreError, match="is empty: 'tollway apply FILE' or 'tollway db upgrade'"):
        is_needed("", "x.db", upgrade=False)
