"""Outbound HTTP that cannot be pointed inwards."""
