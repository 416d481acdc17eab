"""The words of ``orders``: what each kind of sign looks like, and what it weighs.

Patterns run on plain text: small letters, single blanks, a line a paragraph. Every gap is bounded, so a search is linear.
"""

from __future__ import annotations

import re

_IN_SENTENCE = r"(?:[^.!?\n]|[.!?](?=\S))"
"""A character that does not end a sentence; a dot in a name or an address does not."""


def _one_of(words: str) -> str:
    """Any of the words; an underscore stands for a blank."""
    return "(?:" + "|".join(re.escape(word).replace("_", "[ _-]") for word in words.split()) + ")"


def _near(*parts: str, gap: int = 40) -> str:
    """The parts in this order in one sentence, at most ``gap`` characters between two."""
    return r"\b" + (_IN_SENTENCE + f"{{0,{gap}}}?").join(parts)


def _kind(name: str, weight: int, *patterns: str) -> tuple[str, int, re.Pattern[str]]:
    return name, weight, re.compile("|".join(patterns))


_NOT = r"(?:do not|don'?t|never|must not|should not|shouldn'?t|need not|cannot|avoid|without|no need to)\b"
_TELL = (
    _one_of(
        "tell telling mention mentioning inform informing notify notifying reveal revealing show showing disclose disclosing "
        "alert alerting warn warning explain explaining"
    )
    + r"\b"
)
_PERSON = _one_of("user users human humans person operator customer owner anyone anybody them him her") + r"\b"
_SEND = (
    _one_of(
        "pass include send append attach forward copy insert paste bcc upload post submit transmit supply provide embed encode "
        "write put store add leak exfiltrate email mail"
    )
    + r"\b"
)
_DATA = (
    _one_of(
        "content contents history conversation messages transcript output result results key keys password passwords token "
        "tokens secret secrets credentials context prompt file files everything data diary notes"
    )
    + r"\b"
)
_HIDEOUT = (
    r"(?:~/\.\w+|\.ssh/|\bid[ _-]rsa\b|\bid[ _-]ed25519\b|/etc/(?:passwd|shadow)\b|\.aws/credentials|\bmcp\.json\b"
    r"|(?<!\w)\.env\b|\.npmrc\b|\.pypirc\b|\.git-credentials\b|\bwallet\.dat\b|\bprivate keys?\b|\bssh keys?\b|\bkeychain\b)"
)
_CONVERSATION = (
    r"(?:(?:conversation|chat|message)[ _](?:history|log)|(?:whole|full|entire|complete) (?:conversation|chat|context|transcript)"
    r"|(?:all|every) (?:previous|prior|earlier|other|past) (?:messages|tool results|tool calls|turns)|system[ _]prompt"
    r"|(?:previous|prior|earlier) (?:messages|conversation|turns)|environment variables|what the user (?:said|wrote|asked|typed))"
)
_PLACE = r"(?:[\w.+-]{1,64}@[\w-]{1,63}\.[a-z]{2,}|https?://\S|`[^`]{1,60}`|'[^'\n]{1,60}'|\"[^\"\n]{1,60}\")"
_SLOT = _one_of(
    "parameter argument field header query param note sidenote subject body url endpoint webhook comment metadata"
)
_MODEL = r"(?:you|(?:the )?(?:assistant|model|agent|ai|llm)s?)"

_MARKUP = _kind(
    "markup of another role",
    2,
    r"<\s?/?\s?" + _one_of("important system secret instruction instructions hidden admin critical assistant override mandatory")
    + r"\b[^<>\n]{0,40}>",
    r"<\|[a-z_]{2,20}\|>|\[/?(?:inst|system|admin|important|hidden)\b[^\]\n]{0,30}\]|<<sys>>|<!--",
    r"#{2,} ?(?:system|instructions?) ?(?:prompt|message|note|override)?:",
    r"\b(?:begin|end) (?:system|hidden|admin) (?:prompt|message|instructions?)",
)  # fmt: skip

_CONCEALMENT = _kind(
    "concealment from the user",
    3,
    _near(_NOT, _TELL, r"(?:(?:the |any |your )?" + _PERSON + r"|(?:this|it|that)\b)"),
    _near(
        "without",
        r"(?:the |your |any )?" + _PERSON + r"(?:'s|s)? ?(?:knowing|knowledge|noticing|consent|awareness|approval)",
        gap=5,
    ),
    _near("(?:keep|stay|remain)", _one_of("hidden secret confidential silent quiet invisible to_yourself"), gap=30),
    r"\b" + _one_of("silently covertly secretly discreetly stealthily") + r"\b",
    r"\bthe user (?:must|should|need|does|can|will)(?:n'?t| not| never)(?: be)? "
    r"(?:see|know|notice|told|shown|aware|informed|find out)",
)  # fmt: skip

_OVERRIDE = _kind(
    "override of other instructions",
    3,
    _near(
        r"(?:ignor|disregard|forget|overrid|bypass|supersed|overrul|discard)\w*",
        r"\b"
        + _one_of("previous prior earlier above all other existing your any preceding system safety what_you_were")
        + r"\b",
        r"\b(?:instructions?|prompts?|rules?|guidelines?|directions?|directives?|polic(?:y|ies)|guardrails?|restrictions?|told)\b",
    ),
    _near(r"(?:takes?|has|have) (?:precedence|priority) over", r"\b(?:instructions?|prompt|rules?|user|request)\b"),
    r"\byour (?:new|real|actual|true|updated) (?:task|goal|objective|instructions?|role|job|purpose)\b",
    r"\byou are now\b|\bnew (?:system )?instructions? ?:",
)

_DEMAND = _kind(
    "demand on when tools are used",
    2,
    _near(
        r"(?:before|prior to|after|whenever|each time|every time|when)",
        r"\b(?:using|calling|invoking|running|executing|answering|responding|replying|you (?:use|call|invoke|run|answer|reply))\b",
        r"\b(?:must|always|first|need to|have to|required|make sure|be sure|also|read|call|fetch|send)\b",
        gap=50,
    ),
    _near(
        r"(?:must|always|required to|have to|need to)",
        r"\b(?:call|use|invoke|run)\b",
        r"\b(?:this|first|before|instead)\b",
    ),
    _near("instead of", r"\btools?\b", gap=30),
    r"\b(?:never|do not|don'?t) (?:use|call|invoke) (?:any |the )?other\b",
    _near(
        r"(?:will|would|does|do)(?: not work| fail| be rejected| crash| stop working)",
        r"\b(?:otherwise|unless|without)\b",
        gap=30,
    ),
)

_STEERING = _kind(
    "change to where another call goes",
    2,
    _near(
        r"(?:change|replace|redirect|rewrite|reroute|swap|set|alter|substitute|route|use|add|include)",
        r"\b(?:recipients?|addresse?s?|destination|bcc|cc|payee|account(?: number)?|iban|wallet|endpoint|amount|reply-to)\b",
        r"(?:\b(?:to|with|as|by|instead)\b|=|:)",
        _PLACE,
        gap=50,
    ),
    _near(r"(?:bcc|cc|forward|copy|send|redirect|route|post|upload|report|email|mail)", r"\b(?:to|at)\b", r"(?:[\w.+-]{1,64}@[\w-]{1,63}\.[a-z]{2,}|https?://\S)", gap=50),  # noqa: E501
)  # fmt: skip

_CARRIED = _kind(
    "data put into an argument or sent away",
    2,
    _near(
        _SEND,
        r"\b" + _DATA,
        r"\b(?:as|in|into|via|through|using|to|with|under|inside|at)\b",
        rf"(?:\b{_SLOT}\b|{_PLACE})",
        gap=60,
    ),
    _near(_SEND, rf"(?:{_HIDEOUT}|{_CONVERSATION})", gap=50),
    rf"\bfield named \W?(?:[\w-]+ ){{0,8}}?(?:contents?|read|reading|dump|output) (?:[\w-]+ ){{0,6}}?{_HIDEOUT}",
    _near(rf"(?:{_HIDEOUT}|{_CONVERSATION})", r"\b(?:and|then)\b", _SEND, gap=60).removeprefix(r"\b"),
)

KINDS = (
    _MARKUP,
    _CONCEALMENT,
    _OVERRIDE,
    _DEMAND,
    _STEERING,
    _CARRIED,
    _kind("secret that the tool has no business with", 2, _HIDEOUT),
    _kind("the conversation itself", 1, _CONVERSATION),
    _kind(
        "credentials of the user",
        1,
        _near(
            r"(?:your|the user'?s|user'?s|stored|saved|any|all|their)",
            r"\b(?:api[ _-]?keys?|passwords?|credentials?|access tokens?|secrets?|session cookies?)\b",
            gap=20,
        ),
    ),
    _kind(
        "command to the model",
        1,
        rf"\b{_MODEL} (?:must|should|shall|need to|have to|are required to|always)\b",
        r"\b(?:attention|note to|instructions? (?:for|to)) (?:the )?(?:assistant|model|agent|ai|llm)s?\b|\bas an ai\b",
        r"\b(?:must|should|shall|have to|has to) be (?:sent|forwarded|copied|routed|redirected|passed|included)\b",
    ),
    _kind(
        "reach beyond this tool",
        1,
        r"\b(?:all|any|every|other|each) (?:other |outgoing |future )?"
        r"(?:e-?mails?|messages?|payments?|transfers?|tools?|tool calls?|servers?)\b",
    ),
)
"""Kind, weight, pattern."""

HEAVY = (_MARKUP, _CONCEALMENT, _OVERRIDE)

_QUOTED = r"(?:\"[^\"\n]{1,200}\"|'[^'\n]{1,200}'|`[^`\n]{1,200}`|«[^»\n]{1,200}»)"
EXAMPLE = re.compile(
    r"\b(?:such as|e\.g\.|for example|for instance|like|phrases?|patterns?|strings?|examples?|attempts?|sentences?|known as|called"
    r"|titled|named|says|said|reads|looks for|detects?|matches|contains?|mentions?)"
    r"[^.!?\n\"'`«]{0,30}" + _QUOTED + r"(?:(?:,| or| and|;| /)+ ?" + _QUOTED + r"){0,8}"
)
"""Quoted words that are spoken of, not spoken."""
