"""The control plane: API and console."""
