"""What the sidecar is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kaizen_security.client.config import BASE_URL
from kaizen_security.contract.verdict import Mode
from kaizen_security.observer.canaries import NO_CANARIES, Canaries
from kaizen_security.reasoners.config import NOT_STATED, Configured


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``socket``       the Unix socket's path (mode 0600: whoever may open it is trusted to name the agent)
    ``group``           a group whose users may open it too (mode 0660): agents that run as other users; empty: nobody
    ``host``, ``port``  the loopback address for those who cannot use it; port 0 takes a free one, -1 none
    ``api_url``         the control plane; ``api_key`` the sidecar's own, of scope observer; empty: nothing is sent upstream
    ``data``            directory for baselines, bundles and the spool
    ``before``          the mode until an agent's first bundle has arrived: OBSERVE judges without policy, ENFORCE blocks.
                        Without ``api_key`` it is the mode for good: then the agents' own declarations are all there is
    ``hold_seconds``    how long an action that a person is asked about waits; then it is blocked. 0: nobody is asked
    ``most_agents``     agents held in memory at once
    ``spool_bytes``     what may wait for a control plane that is down
    ``model``           which model is asked what no rule settles (``reasoners.config``); nobody, when nothing is stated
    ``canaries``        values that are bait (``observer.canaries``)
    ``entered``         where ``kaizen attach`` notes into which files it entered hook commands (``setup.entered``); None: nowhere
    ``save_seconds``    how much learning a kill -9 costs at most
    """

    socket: Path
    data: Path
    group: str = ""
    host: str = "127.0.0.1"
    port: int = 8001
    api_url: str = BASE_URL
    api_key: str = ""
    before: Mode = Mode.OBSERVE
    most_agents: int = 256
    spool_bytes: int = 256 << 20
    save_seconds: float = 20.0
    hold_seconds: float = 300.0
    model: Configured = NOT_STATED
    canaries: Canaries = NO_CANARIES
    entered: Path | None = None
