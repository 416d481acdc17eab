"""Setup: edits the configuration of other programs, so that what they start comes through Kaizen; and undoes it."""
