"""``import kaizen_security.auto``: attach to every agent framework that this process imports, now or later.

The client is the process's own, from the environment (``docs/reference/client.md``). Import it first, or set it with
``python -c "import kaizen_security.auto, runpy; runpy.run_path(…)"``. A framework that cannot be attached to is written to the log
of ``kaizen_security`` as a warning, and goes on as it was; ``attached`` says which ones are.
"""

from kaizen_security.auto.attaching import attached, install

__all__ = ["attached"]

install()
