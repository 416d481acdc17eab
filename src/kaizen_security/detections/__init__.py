"""Detections: one rule a file, each with its page, its attack class and its examples."""
