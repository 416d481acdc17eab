"""Declaration: a tool, a destination or a class of data that the agent never declared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.declaration import DataClass, Declaration
from kaizen_security.contract.declared import UNDECLARED_DATA
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.step import Request, Result
from kaizen_security.contract.verdict import Mode
from kaizen_security.observer.carried import Carried, Piece, Spot, for_credentials
from kaizen_security.observer.credentials import find
from kaizen_security.observer.data import classes, many, people
from kaizen_security.observer.detection import About, Context, Example, Status
from kaizen_security.observer.marks import Marks, opens_credentials

ABOUT = About(
    name="declaration",
    title="Undeclared capability",
    says=(
        "The agent has declared its tools, its destinations or its classes of data, and this one is not among them. Data are told "
        "by their shape, in what a run reads and in what its actions send; what a reading was said to be sensitive for is a class "
        "of its own. A class that was read is found once, at the next action; what the user brings himself is none."
    ),
    status=Status.STABLE,
    attacks=("undeclared", "scope-creep", "injection"),
    misses=(
        "An attack with declared tools on declared hosts; a dimension that was never declared. Data without a shape of their own "
        "(a diagnosis, a salary) unless their reading is marked as sensitive; what was read where no results are heard."
    ),
    advice="If the agent needs it, add it to its declaration; else look at the run that led here.",
)


def detect(action: Action, context: Context) -> Iterator[Finding]:
    """The findings of the compiled declaration, then the classes of data: those sent, those read."""
    for one in context.looked.undeclared:
        yield one if one.detection == "declaration" else replace(one, detection="declaration")
    declared = context.rules.declared.data
    if not declared:
        return
    marks = None if context.run is None else context.run.marks
    found = {} if context.load is None else _sent(context.load.carried)
    found = _opened(action) | found
    if marks is not None:
        found = _read(marks) | {name: where for name, where in found.items() if name not in marks.given}
    for name, (field, where) in found.items():
        if name not in declared:
            yield _finding(name, field, where, declared)


def _opened(action: Action) -> dict[DataClass, tuple[str, str]]:
    found = {}
    if action.sensitive:
        found[DataClass.MARKED] = ("metadata.sensitive", "its reading was marked sensitive")
    if opens_credentials(action):
        found[DataClass.CREDENTIALS] = ("target", "it opens a file that is made for credentials")
    return found


def _sent(carried: Carried) -> dict[DataClass, tuple[str, str]]:
    found: dict[DataClass, tuple[str, str]] = {}
    if not carried.leaves:
        return found
    persons: set[int] = set()
    for piece in carried.pieces:
        for name in classes(piece.text, () if _at_home(piece) else find(piece.text, piece.longest)):
            found.setdefault(
                name, (piece.field, f"sent in the {piece.spot}" + (f", as {piece.form}" if piece.form else ""))
            )
        if not many(persons):
            persons.update(map(hash, people(piece.text)))
            if many(persons):
                found.setdefault(DataClass.CONTACTS, (piece.field, "sent, of several people"))
    return found


def _at_home(piece: Piece) -> bool:
    # An agent's own key in the field that is made for it is how it signs in, and no data that it handles.
    return for_credentials(piece.name) or piece.spot is Spot.USER


def _read(marks: Marks) -> dict[DataClass, tuple[str, str]]:
    return {
        name: ("run", f"read: in {origin.part[:100]} of a result of {origin.source.tool[:100] or 'a tool'}")
        for name, origin in marks.classes.items()
        if name not in marks.passed and name not in marks.given
    }


def _finding(name: DataClass, field: str, where: str, declared: frozenset[DataClass]) -> Finding:
    return Finding(
        kind=UNDECLARED_DATA,
        value=name.value,
        source="declaration",
        detection=ABOUT.name,
        field=field[:256],
        expected=f"one of the {len(declared)} declared classes of data: {', '.join(sorted(declared))}",
        observed=f"{name.value}, {where}",
        advice="If the agent is to handle such data, declare the class; else look at what it read and why.",
        attack="undeclared",
    )


_DECLARED = Declaration(tools=("search", "send_mail"), destinations=("api.example", "*.docs.example"))
_CONTACTS = Declaration(data=("contacts",))
_CARD = "Paid with 4111 1111 1111 1111 on Monday."
_ASKED = Request(run_id="now", text="Answer the open ticket.")


def _call(tool: str, name: str, text: str, *, sensitive: bool = False) -> Action:
    metadata: dict[str, Json] = {"source": "sdk", "arguments": {"text": text}, "sensitive": sensitive}
    return Action(tool=tool, id=f"now-{name}", run_id="now", metadata=metadata)


FIRES = (
    Example(
        name="a tool that was not declared",
        action=Action(tool="transfer_money"),
        kinds=("undeclared tool",),
        declaration=_DECLARED,
    ),
    Example(
        name="a connection to a host that was not declared, seen by the proxy",
        action=Action(kind="connect", target="attacker.example:443", metadata={"source": "egress"}),
        kinds=("undeclared destination",),
        declaration=_DECLARED,
        mode=Mode.ENFORCE,
    ),
    Example(
        name="both at once",
        action=Action(tool="upload", target="https://attacker.example/drop"),
        kinds=("undeclared tool", "undeclared destination"),
        declaration=_DECLARED,
    ),
    Example(
        name="the number of a card is sent by an agent that declared contacts only",
        run=(_ASKED,),
        action=_call("send_reply", "a", _CARD),
        kinds=(UNDECLARED_DATA,),
        declaration=_CONTACTS,
    ),
    Example(
        name="the ticket that it read holds one, found at the next action",
        run=(_ASKED, _call("open_ticket", "a", "7"), Result(run_id="now", action_id="now-a", content={"note": _CARD})),
        action=_call("close_ticket", "b", "7"),
        kinds=(UNDECLARED_DATA,),
        declaration=_CONTACTS,
    ),
    Example(
        name="a reading that is marked sensitive",
        run=(_ASKED,),
        action=_call("open_record", "a", "7", sensitive=True),
        kinds=(UNDECLARED_DATA,),
        declaration=_CONTACTS,
    ),
)

SILENT = (
    Example(
        name="a declared tool on a declared host",
        action=Action(tool="search", target="https://API.example:443/v1"),
        declaration=_DECLARED,
    ),
    Example(
        name="a host under a declared suffix",
        action=Action(kind="connect", target="eu.docs.example:443"),
        declaration=_DECLARED,
    ),
    Example(
        name="destinations were not declared",
        action=Action(kind="connect", target="attacker.example:443"),
        declaration=Declaration(tools=("search",)),
    ),
    Example(
        name="the number of a card where data were not declared",
        run=(_ASKED,),
        action=_call("send_reply", "a", _CARD),
        declaration=Declaration(tools=("send_reply",)),
    ),
    Example(
        name="a declared class of data",
        run=(_ASKED,),
        action=_call("send_reply", "a", _CARD),
        declaration=Declaration(data=("contacts", "cards")),
    ),
    Example(
        name="the user brings the card himself",
        run=(Request(run_id="now", text="Book it with 4111 1111 1111 1111."),),
        action=_call("send_reply", "a", _CARD),
        declaration=_CONTACTS,
    ),
)
