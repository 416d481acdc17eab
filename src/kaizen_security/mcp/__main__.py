"""``python -m kaizen_security.mcp``: the same as ``kaizen-mcp``."""

from __future__ import annotations

import sys

from kaizen_security.mcp.main import main

sys.exit(main())
