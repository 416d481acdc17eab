"""MCP: the chokepoint between an agent and its tool servers. Sees both directions, passes on what it allows byte for byte.

``frames`` reads JSON-RPC, ``relay`` decides what crosses (both without input or output), ``stdio`` and ``http`` carry it. The stdio
shim needs only Python; the gateway needs the server extra.
"""
