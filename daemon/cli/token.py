"""``tollway token``: bearer tokens of tenants. Its text is printed once, at creation; only its hash is kept."""

import click

from daemon.app_commands import TokenSpec, clock
from daemon.cli.command import Chosen, as_json, chosen
from daemon.cli.output import print_json, print_table
from daemon.cli.parameters import ID, KEY, REASON, TIME
from daemon.kernel.instant import format_rfc3339

ROLES = ("switch", "billing", "read")


@click.group()
def token() -> None:
    """Create, list and revoke the tokens by which switches and billing systems speak HTTP."""


@token.command()
@click.argument("tenant", type=ID)
@click.option(
    "--role", type=click.Choice(ROLES), required=True,
    help="switch: authorise and report calls; billing: accounts, top-ups, vouchers; read: look only.",
)  # fmt: skip
@click.option("--name", type=ID, default=None, help="Its id, usable as 'via'; made up where not stated.")
@click.option("--expires", type=TIME, help="From when on it is worthless. Default: never.")
@click.option("--trust-user-name", is_flag=True, help="Believe a SIP user that it names without a password.")
@REASON
@as_json
@chosen
def create(
    selected: Chosen, tenant: str, role: str, name: str | None, expires: int | None, trust_user_name: bool,
    reason: str, as_json: bool,
) -> None:  # fmt: skip
    """Create a token of TENANT and print it, this once.

    With --trust-user-name whoever has it may call at the cost of any SIP user of the tenant: for a switch that has
    authenticated its users itself.
    """
    if trust_user_name and role != "switch":
        raise click.UsageError("--trust-user-name is for a token that asks about calls: --role switch")
    made, text = selected.perform(
        lambda store: store.create_token(
            tenant, role, name or "", reason, expires=expires, trust_user_name=trust_user_name
        )
    )
    if as_json:
        told = {"id": made, "tenant": tenant, "role": role, "trust_user_name": trust_user_name}
        print_json({**told, "token": text, "expires_at": _time(expires)})
        return
    click.echo(text)
    click.echo(f"token {tenant}/{made}, role {role}: keep it now, it is not shown again", err=True)


@token.command("list")
@click.option("--tenant", type=ID, help="Only the tokens of one tenant.")
@as_json
@chosen
def list_tokens(selected: Chosen, tenant: str | None, as_json: bool) -> None:
    """List the tokens, without their texts, which nobody keeps."""
    found = [spec for spec in selected.perform(lambda store: store.tokens()) if tenant in (None, spec.tenant)]
    values = [
        {
            "id": spec.id, "tenant": spec.tenant, "role": spec.role, "trust_user_name": spec.trust_user_name,
            "revoked": spec.revoked, "expires_at": _time(spec.expires_at),
        }
        for spec in found
    ]  # fmt: skip
    if as_json:
        print_json(values)
        return
    print_table(
        ("tenant", "id", "role", "trusts", "status", "expires"),
        [
            (
                spec.tenant,
                spec.id,
                spec.role,
                "user name" if spec.trust_user_name else "",
                _status(spec),
                _time(spec.expires_at) or "",
            )
            for spec in found
        ],
    )


def _time(at: int | None) -> str | None:
    return format_rfc3339(at) if at is not None else None


def _status(spec: TokenSpec) -> str:
    if spec.revoked:
        return "revoked"
    return "expired" if spec.expires_at is not None and spec.expires_at <= clock() else "in force"


@token.command()
@click.argument("token_id", metavar="ID", type=KEY)
@REASON
@as_json
@chosen
def revoke(selected: Chosen, token_id: str, reason: str, as_json: bool) -> None:
    """Make a token worthless; a running daemon refuses it within a second."""
    selected.perform(lambda store: store.revoke_token(token_id, reason or "token revoke"))
    if as_json:
        print_json({"id": token_id.rpartition("/")[2], "revoked": True})
        return
    click.echo(f"token {token_id} is revoked")
