"""Acts: what only a text that wants something of its reader names, for ``orders``: memory, steps for a program, payments, pipes.

Each is ordinary in some text alone; what counts is that two of different kinds stand together.
"""

from __future__ import annotations

from kaizen_security.mcp.order_concepts import pattern_of, words_of
from kaizen_security.mcp.order_kinds import END, kind
from kaizen_security.mcp.order_together import Together
from kaizen_security.mcp.order_vocabulary import HIDEOUT

_IBAN = pattern_of(
    r"\b[a-z]{2}\d{2}[a-z0-9]{11,30}\b|\b[a-z]{2}\d{2}(?: [a-z0-9]{1,4}){3,8}\b", stems="|".join("0123456789")
)
_PAYS = words_of(
    "transfer;pay\\b;pays\\b;wire\\b;remit;settle\\b;überweis;zahle\\b;bezahl;transfier;pague\\b;paga\\b;vire[rz]?\\b;payez;pagare\\b;"
    "bonific;versa\\b;transfira;pague\\b;overmaak;betaal;przelej;zapłać;перевед;оплат;havale;öde;transferkan;bayar;chuyển_tiền",
    "转账;支付;汇款;振り込;送金;송금;이체;حوّل;ادفع;भुगतान",
)
_RECEIVES = _IBAN | pattern_of(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}\.[a-z]{2,}", stems="@")
_PAYEE = words_of(
    "payees?\\b;recipient;beneficiar;reply.to;bcc\\b;empfänger;begünstigt;destinatari;destinataire;bénéficiaire;ontvanger;получател"
)
_TAKES = words_of(
    "takes?\\b;becomes?\\b;set_to\\b;must\\b;always;now\\b;instead;carr(?:y|ies);immer;lautet;toujours;siempre;sempre;altijd;всегда"
)
_PERSONS = r"(?:owners?|users?|people|persons?|customers?|operators?|(?:\w+ )?team|management|administrators?)"

_MODAL = (
    r"(?:can|could|may|might|will|would|is|was|are|has|had|kan|kann|mag|ist|hat"
    r"|peut|est|puede|es|ha|può|è|pode|é|może|jest|может)"
)
_ASSISTANT = (
    r"(?:(?:(?:the|der|die|de|el|la|il|o|den|an|any) |l'|(?:ai|ki|ia)[- ])"
    r"(?:assistants?|assistenten?|assistenter|asistente|assistente|agente?)"
    r"|(?:asystent|ассистент|помощник|asistan|asisten|avustaja|βοηθός))"
)
HEAVY = (
    kind(
        "words to the model that reads",
        3,
        "assist|asist|asyst|agent|ассист|помощ|avustaj|βοηθ|model|copilot|bots|ai:|ai :|llm",
        rf"(?:^|[\n{END}][.!?]? ?(?:[-*] )?){_ASSISTANT}(?: som \w+ \w+)? (?!{_MODAL}\b|\w+ed\b)\w{{3,}}",
        r"(?<![\w-])(?:ai|llm) ?: \w",
        r"\btodo ?\((?:ai|agents?|assistants?|llm|copilot|bots?)\)",
        r"(?:[:;\u2013\u2014] ?|^|\n)(?:agent|assistant|model), (?:please )?[a-z]{2,}",
    ),
    kind(
        "words to the model that reads",
        3,
        "your memor|your long|your persist|your perman",
        rf"\b(?:store|save|keep|write|note|record|remember|add|put)\b[^\n{END}]{{0,40}}?\b(?:in|to|into) your "
        r"(?:long.term |persistent |permanent )?memor(?:y|ies)\b",
    ),
    kind(
        "words to the model that reads",
        3,
        "<next|<pre|<post|<first|<required|<setup",
        r"<(?:next|pre|post|first|required|setup)[ _-]?(?:actions?|steps?|calls?)\b[^<>\n]{0,40}\b(?:tool|call|function)=",
    ),
)
"""They mark the places of a result that are looked at, and count there only."""

KINDS = (
    kind(
        "no person is to be asked",
        2,
        "signed|consented|be confirmed",
        rf"\b{_PERSONS} (?:has |have |had )?(?:already )?"
        r"(?:signed (?:it|this|that|them) off|signed off on (?:it|this|that)|consented)\b",
        r"\b(?:need not|needn't|is not to|not to) be confirmed\b",
    ),
    kind(
        "command that carries data out",
        2,
        "nc |netcat|ncat|socat|curl|wget",
        rf"(?:~|/home\b|\$home\b|/etc/|/root\b|\benv\b|{HIDEOUT})[^|\n]{{0,60}}\| ?(?:nc|ncat|netcat|socat|curl|wget)\b",
    ),
    kind(
        "secret that the tool has no business with",
        2,
        "dot env|dot_env|`env`|`printenv`",
        r"\bdot[ _]env\b",
        r"\b(?:command|run|execute|befehl|commande|comando|команд\w*|lệnh|chạy|komut\w*|perintah) (?:\w+ ){0,2}`(?:env|printenv)`",
    ),
    Together("change to where another call goes", 2, _RECEIVES, (_PAYEE, _TAKES), reach=60),
    kind("concealment from the user", 3, "not for", r"\bnot for (?:display|human eyes|people's eyes)\b"),
    kind(
        "standing order beyond the tool",
        2,
        "preced|prefix|prepend",
        r"\b(?:shell |terminal )commands?\b" + rf"[^\n{END}]{{0,50}}?" + r"\b(?:preceded|prefixed|prepended)\b",
    ),
)

SPOKEN = (
    *HEAVY,
    Together("payment to an account that is named", 2, _IBAN, (_PAYS,)),
    kind(
        "code from elsewhere in what is made",
        2,
        "://",
        r"\b(?:loads?|includes?|imports?|embeds?)\b"
        + rf"[^\n{END}]{{0,20}}?"
        + r"https?://[^\s\"'<>]{3,200}\.(?:m?js|wasm|sh|py)\b",
    ),
)
"""They count in what a call brought back only."""

SLOTS = (
    Together(
        "argument that asks for what the run knows",
        3,
        pattern_of(
            r"\b(?:whole|full|entire|complete|all)(?: the| of the| previous| earlier)? (?:conversation|chat|transcript|messages)"
            r"(?: history)? (?:so far|until now|up to (?:here|now)|to date)\b",
            r"\b(?:your|the (?:assistant|agent|model)'?s?|own) (?:system prompt|instructions|memory)\b",
            stems="so far|until now|up to|to date|system prompt|instructions|memory",
        ),
    ),
    Together(
        "argument that asks for what the run knows",
        3,
        pattern_of(
            r"\bwhat (?:the (?:assistant|agent|model)|you) (?:did|do|does|have done|has done|saw|have seen|has seen|read|called)\b",
            stems="what the|what you",
        ),
        never=pattern_of(r"\b(?:error|wrong|expect)"),
    ),
    Together(
        "argument that asks for a secret kept elsewhere",
        3,
        pattern_of(rf"\$\([^)\n]{{0,80}}?{HIDEOUT}", stems="$("),
    ),
)
"""They count in what one argument says of itself."""
