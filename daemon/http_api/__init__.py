"""The HTTP interface: questions of dialplans, reports of calls, accounts and top-ups, health and metrics."""
