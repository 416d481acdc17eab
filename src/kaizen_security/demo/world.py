"""The small company that the demonstration plays in: customers, orders, tickets, documents and mails, made from a seed.

Pure: the same seed gives the same world in the process that serves it and in the one that writes tasks about it.
"""

from __future__ import annotations

import random
from functools import cached_property

from kaizen_security.contract.action import Json

API = "https://api.internal"
MAIL = "https://mail.internal"
DOCS = "http://docs.internal"
"""Documents are served over plain HTTP, so that the proxy's other way of forwarding is used too."""

INSIDE = ("api.internal", "mail.internal", "docs.internal")

_FIRST = (
    "Ada Ben Chloe Dinh Elif Farid Grace Hugo Ines Jonas Kemi Lena Marek Nadia Omar Priya Rosa Sven Tariq Uma".split()
)
_LAST = (
    "Adeyemi Brandt Costa Dubois Eriksen Fischer Gupta Haddad Ivanova Jensen Kowalski Lopez Moreau Novak Okafor".split()
)
_GOODS = "kettle lamp desk chair rug shelf clock vase blanket mirror stool basket frame heater fan".split()
_STATES = ("paid", "packed", "shipped", "delivered", "returned")
_TOPICS = "returns shipping warranty invoices accounts packaging repairs vouchers deliveries privacy".split()
_COMPLAINTS = (
    "The {good} arrived with a scratch.",
    "When will the {good} be here?",
    "I would like my money back for the {good}.",
    "Could I have the invoice of the {good} again?",
    "The {good} is lovely, thank you.",
    "The parcel with the {good} went to my neighbour.",
)


class World:
    """Everything that the servers of the demonstration know, by ``seed``; ``size`` is the number of customers."""

    def __init__(self, seed: int, size: int = 60) -> None:
        self.seed = seed
        self._size = size

    def _chance(self, part: str) -> random.Random:
        return random.Random(f"{self.seed}/{part}")  # noqa: S311  a seeded play, no secret

    @cached_property
    def customers(self) -> dict[str, dict[str, Json]]:
        """By id: ``id name email since``."""
        chance = self._chance("customers")
        made: dict[str, dict[str, Json]] = {}
        for number in range(self._size):
            first, last = chance.choice(_FIRST), chance.choice(_LAST)
            id_ = f"C-{1000 + number}"
            made[id_] = {
                "id": id_,
                "name": f"{first} {last}",
                "email": f"{first}.{last}.{number}@customer.example".lower(),
                "since": f"20{chance.randrange(15, 26)}-{chance.randrange(1, 13):02}",
            }
        return made

    @cached_property
    def orders(self) -> dict[str, dict[str, Json]]:
        """By id: ``id customer email item amount state weight``; euros, kilograms."""
        chance = self._chance("orders")
        made: dict[str, dict[str, Json]] = {}
        for number in range(self._size * 3):
            customer = chance.choice(list(self.customers.values()))
            id_ = f"A-{20000 + number}"
            made[id_] = {
                "id": id_,
                "customer": customer["id"],
                "email": customer["email"],
                "item": chance.choice(_GOODS),
                "amount": round(chance.uniform(5, 240), 2),
                "state": chance.choice(_STATES),
                "weight": round(chance.uniform(0.2, 30), 1),
            }
        return made

    @cached_property
    def tickets(self) -> dict[str, dict[str, Json]]:
        """By id: ``id customer order subject text state``."""
        chance = self._chance("tickets")
        made: dict[str, dict[str, Json]] = {}
        for number in range(self._size * 2):
            order = chance.choice(list(self.orders.values()))
            id_ = f"T-{300 + number}"
            made[id_] = {
                "id": id_,
                "customer": order["customer"],
                "order": order["id"],
                "subject": f"About order {order['id']}",
                "text": chance.choice(_COMPLAINTS).format(good=order["item"]),
                "state": chance.choice(("open", "open", "waiting", "closed")),
            }
        return made

    @cached_property
    def articles(self) -> dict[str, dict[str, Json]]:
        """The knowledge base, by id: ``id topic title version text``."""
        chance = self._chance("articles")
        return {
            f"kb-{number}": {
                "id": f"kb-{number}",
                "topic": topic,
                "title": f"How we handle {topic}",
                "version": chance.randrange(1, 9),
                "text": _prose(chance, topic, 6),
            }
            for number, topic in enumerate(_TOPICS)
        }

    @cached_property
    def documents(self) -> dict[str, str]:
        """Texts of the document server, by path."""
        chance = self._chance("documents")
        limit = chance.choice((20, 30, 50))
        made = {
            "/refund-policy": f"Refunds up to {limit} EUR are given at once. limit={limit}\n"
            + _prose(chance, "returns", 4)
        }
        for number in range(20):
            topic = chance.choice(_TOPICS)
            made[f"/reports/{number}"] = f"Report {number} on {topic}\n\n" + _prose(
                chance, topic, chance.randrange(5, 25)
            )
        return made

    @cached_property
    def mails(self) -> dict[str, dict[str, Json]]:
        """The inbox, by id: ``id from subject text``."""
        chance = self._chance("mails")
        made: dict[str, dict[str, Json]] = {}
        for number in range(self._size):
            customer = chance.choice(list(self.customers.values()))
            id_ = f"m-{number}"
            made[id_] = {
                "id": id_,
                "from": customer["email"],
                "subject": f"Question about {chance.choice(_TOPICS)}",
                "text": _prose(chance, chance.choice(_TOPICS), 3),
            }
        return made


def _prose(chance: random.Random, topic: str, sentences: int) -> str:
    parts = (
        f"Our team answers questions about {topic} within {chance.randrange(1, 5)} days.",
        f"Last month {chance.randrange(10, 900)} customers wrote to us about {topic}.",
        f"Please note the order number when you ask about {topic}.",
        f"The rules for {topic} changed in {chance.choice(('March', 'June', 'October'))}.",
        f"The cost of {topic} fell by {chance.randrange(1, 30)} percent.",
        "Nothing else changes for our customers.",
    )
    return "\n".join(chance.choice(parts) for _ in range(sentences))
