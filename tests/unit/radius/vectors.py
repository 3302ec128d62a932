"""The RADIUS vectors: octets, and what must be read in them, from RFCs, radclient and the sources of switches."""

import json
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parents[2] / "vectors" / "radius_vectors.json"
VECTORS: list[dict[str, Any]] = json.loads(_FILE.read_text(encoding="utf-8"))["vectors"]
PACKETS = [vector for vector in VECTORS if vector["kind"] == "packet"]
DIGESTS = [vector for vector in VECTORS if vector["kind"] == "digest"]
BY_ID = {vector["id"]: vector for vector in VECTORS}


def octets(name: str) -> bytes:
    """Return the packet of a vector."""
    return bytes.fromhex(BY_ID[name]["hex"])
