"""The configuration of the tests from outside: a rich account, a RADIUS client on loopback, one deck."""

from pathlib import Path

SECRET = b"loopback-secret"

SCENARIO = """
[[tenant]]
id = "main"
currency = "USD"

[[rate_table]]
id = "retail"
tenant = "main"
currency = "USD"
deck = "deck.csv"

[[rate_plan]]
id = "retail"
tenant = "main"
tables = ["retail"]

[[account]]
id = "rich"
tenant = "main"
kind = "prepaid"
currency = "USD"
balance = "1000000.00"
rate_plan = "retail"
identities = [{ sip_user = "rich", password = "rich-password" }]

[[nas]]
id = "gw1"
tenant = "main"
address = "127.0.0.1"
secret = "loopback-secret"
"""

DECK = "prefix,destination,rate,first_seconds,next_seconds\n44,UK,0.60,1,1\n33,France,0.60,60,60\n"


def write_deck(folder: Path) -> None:
    """Put the deck beside the scenario."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "deck.csv").write_text(DECK)
