"""What a switch does with a dialplan file: hunt for the extension that matches, then do its actions in order.

mod_dialplan_xml's rules, as far as the dialplans shipped here use them: an extension matches when each of its
conditions does, the first that matches ends the hunt, conditions see the variables as they are when it begins, and
actions are done afterwards. Imports nothing of what it tests.
"""

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

STOPS = ("park", "bridge", "hangup")  # where a caller's leg stays, or ends


@dataclass(frozen=True)
class Stop:
    """Where the actions came to a stop: the application, what it was given, and the variables by then."""

    application: str
    data: str
    variables: dict[str, str]


class Dialplan:
    """The contexts of one file."""

    def __init__(self, file: Path) -> None:
        root = ET.parse(file).getroot()
        self._contexts = {context.attrib["name"]: context for context in root.iter("context")}

    def run(self, context: str, number: str, variables: dict[str, str]) -> Stop:
        """Send a call with these variables into a context. Raises LookupError where no extension matches."""
        for extension in self._contexts[context].iter("extension"):
            actions = _matched(extension, number, variables)
            if actions is not None:
                return _done(actions, dict(variables))
        raise LookupError(f"no extension of {context} matches {number}")


def _matched(extension: ET.Element, number: str, variables: dict[str, str]) -> list[tuple[str, str]] | None:
    actions: list[tuple[str, str]] = []
    for condition in extension.iter("condition"):
        field = condition.get("field", "")
        value = number if field == "destination_number" else _expanded(field, variables)
        match = re.search(condition.get("expression", ""), value)
        if match is None:
            return None
        for action in condition.iter("action"):
            data = action.get("data", "")
            for place in range(match.re.groups, -1, -1):
                data = data.replace(f"${place}", match[place] or "")
            actions.append((action.attrib["application"], data))
    return actions


def _done(actions: list[tuple[str, str]], variables: dict[str, str]) -> Stop:
    for application, data in actions:
        if application in STOPS:
            return Stop(application, _expanded(data, variables), variables)
        name, _, value = data.partition("=")
        if application == "set":
            variables[name] = _expanded(value, variables)
        elif application == "unset":
            variables.pop(name, None)
        else:
            raise LookupError(f"no dialplan shipped here uses {application}")
    raise LookupError("an extension that leaves its caller nowhere")


def _expanded(text: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda name: variables.get(name[1], ""), text)
