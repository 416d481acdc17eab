"""``python -m kaizen_security.cli`` is ``kaizen``."""

import sys

from kaizen_security.cli import main

sys.exit(main())
