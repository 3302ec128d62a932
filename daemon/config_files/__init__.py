"""Settings and scenario files: TOML with positions; every fault of a file at once, each with its line and the mend."""
