"""The red-team corpus as a script, for what runs it by this name. ``kaizen redteam`` is the same and does more.

With KAIZEN_API_KEY and KAIZEN_API_URL set it runs against that server, else against the Observer in this process.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from kaizen_security.cli import redteam
from kaizen_security.contract.errors import KaizenError

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run the red-team corpus and print its scorecard.")
    redteam.add_arguments(parser, from_environment=True)
    try:
        sys.exit(redteam.run(parser.parse_args()))
    except KaizenError as err:
        sys.exit(f"corpus: {err}")
