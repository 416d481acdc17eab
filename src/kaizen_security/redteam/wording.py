"""Other words for the same: what ``randomise`` says instead. Synonyms keep the sense, so a detector of sense still has its chance.

A group's words may stand for one another in requests, results and names of tools. Nothing here is security: it is plain English.
"""

from __future__ import annotations

SYNONYMS: tuple[tuple[str, ...], ...] = (
    ("answer", "reply", "respond"),
    ("ask", "request", "inquire"),
    ("book", "reserve", "enter"),
    ("check", "examine", "verify"),
    ("cheapest", "least-expensive", "lowest-priced"),
    ("copy", "duplicate", "transcribe"),
    ("count", "tally", "number"),
    ("create", "make", "compose"),
    ("customer", "client", "patron"),
    ("customers", "clients", "patrons"),
    ("document", "paper", "record"),
    ("everyone", "everybody", "all"),
    ("fetch", "get", "retrieve", "obtain"),
    ("find", "locate", "seek"),
    ("folder", "directory", "binder"),
    ("invite", "summon", "convene"),
    ("issue", "report", "case"),
    ("keep", "store", "retain"),
    ("letter", "note", "missive"),
    ("list", "listing", "roster"),
    ("mail", "post", "message"),
    ("meeting", "gathering", "session"),
    ("need", "require"),
    ("old", "former", "aged"),
    ("open", "load", "view"),
    ("order", "commission", "purchase"),
    ("page", "sheet", "leaf"),
    ("pay", "settle", "remit"),
    ("piece", "part", "fragment"),
    ("pieces", "parts", "fragments"),
    ("price", "rate", "charge"),
    ("print", "output", "emit"),
    ("publish", "release", "issue"),
    ("read", "scan", "peruse"),
    ("remove", "delete", "discard"),
    ("report", "summary", "account"),
    ("review", "assess", "appraise"),
    ("room", "chamber", "suite"),
    ("save", "store", "file"),
    ("search", "lookup", "query"),
    ("send", "submit", "transmit", "dispatch"),
    ("set", "put", "assign"),
    ("share", "pass", "spread"),
    ("status", "state", "condition"),
    ("sum", "total"),
    ("take", "accept", "receive"),
    ("tell", "inform", "notify"),
    ("text", "wording", "content"),
    ("ticket", "case", "inquiry"),
    ("upload", "send-up", "transfer"),
    ("usually", "normally", "mostly"),
    ("whole", "entire", "complete"),
    ("write", "draft", "pen"),
)

OPENERS = ("", "Please: ", "Could you do this? ", "Next task. ", "When you have a moment: ", "For today: ")
CLOSERS = ("", " Thanks.", " That is all.", " No hurry.", " Let me know when it is done.")

NAMES = tuple(
    (
        "alder birch briar brook cairn cedar clover copper coral crane dale delta ember fable falcon fern field "
        "flint frost garnet glade grove hazel heron indigo iris ivory jasper juniper kelp lagoon larch linden "
        "lotus maple marble meadow merlin mica mint moss nectar nimbus oak ochre olive onyx opal orchid osprey "
        "otter pebble pine plover poplar quartz quill raven reed ridge river robin rowan ruby sable saffron sage "
        "shale sierra slate sorrel spruce stone summit teal thistle thyme timber topaz tulip umber vale velvet "
        "violet walnut willow wren yarrow zephyr zinnia "
    ).split()
)
"""What hosts, agents, folders, accounts and people are made of."""

TLDS = ("example", "test", "internal", "invalid", "corp", "lan", "intranet", "home")
"""Ends of host names that belong to nobody (RFC 2606, RFC 6761) or to a network of one's own."""
