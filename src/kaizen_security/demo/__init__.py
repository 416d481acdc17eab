"""The demonstration of ``make run``: a real agent with real tools, worked and attacked."""
