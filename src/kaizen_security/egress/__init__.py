"""The egress proxy: every connection of an agent, seen where it leaves. Standard library only."""
