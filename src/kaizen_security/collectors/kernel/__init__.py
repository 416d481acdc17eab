"""What an agent's processes really do, seen below them: eBPF programs, fanotify, and the readers of both (rung 4)."""
