"""Traces that other programs kept of an agent, to recorded runs. Foreign names live here and nowhere else. Pure decoding."""
