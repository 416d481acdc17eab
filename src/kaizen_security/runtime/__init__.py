"""The runtime: the shell around the Observer (clock, lanes, completion)."""
