"""Kaizen: runtime security for AI agents. It judges what an agent does, never what it says.

The names below are loaded when they are first used, so that importing the package costs an agent nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # by this name type checkers know it; ``typing`` itself would load ``re``, ``enum`` and more
if TYPE_CHECKING:
    from kaizen_security.client.aio import AsyncKaizen
    from kaizen_security.client.client import Kaizen
    from kaizen_security.contract.action import Action
    from kaizen_security.contract.errors import KaizenBlocked, KaizenError
    from kaizen_security.contract.finding import Finding
    from kaizen_security.contract.policy import Policy
    from kaizen_security.contract.verdict import Decision, Verdict

__version__ = "0.1.0"

__all__ = [
    "Kaizen",
    "AsyncKaizen",
    "KaizenBlocked",
    "KaizenError",
    "Action",
    "Verdict",
    "Decision",
    "Finding",
    "Policy",
    "__version__",
]

_HOME = {
    "Kaizen": "kaizen_security.client.client",
    "AsyncKaizen": "kaizen_security.client.aio",
    "KaizenBlocked": "kaizen_security.contract.errors",
    "KaizenError": "kaizen_security.contract.errors",
    "Action": "kaizen_security.contract.action",
    "Verdict": "kaizen_security.contract.verdict",
    "Decision": "kaizen_security.contract.verdict",
    "Finding": "kaizen_security.contract.finding",
    "Policy": "kaizen_security.contract.policy",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
