"""The hook command of coding assistants: ``python -I -S …/hook.py --socket PATH --agent NAME [--mode enforce]``.

Python compiles the file that it is started with anew for every event, so this one is short; what it does is in ``hook_client``.
"""

import sys

if __name__ == "__main__":
    # The folder above the package; ``os.path`` would be one more module to load, and is asked only for a short relative path.
    above = __file__.replace("\\", "/").rsplit("/", 3)
    if len(above) < 4:
        import os

        above = os.path.abspath(__file__).replace("\\", "/").rsplit("/", 3)
    sys.path.insert(0, above[0] or "/")
    from kaizen_security.integrations.hook_client import main

    sys.exit(main(sys.argv[1:]))
