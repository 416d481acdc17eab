"""Lying agents for the sandbox: real processes that tell one thing and do another, and honest ones beside them."""
