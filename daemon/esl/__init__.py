"""FreeSWITCH by its inbound event socket: bytes to events, events to charges, decisions back to commands."""
