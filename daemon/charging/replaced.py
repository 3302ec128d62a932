"""A second question for an open call: it takes the place of an unanswered grant of the same payer, or of nothing.

What a switch was told stays reserved: a question that is refused, one of another payer, and where the caller chooses
the call id one for another number, leave the first grant as it is (SPEC sections 3, Grant, and 4, Keys).
"""

from dataclasses import dataclass

from daemon.authorize.quote import Quote
from daemon.charging import settle
from daemon.charging.both_sides import let_twin_go, voided
from daemon.charging.call import Call, CallState
from daemon.charging.ports import Book
from daemon.charging.repeats import same_side
from daemon.kernel.instant import Instant


@dataclass(frozen=True, slots=True)
class Replaced:
    """An unanswered grant that a second question takes the place of, and its called side, as both were."""

    call: Call
    twin: Call | None

    def restored(self, book: Book, now: Instant) -> None:
        """Hold again what was let go of: the question was refused, and the switch still has the first limit."""
        for call in (self.call, self.twin):
            if call is not None:
                settle.hold(book, call, now, counts=False)
                book.save_call(call)


def let_replaced_go(book: Book, quote: Quote, now: Instant) -> Replaced | None:
    """Let go of an unanswered grant of the same call, and return it as it was."""
    attempt, payer = quote.attempt, quote.chain[0].key
    for call in reversed(same_side(book, attempt)):
        # Tenants that share an id domain, and payers that share an id, never touch each other's grants.
        if call.state is not CallState.GRANTED or (call.tenant, call.payer) != (attempt.tenant, payer):
            continue
        if attempt.callers_id and call.called != quote.called:
            continue  # another call beside that one, whose limit the switch still has
        twin = book.call(call.twin) if call.twin else None
        let_twin_go(book, call, now)
        book.save_call(voided(book, call, now))
        return Replaced(call, twin if twin is not None and twin.state is CallState.GRANTED else None)
    return None
