"""Rating function (RF, 3GPP TS 32.296): what does a call cost, how long does the money last. Pure."""
