"""Adapters for agent frameworks: one file a framework, all over ``base``. Nothing here imports a framework until it is used."""
