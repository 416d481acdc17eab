"""Attacks on Kaizen itself, against servers and sidecars that these scripts start on loopback.

``python -m tests.attacks [NAME ...]``: each module has ``attack(directory) -> dict``, which raises AssertionError when something
worked that must not, and returns what it tried and how often. docs/explanation/attacks-on-kaizen.md says what came out.
"""
