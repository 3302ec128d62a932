"""``tollway export``: the hand-off to invoicing, its list, and the walk along its chain."""

from pathlib import Path
from typing import Any

import click

from daemon.app_commands import (
    Exported,
    ExportError,
    ExportRefused,
    ExportUnavailable,
    ListedBatch,
    Opened,
    sequence_of,
)
from daemon.cli.command import Chosen, as_json, chosen
from daemon.cli.failure import Refused, Unavailable
from daemon.cli.output import print_json, print_table, working
from daemon.cli.parameters import ID
from daemon.kernel.instant import format_rfc3339


@click.group()
def export() -> None:
    """Hand rated usage to invoicing, and verify what was handed off."""


def _exported(result: Exported | ExportRefused) -> dict[str, Any]:
    if isinstance(result, ExportRefused):
        return {"tenant": result.tenant, "sequence": result.sequence, "result": "refused", "reason": result.reason}
    return {
        "tenant": result.tenant, "sequence": result.sequence, "result": "exported", "resumed": result.resumed,
        "directory": str(result.directory), "records": result.records, "totals": result.totals,
        "manifest_sha256": result.manifest_sha256,
    }  # fmt: skip


@export.command()
@click.option("--again", metavar="TENANT-SEQUENCE", help="Write one finished batch once more: the same bytes.")
@click.option(
    "--directory", type=click.Path(path_type=Path, file_okay=False), help="With --again: below another folder."
)
@as_json
@chosen
def run(selected: Chosen, again: str | None, directory: Path | None, as_json: bool) -> None:
    """Write a batch for every tenant of all that was recorded since its last one; finish an interrupted one first."""
    if directory is not None and again is None:
        raise click.UsageError("--directory belongs to --again")
    try:
        results = _handed_off(selected) if again is None else [_again(selected, again, directory)]
    except ExportUnavailable as error:
        raise Unavailable(str(error)) from error
    except ExportError as error:
        raise Refused(str(error)) from error
    if as_json:
        print_json([_exported(result) for result in results])
    else:
        for result in results:
            _print_exported(result, " (resumed)" if again is None else " (written again)")
    refused = [result for result in results if isinstance(result, ExportRefused)]
    if refused:
        raise Refused(*(f"{result.tenant} batch {result.sequence}: {result.reason}" for result in refused))


def _handed_off(selected: Chosen) -> list[Exported | ExportRefused]:
    with working("exporting") as show:

        def progress(tenant: str, records: int) -> None:
            show(f"exporting {tenant}: {records} records")

        return selected.perform(lambda store: store.export_run(progress))


def _again(selected: Chosen, name: str, directory: Path | None) -> Exported:
    tenant = name.rpartition("-")[0]
    sequence = sequence_of(tenant, name)
    if not sequence:
        raise click.BadParameter(f"{name!r} is not TENANT-SEQUENCE, such as main-00000001", param_hint="--again")
    return selected.perform(lambda store: store.export_again(tenant, sequence, directory))


def _print_exported(result: Exported | ExportRefused, anew: str) -> None:
    if isinstance(result, ExportRefused):
        return
    totals = ", ".join(f"charge {total.charge} cost {total.cost} {total.currency}" for total in result.totals)
    begun_before = anew if result.resumed else ""
    click.echo(f"{result.directory}: {result.records} records{begun_before}{': ' + totals if totals else ''}")


@export.command("list")
@click.option("--tenant", type=ID, help="Only the batches of one tenant.")
@as_json
@chosen
def list_exports(selected: Chosen, tenant: str | None, as_json: bool) -> None:
    """List the batches: period, records, totals, state."""
    batches = selected.perform(lambda store: _listed(store, tenant))
    values = [_batch(batch) for batch in batches]
    if as_json:
        print_json(values)
        return
    rows = [
        (v["tenant"], v["sequence"], v["state"], v["from"], v["until"], v["records"], _totals(batch))
        for v, batch in zip(values, batches, strict=True)
    ]
    print_table(("tenant", "sequence", "state", "from", "until", "records", "charge"), rows, numbers=("records",))


async def _listed(store: Opened, tenant: str | None) -> list[ListedBatch]:
    await store.known_tenant(tenant)
    return await store.export_list(tenant or "")


def _totals(batch: ListedBatch) -> str:
    return ", ".join(f"{total.charge} {total.currency}" for total in batch.totals)


def _batch(batch: ListedBatch) -> dict[str, Any]:
    return {
        "tenant": batch.tenant, "sequence": batch.sequence, "state": batch.state,
        "created_at": format_rfc3339(batch.created_at), "from": format_rfc3339(batch.begins),
        "until": format_rfc3339(batch.until), "directory": str(batch.directory), "records": batch.records,
        "totals": batch.totals, "manifest_sha256": batch.manifest_sha256,
    }  # fmt: skip


@export.command()
@click.option("--tenant", type=ID, help="Only the chain of one tenant.")
@as_json
@chosen
def verify(selected: Chosen, tenant: str | None, as_json: bool) -> None:
    """Walk every chain of batches and name what was altered, is missing, or was put there by somebody else."""

    async def walk(store: Opened) -> list[Any]:
        await store.known_tenant(tenant)
        return await store.export_verify(tenant or "")

    findings = selected.perform(walk)
    if as_json:
        print_json(
            [
                {
                    "fault": finding.fault.value, "tenant": finding.tenant, "sequence": finding.sequence,
                    "name": finding.name, "detail": finding.detail,
                }
                for finding in findings
            ]
        )  # fmt: skip
    elif not findings:
        click.echo("every batch is as it was handed off")
    if findings:
        raise Refused(*map(str, findings))
