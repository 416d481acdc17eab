"""The client: what runs inside the agent. Standard library only."""
