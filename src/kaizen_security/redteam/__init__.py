"""The red-team corpus: runnable attacks with benign twins."""
