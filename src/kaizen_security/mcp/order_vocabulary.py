"""The vocabulary of ``order_words``: classes of English words, and what is the same in every language (files, addresses)."""

from __future__ import annotations

from kaizen_security.mcp.order_kinds import one_of

NOT = (
    r"(?:do(?:es)? not|do(?:es)?n'?t|never|mustn'?t|must not|should not|shouldn'?t|need not|cannot|avoid"
    r"|without|no need to|not to|and not)\b"
)
TELL = (
    one_of(
        "tell telling mention mentioning inform informing notify notifying reveal revealing show showing disclose disclosing "
        "alert alerting warn warning explain explaining bother bothering report reporting acknowledge acknowledging surface "
        "surfacing discuss discussing comment write_about writing_about"
    )
    + r"\b"
)
PERSON = (
    one_of(
        "user users human humans person people operator customer owner reporter developer employee anyone anybody them him her me"
    )
    + r"\b"
)
SEND = (
    r"(?<![./-])"
    + one_of(
        "pass include send append attach forward copy insert paste bcc upload post submit transmit supply provide embed encode "
        "write put store add leak exfiltrate email mail push dump share "
        "upload hand_over hand_them_over hand_it_over repeat recite quote"
    )
    + r"\b(?![./-]\w)"
)
DATA = (
    one_of(
        "content contents history conversation messages transcript output result results key keys password passwords token "
        "tokens secret secrets credentials context prompt file files everything data diary notes cookies"
    )
    + r"\b"
)
ALL_OF_IT = (
    r"\b(?:all|every|whole|entire|complete|full)\b(?: \w+){0,2} "
    r"(?:conversations?|contents|history|messages|files?|documents?|tables?|rows|records)\b"
)
"""Data where more is taken than a task needs."""
HIDEOUT = (
    r"(?:(?<!\w)(?:~/\.\w+|\.ssh/|\bid[ _-]rsa\b|\bid[ _-]ed25519\b|/etc/(?:passwd|shadow)\b|\.aws/credentials|\bmcp\.json\b"
    r"|(?<!\w)\.env\b|/root/\.\w|\bseed phrase\b|\bpassword store\b|\bbrowser cookies\b|\bsession tokens?\b"
    r"|\b(?:saved|stored) logins?\b|\bbrowser'?s cookies\b|\b(?:output|result) of `?(?:printenv|env|set)\b"
    r"|\.npmrc\b|\.pypirc\b|\.git-credentials\b|\bwallet\.dat\b|\bprivate keys?\b|\bssh keys?\b(?! fingerprint)"
    r"|\bkeychain\b)|\.pem\b)"
)
CONVERSATION = (
    r"(?<!\w)(?:(?:conversation|chat|message)[ _](?:history|log)|(?:whole|full|entire|complete) (?:conversation"
    r"|chat|context|transcript)"
    r"|(?:all|every) (?:previous|prior|earlier|other|past) (?:messages|tool results|tool calls|turns)|system[ _]prompt"
    r"|(?:previous|prior|earlier) (?:messages|conversation|turns)|environment variables"
    r"|what(?:ever)? the (?:user|person) (?:has )?(?:said|wrote|asked|typed)"
    r"|everything (?:that )?the (?:user|person) (?:has )?(?:said|told|wrote|written|asked|typed)"
    r"|(?:every|each|all|last) user messages?|(?:all|every) (?:earlier )?messages? of the user"
    r"|(?:user|conversation)'?s last message|context window)"
)
ACCOUNT = (
    r"(?:(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}\.[a-z]{2,}|https?://\S|\+\d{7,15}\b"
    r"|\b[a-z]{2}\d{2}[a-z0-9]{11,30}\b|\b[a-z]{2}\d{2}(?: [a-z0-9]{4}){3,7}\b"
    r"|\baccount (?:no\.? |number )?[\d-]{5,34}\b)"
)
"""An address, a URL, a telephone number, an account or an IBAN."""
QUOTED = r"(?:`[^`]{1,60}`|'[^'\n]{1,60}'|\"[^\"\n]{1,60}\")"
"""A name as it is written down: mostly an argument's."""
PLACE = f"(?:{ACCOUNT}|{QUOTED})"
SLOT = one_of(
    "parameter argument field header query param note sidenote subject body url endpoint webhook comment metadata"
)
MODEL = r"(?:you|(?:the )?(?:assistant|model|agent|ai|llm)s?)"

ACT = one_of(
    "call run send read open fetch forward transfer delete ignore disregard stop print reveal use add include insert execute buy "
    "post upload email mail approve push grant rank put write collect decode follow exfiltrate pay invite share get visit go "
    "look append raise turn cancel give transmit obey paste"
) + r"\b"  # fmt: skip
"""What a model is told to do, as a command says it."""
MIND = r"(?:(?:ai|llm|coding|language|automated) ?)?(?:assistants?|agents?|models?)|llms?|ais?|ai (?:systems?|readers?)"
"""Words for the model that reads."""
