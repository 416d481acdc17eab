"""The store: where verdicts, agents, policy and keys are kept."""
