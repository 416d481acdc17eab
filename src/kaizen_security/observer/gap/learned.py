"""Places that the first runs of an agent went to beside what was told: learned, so that they are no gap later.

Nothing is learned after ``runs`` runs, nor where the owner has said which destinations are right and this is none of them: what is
learned stands for an owner who has not said. Its poisoning budget is ``ENOUGH``: who takes part in that many of the first runs
teaches a place.
"""

from __future__ import annotations

from collections.abc import Iterable

from kaizen_security.contract.action import Json

ENOUGH = 3
"""Runs in which a place has to be seen."""
MOST = 2048
VISITED = 1024
"""Hosts that the agent was seen at which are remembered, the last."""
MARGIN = 4
"""Times the most that was seen is what may be sent."""


class Learned:
    """``runs``: how many runs teach."""

    def __init__(self, runs: int) -> None:
        self.runs = runs
        self.seen = 0
        self.forgotten = 0
        self._places: dict[tuple[str, str], int] = {}
        self._bytes: dict[str, int] = {}
        self._visited: dict[str, None] = {}

    @property
    def learning(self) -> bool:
        """Whether what no call explains is still learned."""
        return self.seen < self.runs

    def knows(self, tool: str, host: str) -> bool:
        """Whether the tool (``""``: the agent, outside of any call) goes there by habit."""
        return bool(self._places) and self._places.get((tool, host), 0) >= ENOUGH

    def most(self, host: str) -> int:
        """Bytes that a run may send there by habit; 0: too few runs went there."""
        return MARGIN * self._bytes[host] if not self.learning and host in self._bytes else 0

    def visit(self, host: str) -> None:
        """A call was seen there. Remembered whatever ``runs`` says: a cache may hold what it brought."""
        self._visited.pop(host, None)
        self._visited[host] = None
        if len(self._visited) > VISITED:
            del self._visited[next(iter(self._visited))]

    def visited(self, host: str) -> bool:
        """Whether a call was ever seen there."""
        return host in self._visited

    def run(self, strange: Iterable[tuple[str, str]], sent: Iterable[tuple[str, int]]) -> None:
        """A run is over in which nothing was wrong: ``strange`` is what no call explained, ``sent`` bytes by host."""
        if not self.learning:
            return
        self.seen += 1
        for key in strange:
            if key in self._places or len(self._places) < MOST:
                self._places[key] = self._places.get(key, 0) + 1
            else:
                self.forgotten += 1
        for host, size in sent:
            if host in self._bytes or len(self._bytes) < MOST:
                self._bytes[host] = max(self._bytes.get(host, 0), size)

    def to_json(self) -> dict[str, Json]:
        """``from_json`` gives it back."""
        return {
            "seen": self.seen,
            "places": [[tool, host, count] for (tool, host), count in self._places.items()],
            "bytes": dict(self._bytes.items()),
            "visited": list(self._visited),
        }

    @classmethod
    def from_json(cls, document: dict[str, Json], runs: int) -> Learned:
        """Raises ValueError for what ``to_json`` did not write."""
        made = cls(runs)
        match document:
            case {"seen": int(count), "places": [*places], "bytes": dict(sizes)}:
                made.seen = count
            case _:
                raise ValueError("what was learned cannot be read")
        for row in places[:MOST]:
            match row:
                case [str(tool), str(host), int(times)]:
                    made._places[tool, host] = times
                case _:
                    raise ValueError("what was learned cannot be read")
        made._bytes = {host: size for host, size in list(sizes.items())[:MOST] if isinstance(size, int)}
        visited = document.get("visited")
        made._visited = (
            {host: None for host in visited[-VISITED:] if isinstance(host, str)} if isinstance(visited, list) else {}
        )
        return made
