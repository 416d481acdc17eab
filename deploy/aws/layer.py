"""Build the Lambda layer: ``python deploy/aws/layer.py layer.zip``. The same source gives the same bytes.

It holds what runs inside a function (``contract``, ``client``, the layer itself) and needs Python 3.11 or newer and nothing else.
Publish it with ``aws lambda publish-layer-version --zip-file fileb://layer.zip --compatible-runtimes python3.11 python3.12``.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
CARRIED = (
    "kaizen_security/*.py",
    "kaizen_security/contract/**/*.py",
    "kaizen_security/client/**/*.py",
    "kaizen_security/integrations/__init__.py",
    "kaizen_security/integrations/sandbox.py",
    "kaizen_security/integrations/aws_lambda.py",
)
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every entry: the earliest that a ZIP can say."""


def build(target: Path) -> int:
    """Write the layer; how many files it holds."""
    files = sorted({path for pattern in CARRIED for path in SOURCE.glob(pattern)})
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            entry = zipfile.ZipInfo("python/" + path.relative_to(SOURCE).as_posix(), EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    return len(files)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: layer.py TARGET.zip")
    print(f"{build(Path(sys.argv[1]))} files in {sys.argv[1]}")
