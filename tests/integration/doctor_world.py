"""A store to be examined, by the real doctor, at an instant of the test's; nothing else of the machine is its own."""

from dataclasses import replace
from pathlib import Path

from daemon.doctor import Examination, Finding, State
from daemon.kernel.instant import Instant
from daemon.settings import ChargingSection, EmergencySection, ExportSection, Listener, Settings
from tests.integration.store_world import START, settings


def settings_of(folder: Path) -> Settings:
    """Return settings whose every file lies in a folder, and which listen nowhere."""
    off = Listener()
    return Settings(
        store=settings(folder), radius_auth=off, radius_acct=off, http=off,
        charging=ChargingSection(postpaid_journal=str(folder / "postpaid.jsonl")),
        emergency=EmergencySection(journal=str(folder / "emergency.jsonl")),
        export=ExportSection(str(folder / "exports")),
    )  # fmt: skip


async def examined(folder: Path, now: Instant = START, **changed: object) -> list[Finding]:
    """Return what the doctor finds."""
    made = replace(settings_of(folder), **changed)  # type: ignore[arg-type]  # names and types of Settings
    return [finding async for finding in Examination(made, lambda: now).findings()]


def about(found: list[Finding], name: str) -> list[Finding]:
    """Return the findings of one probe."""
    return [finding for finding in found if finding.name == name]


def fault(found: list[Finding], name: str) -> tuple[State, str, str]:
    """Return state, fault and what was seen of the one finding of a probe."""
    (finding,) = about(found, name)
    return finding.state, finding.fault, finding.seen
