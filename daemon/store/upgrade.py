"""Runs alembic's migrations on a SQLite file, in one transaction: a crash leaves the schema that was there."""

import sqlite3
import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

LOCK_SECONDS = 60.0  # seconds to wait for another process that upgrades the same file
LOCK_POLL_SECONDS = 0.01  # between two tries to turn the log on, which another process may be doing too


def configuration() -> Config:
    """Return alembic's configuration: where the migrations are, wherever the package is installed."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def upgrade(path: Path, revision: str = "head") -> None:
    """Bring a store to a revision, this release's schema by default. Raises sqlite3.Error; then all is as it was."""
    engine = create_engine("sqlite://", creator=lambda: _connected(path), poolclass=NullPool)
    # The driver would commit before each CREATE TABLE; so transactions are begun by us.
    event.listen(engine, "begin", _begin)
    event.listen(engine, "connect", _left_alone)
    try:
        with engine.begin() as connection:
            config = configuration()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    except DBAPIError as error:
        raise error.orig if isinstance(error.orig, sqlite3.Error) else error from error
    finally:
        engine.dispose()


def _connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
    _log_ahead(connection)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Turn the write-ahead log on. SQLite does not wait here where two do so at once, whatever its timeout says."""
    ends = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > ends:
                connection.close()
                raise
            time.sleep(LOCK_POLL_SECONDS)
        else:
            return


def _left_alone(connection: DBAPIConnection, _record: object) -> None:
    assert isinstance(connection, sqlite3.Connection), connection
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
