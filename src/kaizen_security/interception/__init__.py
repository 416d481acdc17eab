"""Payload inspection: TLS opened behind an authority that the customer trusts (docs/how-to/inspect-payloads.md)."""
