"""``tollway db archive`` as an operator runs it: a real process, a real export, and what other commands then say."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from daemon.app_commands import clock
from daemon.kernel.instant import DAY
from daemon.store.archives import month_of
from tests.e2e.daemon_process import tollway
from tests.e2e.test_commands import REFUSED, UNAVAILABLE, USAGE, database, fails, works
from tests.integration.store_world import ACME, URL_FILE, opened, url_of

AGO = 150 * DAY  # more than the four months that are kept at most, the current one among them


@pytest.fixture(params=["sqlite", "postgresql"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a folder with settings, whose store each engine is to keep."""
    if url := database(request):
        (tmp_path / URL_FILE).write_text(url)
    (tmp_path / "tollway.toml").write_text(f'[store]\nurl = "{url_of(tmp_path)}"\narchive = "kept/here"\n')
    return tmp_path


def lived_in(folder: Path) -> str:
    """Charge two calls five months ago; return their month."""
    begun = clock() - AGO

    async def live() -> None:
        async with opened(folder) as world:
            world.now = begun
            await world.whole("c1", 60, ACME)
            await world.whole("c2", 60)

    asyncio.run(live())
    return month_of(begun)


def said(folder: Path, *words: str) -> Any:
    """Return what a command that works prints as JSON."""
    return json.loads(works(tollway(*words, "--json", folder=folder)))


def test_a_month_is_archived_and_still_found(folder: Path) -> None:
    fails(tollway("db", "archive", folder=folder), UNAVAILABLE)
    month = lived_in(folder)
    fails(tollway("db", "archive", folder=folder), REFUSED, "run 'tollway export run' first")
    exported = said(folder, "export", "run")
    before = said(folder, "account", "history", "acme")
    done = said(folder, "db", "archive")
    home = folder / "kept" / "here" / month
    assert done[0].pop("octets") > 0
    assert len(done[0].pop("manifest_sha256")) == 64
    assert done[0] == {
        "month": month, "entries": done[0]["entries"], "calls": 2, "records": 3, "kept": 0, "resumed": False,
        "directory": str(home),
    }  # fmt: skip
    assert all(row["calls"] == 0 for row in done[1:])
    assert "no month is to be archived" in works(tollway("db", "archive", folder=folder))
    after = said(folder, "account", "history", "acme")
    assert [row.pop("archive") for row in after["entries"]].count(month) == len(before["entries"])
    assert after["entries"] == [{name: row[name] for name in row if name != "archive"} for row in before["entries"]]
    assert month in works(tollway("account", "history", "acme", folder=folder))
    (call,) = said(folder, "call", "show", "c1")
    assert (call["archive"], call["charged"]) == (month, "0.60")
    assert month in works(tollway("call", "show", "c2", folder=folder))
    for batch in exported:
        name = f"{batch['tenant']}-{batch['sequence']:08d}"
        assert said(folder, "export", "run", "--again", name)[0]["manifest_sha256"] == batch["manifest_sha256"]
    assert said(folder, "db", "check") == {"holds": True, "findings": []}
    assert {path.stat().st_mode & 0o777 for path in home.iterdir()} == {0o600}
    (home / "call-00001.parquet").unlink()
    fails(tollway("db", "check", folder=folder), REFUSED, f"{month}/call-00001.parquet: it is missing")
    fails(tollway("call", "show", "c1", folder=folder), REFUSED, "missing: put the archive back where it was")


def test_what_cannot_be_archived_is_refused(folder: Path) -> None:
    month = lived_in(folder)
    fails(tollway("db", "archive", "--before", "2026-13", folder=folder), USAGE, "is no month such as 2026-01")
    fails(tollway("db", "archive", "--keep", "0", folder=folder), USAGE)
    works(tollway("export", "run", folder=folder))
    fails(tollway("db", "archive", "--before", "2999-01", folder=folder), REFUSED, "2999-01 is too late")
    assert said(folder, "db", "archive", "--before", month) == []
    assert said(folder, "db", "archive", "--keep", "12") == []


def test_on_a_server_the_folder_has_to_be_stated(folder: Path) -> None:
    lived_in(folder)
    works(tollway("export", "run", folder=folder))
    (folder / "tollway.toml").write_text(f'[store]\nurl = "{url_of(folder)}"\n')
    if (folder / URL_FILE).exists():
        fails(tollway("db", "archive", folder=folder), REFUSED, "say where archives are kept: [store] archive")
    else:
        works(tollway("db", "archive", folder=folder))
        assert (folder / "tollway.archive").is_dir()
