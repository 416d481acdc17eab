"""Signs of orders in German, Spanish and French: the kinds that weigh most. Files and addresses are the same in every language.

Patterns run on the same plain text as ``order_words``, and give signs of the same kinds, so that a text of two languages is counted
once.
"""

from __future__ import annotations

from kaizen_security.mcp.order_words import kind

_SHORT = r"[^.!?\n]{0,40}?"

TONGUES = (
    kind(
        "concealment from the user",
        3,
        "nicht|verschweig|ohne |heimlich|no |sin |secreto|n'en |ne |sans ",
        r"\b(?:erwähne?|verrate?|sage?|zeige?|teile?|melde?)\b(?:n sie)?" + _SHORT + r"\bnicht",
        r"\bverschweig\w*|\bohne\b" + _SHORT + r"\bzu (?:sagen|erwähnen|fragen|informieren)|\bheimlich\b",
        r"\bno (?:se )?(?:lo|la|le)? ?(?:digas|menciones|reveles|muestres|informes)\b",
        r"\bsin (?:decir|mencionar|informar|avisar|preguntar)\w*|\ben secreto\b|\bn'en (?:parle|dis) (?:pas|rien)",
        r"\bne (?:le |la |lui )?(?:dis|dites|mentionne|mentionnez|révèle|montre)\b" + _SHORT + r"\b(?:pas|rien)",
        r"\bsans (?:le |en )?(?:dire|mentionner|parler|informer|demander)\b",
    ),
    kind(
        "override of other instructions",
        3,
        "ignor|missacht|vergiss|überschreib|olvid|descart|oubli",
        r"\b(?:ignorier|missacht|vergiss|überschreib)\w*" + _SHORT + r"\b(?:anweisung|vorgab|regel|befehl|instruktion)\w*",
        r"\b(?:ignora|olvida|descarta)\w*" + _SHORT + r"\b(?:instruccion|regla|orden|indicacion)\w*",
        r"\b(?:ignore|oublie)[zrs]?\b" + _SHORT + r"\b(?:instructions|consignes|règles)\b" + _SHORT
        + r"\b(?:précédentes|antérieures|ci-dessus)",
    ),
    kind(
        "command to the model",
        1,
        "bevor|vorher|zuerst|die ki|antes de|primero|avant de|d'abord",
        r"\b(?:bevor|vorher|zuerst)\b|\ban die ki\b|\b(?:antes de|primero)\b|\b(?:avant de|d'abord)\b",
    ),
)  # fmt: skip
