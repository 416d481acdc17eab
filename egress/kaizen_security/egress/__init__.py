"""The egress proxy: sees every connection of an agent whose traffic is routed through it. Standard library only."""
