"""The egress proxy of Kaizen: ``KAIZEN_API_KEY=… KAIZEN_AGENT=… python egress/proxy.py``. Python 3.11 and nothing else.

It runs the package beside this file, a byte-checked copy of parts of ``src/kaizen_security`` (``sync.py`` makes it).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kaizen_security.egress.main import main

if __name__ == "__main__":
    sys.exit(main())
