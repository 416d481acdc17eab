"""The gap: what an agent told of a run, aligned in time and cause with what ground truth saw of it. Pure."""
