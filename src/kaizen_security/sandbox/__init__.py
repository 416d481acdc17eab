"""The Sandbox: an agent's own account and its real egress, judged against each other beside it. Only verdicts leave."""
