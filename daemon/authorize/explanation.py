"""A decision told rule by rule, to one viewer: every rule of SPEC section 3 in its order, also those not asked.

A tenant sees the figures of its own level: its terms with the account that pays there, what it sells and buys at. What
is above or below is one line without figures. Carriers and their prices are the uppermost tenant's.
The words are made of the trace that the decision itself wrote; nothing here decides. A rule's name never changes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from daemon.authorize.decision import Decision, Denied, Level, Rule
from daemon.authorize.denial import Denial
from daemon.authorize.quote import Trace
from daemon.kernel.ids import Key
from daemon.kernel.money import format_nano


class Outcome(Enum):
    """What became of a rule in one decision."""

    PASSED = "passed"
    LEFT_OUT = "left_out"
    REFUSED = "refused"
    NOT_APPLICABLE = "not_applicable"
    NOT_ASKED = "not_asked"


@dataclass(frozen=True, slots=True)
class RuleText:
    """A rule: its name for programs, what it asks, why it may take no part, and the codes that it refuses with."""

    name: str
    question: str
    absent: str
    codes: tuple[Denial, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """A rule as it is told; ``level`` is the account whose rule it is, None where it is that of the whole call."""

    rule: str
    question: str
    outcome: Outcome
    detail: str
    level: Key | None = None


RULES = (
    RuleText("emergency", "Is it an emergency number?", "it is none, so every rule below applies"),
    RuleText("downstream", "Do the levels below let it pass?", "none below takes part"),
    RuleText(
        "account", "Who pays?", "an account claims this user, and its password decides",
        (Denial.ACCOUNT_UNKNOWN, Denial.ACCOUNT_AMBIGUOUS),
    ),
    RuleText(
        "credential", "Is the password right?", "the call was found without a password",
        (Denial.CREDENTIAL_WRONG,),
    ),
    RuleText(
        "status", "Is the account active?", "nobody pays", (Denial.ACCOUNT_SUSPENDED, Denial.ACCOUNT_CLOSED)
    ),
    RuleText("fraud", "Is fraud suspected?", "no rule against fraud bears on this call", (Denial.FRAUD_SUSPECTED,)),
    RuleText(
        "destination", "Is the called number one?", "it has 1 to 18 digits", (Denial.DESTINATION_MALFORMED,)
    ),
    RuleText(
        "rate", "What does the call cost?", "an emergency call is not priced beforehand",
        (Denial.DESTINATION_BLOCKED, Denial.DESTINATION_UNRATED),
    ),
    RuleText("cost", "What does the seller pay for it?", "the seller buys it from nobody whom we know"),
    RuleText(
        "carrier", "Who carries it?", "the daemon chooses no carrier for this call", (Denial.NO_CARRIER,)
    ),
    RuleText("tier", "Which tier has the period's volume reached?", "the rate has no tiers"),
    RuleText("bundle", "Which units are used before money?", "no bundle with units left bears on this number"),
    RuleText(
        "calls_per_second", "Do calls begin too fast?", "the account has no limit of calls a second",
        (Denial.CALLS_PER_SECOND,),
    ),
    RuleText("channels", "Is a channel free?", "the account has no limit of channels", (Denial.CHANNELS,)),
    RuleText(
        "channel_surcharge", "Is it a call over the channels that pays more?",
        "the call pays nothing beside its price",
    ),
    RuleText(
        "max_call_charge", "Is the call too dear?", "the account has no limit of what a call may cost",
        (Denial.CALL_TOO_DEAR,),
    ),
    RuleText(
        "carrier_calls_per_second", "May a carrier be sent one call more in this second?",
        "no carrier was left out for its calls a second",
    ),
    RuleText(
        "carrier_channels", "Has a carrier a channel left?", "no carrier was left out for want of one"
    ),
    RuleText("conversion", "Can prices be compared?", "every price is in a currency that can be compared"),
    RuleText(
        "margin", "Does every seller keep his margin?", "no floor bears on a call that the daemon does not route",
        (Denial.MARGIN_BELOW_FLOOR,),
    ),
    RuleText(
        "daily_spend", "Is the day's spend used up?", "no limit of a day shortens this call",
        (Denial.DAILY_SPEND,),
    ),
    RuleText(
        "monthly_spend", "Is the month's spend used up?", "no limit of a month shortens this call",
        (Denial.MONTHLY_SPEND,),
    ),
    RuleText(
        "balance", "Is there money for the call?", "an emergency call waits for no money",
        (Denial.BALANCE_INSUFFICIENT,),
    ),
    RuleText("upstream", "Do the levels above let it pass?", "there is none above",
             (Denial.UPSTREAM_REFUSED,)),
    RuleText("grant", "How long may it last?", "nothing was granted"),
    RuleText("store", "Could it be written down?", "an explanation writes nothing", (Denial.STORE_UNAVAILABLE,)),
    RuleText("load", "Has the daemon time for it?", "there was time for this question", (Denial.OVERLOADED,)),
)  # fmt: skip
NAMES = tuple(text.name for text in RULES)
# Of the whole chain: refused to all of it alike.
_SHARED = frozenset({"carrier", "carrier_calls_per_second", "carrier_channels", "margin"})

# Asked before fraud rules are, although they stand behind: what has no price is not held against them.
_BEFORE_FRAUD = frozenset({"destination", "rate", "carrier"})


def told(trace: Trace, decision: Decision, viewer: str | None) -> tuple[Told, ...]:
    """Return every rule of a decision in its order as a tenant may see it; ``viewer`` None is the operator."""
    payer = payer_of(decision)
    telling = _Telling(decision, viewer, payer, _stopped_at(trace, decision))
    return tuple(telling.lines(trace))


def payer_of(decision: Decision) -> Key | None:
    """Return the account that pays, or that was refused; None where none was found."""
    if isinstance(decision, Denied):
        return decision.account
    return decision.levels[0].key if decision.levels else None


def _stopped_at(trace: Trace, decision: Decision) -> str | None:
    """Return the rule that ended the decision before all were asked, None where none did."""
    if not isinstance(decision, Denied):
        return "emergency" if decision.emergency else None
    if decision.denial is Denial.CREDENTIAL_WRONG:
        return "credential"
    return trace[-1].name


@dataclass(frozen=True, slots=True)
class _Telling:
    """One decision, told to one viewer. ``stopped`` is the rule that ended it."""

    decision: Decision
    viewer: str | None
    payer: Key | None
    stopped: str | None

    @property
    def above_payer(self) -> bool:
        """Tell whether the viewer is a tenant above the one whose account pays."""
        return self.viewer is not None and self.payer is not None and self.payer.tenant != self.viewer

    def lines(self, trace: Trace) -> Iterator[Told]:
        """Yield what is told, in order; the levels above stand before the line that sums them up."""
        over = False
        for text in RULES:
            if text.name == "upstream" and not over:
                yield from self._levels_above(trace)
            yield from self._rule(text, trace, over)
            over = over or text.name == self.stopped

    def _rule(self, text: RuleText, trace: Trace, over: bool) -> Iterator[Told]:
        if text.name == "downstream":
            yield from self._downstream(text)
        elif self._hidden(text.name):
            return
        elif over or (text.name == "fraud" and self.stopped in _BEFORE_FRAUD):
            yield _line(text, Outcome.NOT_ASKED, f"not asked: {self._ended_by()}")
        else:
            yield from self._taken(text, trace)

    def _ended_by(self) -> str:
        granted = not isinstance(self.decision, Denied)
        return "an emergency number is granted from memory" if granted else f"{self._shown_stop()} refused before"

    def _shown_stop(self) -> str:
        """Return the rule that refused, as far as the viewer may know it."""
        stopped = self.stopped or ""
        return "downstream" if self._hidden(stopped) or (self.above_payer and stopped == "rate") else stopped

    def _hidden(self, name: str) -> bool:
        """Tell whether a rule is the payer's affair, and the viewer another level."""
        return self.above_payer and name not in _SHARED | {"emergency", "cost", "rate", "upstream", "grant"}

    def _taken(self, text: RuleText, trace: Trace) -> Iterator[Told]:
        """Yield the lines of a rule that was reached."""
        found = [rule for rule in trace if _name(rule, self.stopped) == text.name and not _is_above(rule)]
        seen = [rule for rule in found if self._may_see(rule)]
        for rule in seen:
            yield _line(text, _outcome(rule, trace), self._words(rule), rule.level)
        if not seen and not (found and all(rule.level is not None for rule in found)):
            yield from self._unsaid(text)

    def _unsaid(self, text: RuleText) -> Iterator[Told]:
        level = self._own_level() if text.name == "grant" else None
        if level is not None:
            held = f"{format_nano(level.reserved)} {level.currency} reserved"
            yield _line(text, Outcome.PASSED, f"{self._seconds()} seconds, {held}", level.key)
        elif text.name == "upstream" and self._has_above():
            yield _line(text, Outcome.PASSED, "they let it pass")
        elif not self.above_payer or text.name == "upstream":
            yield _line(text, Outcome.NOT_APPLICABLE, text.absent)

    def _has_above(self) -> bool:
        """Tell whether levels above the viewer's own paid for the call as well."""
        levels = () if isinstance(self.decision, Denied) else self.decision.levels
        own = self._own_level() or next(iter(levels), None)
        return own is not None and own is not levels[-1]

    def _seconds(self) -> int:
        return 0 if isinstance(self.decision, Denied) else self.decision.seconds

    def _own_level(self) -> Level | None:
        levels = () if isinstance(self.decision, Denied) else self.decision.levels
        return seen_level(levels, self.viewer or "")

    def _may_see(self, rule: Rule) -> bool:
        if self.viewer is None:
            return True
        if rule.level is not None:
            return rule.level.tenant == self.viewer
        return not self.above_payer or rule.name == "upstream" or (not rule.passed and rule.name in _SHARED)

    def _words(self, rule: Rule) -> str:
        """Return a rule's detail; who is not the carriers' owner learns of a shared refusal no more than its code."""
        shared = not rule.passed and rule.level is None and rule.name in _SHARED and self.viewer is not None
        if not shared or not isinstance(self.decision, Denied):
            return rule.detail
        return f"{self.decision.denial.value}: {_WITHOUT_FIGURES[rule.name]}"

    def _downstream(self, text: RuleText) -> Iterator[Told]:
        if not self.above_payer:
            return
        if not isinstance(self.decision, Denied) or self.stopped in _SHARED | {"upstream"}:
            yield _line(text, Outcome.PASSED, "the levels below let the call pass")
        else:
            yield _line(text, Outcome.REFUSED, f"refused below: {self.decision.denial.value}")

    def _levels_above(self, trace: Trace) -> Iterator[Told]:
        for rule in filter(_is_above, trace):
            if self._may_see(rule):
                yield _line(_text(rule.name), _outcome(rule, trace), rule.detail, rule.level)


def _line(text: RuleText, outcome: Outcome, detail: str, level: Key | None = None) -> Told:
    return Told(text.name, text.question, outcome, detail, level)


_WITHOUT_FIGURES = {
    "carrier": "no carrier has a rate in force for the number",
    "carrier_calls_per_second": "no carrier may be sent one call more in this second",
    "carrier_channels": "no carrier has a channel left",
    "margin": "no carrier leaves the margin that a level of the chain asks for",
}
assert _WITHOUT_FIGURES.keys() == _SHARED
_OF_ONE_SUPPLIER = frozenset({"margin", "conversion", "carrier_calls_per_second", "carrier_channels"})
_LEVELLED = _OF_ONE_SUPPLIER | {"carrier", "cost", "rate"}  # stand in their own place, not upstream


def _outcome(rule: Rule, trace: Trace) -> Outcome:
    """Return what became of a rule; a supplier that falls short is left out, and refuses only with the last one."""
    if rule.passed:
        return Outcome.PASSED
    return Outcome.LEFT_OUT if rule.name in _OF_ONE_SUPPLIER and rule is not trace[-1] else Outcome.REFUSED


def _is_above(rule: Rule) -> bool:
    return rule.level is not None and rule.name not in _LEVELLED


def _name(rule: Rule, stopped: str | None) -> str:
    return "credential" if stopped == "credential" and rule.name == "account" else rule.name


def _text(name: str) -> RuleText:
    return RULES[NAMES.index(name)]


def seen_level(levels: Sequence[Level], tenant: str) -> Level | None:
    """Return the level that a tenant sells at, None where the call is none of its business."""
    return next((level for level in levels if level.key.tenant == tenant), None)
