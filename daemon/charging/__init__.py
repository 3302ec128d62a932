"""Online charging function (OCF, 3GPP TS 32.296): initial, update, terminate. Awaits ports; owns no socket, no SQL."""
