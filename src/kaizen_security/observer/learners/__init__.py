"""Learners: each one part of what an agent normally does."""
