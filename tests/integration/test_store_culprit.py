"""A value that no column can hold fails its own caller alone, and the id of a peer belongs to one tenant."""

import asyncio
from pathlib import Path

import pytest

from daemon.charging.configuration import NasSpec, TenantSpec, TokenSpec
from daemon.charging.ports import Book, Message, Reads, StoreError
from daemon.store import open_store
from daemon.store.administration import Refused
from tests.integration.store_world import settings

pytestmark = pytest.mark.usefixtures("engine")

NOW = 1_790_000_000_000_000


async def test_a_value_beyond_a_column_fails_alone(tmp_path: Path) -> None:
    store = await open_store(settings(tmp_path), lambda: NOW, create=True)

    def kept(number: int, at: int) -> "asyncio.Future[int]":
        def decide(book: Book) -> int:
            book.save_message(Message(f"m{number}", b"", b"", at))
            return number

        return asyncio.ensure_future(store.transact(Reads(messages=(f"m{number}",)), decide))

    work = [kept(number, 1 << 70 if number == 5 else NOW) for number in range(32)]
    results = await asyncio.gather(*work, return_exceptions=True)
    await store.close()
    failed = [result for result in results if isinstance(result, BaseException)]
    assert len(failed) == 1
    assert isinstance(failed[0], StoreError)
    assert [result for result in results if result not in failed] == [n for n in range(32) if n != 5]


async def test_one_id_of_a_peer_in_two_tenants_is_refused(tmp_path: Path) -> None:
    store = await open_store(settings(tmp_path), lambda: NOW, create=True)
    mine, yours = NasSpec("gw1", "main", "127.0.0.1", "a"), TokenSpec("gw1", "other", "switch", "0" * 64)
    try:
        await store.apply([TenantSpec("main", "USD"), mine], {}, who="test")
        with pytest.raises(Refused, match="give it another"):
            await store.apply([yours], {}, who="test")
    finally:
        await store.close()
