"""Runs alembic's migrations on a PostgreSQL database, in one transaction: a crash leaves the schema that was there."""

import asyncio
from functools import partial

import asyncpg
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from daemon.store.postgres_link import CONNECT_SECONDS, DRIVER_ERRORS, WRITING
from daemon.store.postgres_statements import LOCK_ADMINISTRATION
from daemon.store.upgrade import configuration

LOCK_SECONDS = 60.0  # to wait for another process that upgrades the same database, or charges in it


def upgrade(url: str, revision: str = "head") -> None:
    """Bring a database to a revision. Raises what the driver raises; then all is as it was."""
    asyncio.run(_upgraded(url, revision))


async def _upgraded(url: str, revision: str) -> None:
    settings = {**WRITING, "lock_timeout": f"{LOCK_SECONDS * 1000:.0f}"}
    connect = partial(asyncpg.connect, url, timeout=CONNECT_SECONDS, server_settings=settings)
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(LOCK_ADMINISTRATION))
            await connection.run_sync(_run, revision)
    except DBAPIError as error:
        cause = error.orig.__cause__ if error.orig is not None else None
        raise cause if isinstance(cause, DRIVER_ERRORS) else error from error
    finally:
        await engine.dispose()


def _run(connection: Connection, revision: str) -> None:
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
