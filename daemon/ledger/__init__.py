"""Account balance management (ABMF, 3GPP TS 32.296): who holds what, who has reserved what. Pure."""
