"""Generated data, loaded only when a name needs it."""
