"""What tests of several kinds share: a PostgreSQL server of their own, a clock, and no deadline for one example.

How long an example takes says how busy the machine is; what must be fast has a bench or a bound of its own.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

import aiosqlite
import pytest
from hypothesis import settings

from daemon.store.commit import Job, Writer
from tests import virtual_time
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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep together what shares a fixture, and begin with what takes long, so that no worker ends long after others."""
    if not hasattr(config, "workerinput"):
        return  # one process runs them all, in the order of their files
    for item in items:
        if _shares(item):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def _shares(item: pytest.Item) -> bool:
    """Tell whether a test has a fixture in common with others of its file."""
    known: Mapping[str, Sequence[Any]] = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009 - it is private
    return any(found[-1].scope == "module" and found[-1].baseid.startswith("tests/") for found in known.values())


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give a test that is marked so a clock that jumps."""
    return virtual_time.loops(item)


class _Told(SimpleQueue[Any]):
    """What a connection for reading asks of its thread."""

    def put_nowait(self, item: Any) -> None:
        super().put_nowait(item)
        if item[0] is not None:
            virtual_time.known(item[0])


@pytest.fixture(autouse=True)
def _the_work_of_threads_takes_no_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a clock that jumps wait for the store's threads, which tell no loop that they are at work."""
    if request.node.get_closest_marker("virtual_time") is None:
        return
    submit, errand, made = Writer.submit, Writer.errand, aiosqlite.Connection.__init__

    def submitted(writer: Writer, job: Job[Any]) -> None:
        submit(writer, job)
        virtual_time.known(job.future)

    def asked(writer: Writer, work: Callable[[], Any]) -> "asyncio.Future[Any]":
        future = errand(writer, work)
        virtual_time.known(future)
        return future

    def told(connection: aiosqlite.Connection, *words: Any, **named: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(aiosqlite.core, "SimpleQueue", _Told)
            made(connection, *words, **named)

    monkeypatch.setattr(Writer, "submit", submitted)
    monkeypatch.setattr(Writer, "errand", asked)
    monkeypatch.setattr(aiosqlite.Connection, "__init__", told)
