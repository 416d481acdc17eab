"""The sidecar: the Observer as a process next to the agent."""
