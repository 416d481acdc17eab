"""Exports: verdicts in the form that other systems take. Encoding is pure; ``runtime.outbox`` delivers."""
