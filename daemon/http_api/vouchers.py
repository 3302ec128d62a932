"""Vouchers over HTTP: a code becomes money or units of an account, once.

Every code that is not redeemed gets one answer, which does not tell whether there is such a voucher; the reason is in
our log. Wrong codes are counted in the store, for each account and token: whoever tries too many has to wait.
"""

import logging
from dataclasses import dataclass

import structlog

from daemon.authorize.catalog import AccountTerms
from daemon.charging.configuration import TokenSpec
from daemon.charging.ports import Counters
from daemon.charging.voucher import FAILURES_SECONDS, Fault, NotRedeemed, Redeemed, RedeemsVouchers
from daemon.http_api.messages import VoucherReply, VoucherRequest
from daemon.http_api.refusal import RequestRefused, conflict, malformed
from daemon.kernel.instant import format_rfc3339
from daemon.kernel.money import format_nano
from daemon.ledger.voucher_code import typed

_log = structlog.get_logger("tollway.http")


@dataclass(frozen=True, slots=True)
class VoucherDesk:
    """Redeems vouchers. Raises RequestRefused and StoreError."""

    store: RedeemsVouchers
    counters: Counters

    async def redeem(self, token: TokenSpec, terms: AccountTerms, request: VoucherRequest) -> VoucherReply:
        """Redeem a code for an account that the token may name."""
        code = typed(request.code)
        if code is None:
            raise malformed("code: a character is wrong, missing, or in another's place")
        by = f"{token.tenant}/{token.id}"
        result = await self.store.redeem_voucher(terms.key, code, token=by, who=f"token {token.id}")
        if isinstance(result, NotRedeemed):
            raise self._refused(result, by, terms)
        self.counters.count("tollway_vouchers_total", outcome="repeated" if result.repeated else "redeemed")
        return _reply(result)

    def _refused(self, result: NotRedeemed, by: str, terms: AccountTerms) -> RequestRefused:
        self.counters.count("tollway_vouchers_total", outcome=result.fault.value)
        # What is refused unseen is counted only: whoever has no more tries could fill the log with them.
        level = logging.DEBUG if result.fault is Fault.LIMITED else logging.WARNING
        _log.log(
            level, "voucher not redeemed", account=str(terms.key), token=by, reason=result.fault.value,
            batch=result.batch, serial=result.serial,
        )  # fmt: skip
        if result.fault is Fault.ACCOUNT:
            return conflict(result.detail)
        if result.fault is Fault.LIMITED:
            wait = ((b"retry-after", str(FAILURES_SECONDS).encode()),)
            detail = f"too many wrong codes were tried: wait up to {FAILURES_SECONDS // 60} minutes"
            return RequestRefused(429, "too_many_codes", detail, wait)
        return RequestRefused(422, "voucher_refused", "this code cannot be redeemed for this account")


def _reply(result: Redeemed) -> VoucherReply:
    terms = result.terms
    return VoucherReply(
        account=result.account.id, tenant=result.account.tenant, batch=result.batch, serial=result.serial,
        amount=format_nano(terms.amount), currency=terms.currency, units=terms.units, bundle=terms.bundle,
        redeemed_at=format_rfc3339(result.at),
    )  # fmt: skip
