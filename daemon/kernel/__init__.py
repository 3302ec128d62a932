"""Shared vocabulary: money, instants, numbers dialled, identifiers. Pure; imports nothing of ours."""
