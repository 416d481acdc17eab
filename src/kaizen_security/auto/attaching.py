"""Attach to whatever is imported: what ``import kaizen_security.auto`` does.

A finder at the front of ``sys.meta_path`` sees a framework's top module being imported; when it has been, the adapter attaches.
Nothing is imported that the host does not import.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

log = logging.getLogger("kaizen_security")

ADAPTERS: Final = {
    "agents": "openai_agents",
    "langchain_core": "langchain",
    "pydantic_ai": "pydantic_ai",
    "crewai": "crewai",
    "google.adk": "google_adk",
    "llama_index.core": "llamaindex",
    "semantic_kernel": "semantic_kernel",
}
"""A framework's top module to the adapter that can attach to all of it; the others need an object of yours: see the reference."""

attached: Final[dict[str, str]] = {}
"""Adapters by name, and what came of attaching: ``attached``, or why not."""


def install() -> None:
    """Attach to what is imported already, and watch for the rest. The second time it does nothing."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())
    for module, adapter in ADAPTERS.items():
        if module in sys.modules:
            attach(adapter)


def attach(adapter: str) -> None:
    """Attach one adapter to the client of this process. What keeps it from that is logged, and raised nowhere."""
    if adapter in attached:
        return
    attached[adapter] = "attaching"
    try:
        importlib.import_module(f"kaizen_security.integrations.{adapter}").attach()
        attached[adapter] = "attached"
    except Exception as err:  # noqa: BLE001  # a listed boundary
        # The host imports a framework, and must get it, whatever is wrong with us or our settings.
        attached[adapter] = f"{type(err).__name__}: {err}"
        log.warning("kaizen is not attached to %s: %s", adapter, err)


class _Finder(MetaPathFinder):
    """Lets the others find the module, and has a word when it was loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        adapter = ADAPTERS.get(fullname)
        if adapter is None or adapter in attached:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, lambda: attach(adapter))
                return spec
        return None


class _Loader(Loader):
    """The module's own loader, and then a word of ours."""

    def __init__(self, loader: Loader, then: Callable[[], None]) -> None:
        self._loader = loader
        self._then = then

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        # What follows may ask the module for its loader (resources, inspection): its own one, not this.
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._then()
