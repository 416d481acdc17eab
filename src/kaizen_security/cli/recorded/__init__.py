"""Where recorded lines, and the rules to judge them by, are read from."""
