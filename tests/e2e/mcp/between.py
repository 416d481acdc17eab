"""A client's command with the gateway before the server that it is given: ``python between.py command… URL``."""

from __future__ import annotations

import subprocess
import sys

gateway = subprocess.Popen(
    [sys.executable, "-m", "kaizen_security.cli", "mcp", "gateway", "--port", "0", "--server", f"peer={sys.argv[-1]}"],
    stdout=subprocess.PIPE,
    text=True,
)
try:
    at = gateway.stdout.readline().split()[-1].rstrip("/")
    sys.exit(subprocess.run([*sys.argv[1:-1], f"{at}/peer/mcp"], check=False).returncode)
finally:
    gateway.terminate()
    gateway.communicate(timeout=20)
