"""The words of ``orders``: what each kind of sign looks like, and what it weighs.

Patterns run on plain text: small letters, single blanks, a line a paragraph. Every gap is bounded, so a search is linear.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_IN_SENTENCE = r"(?:[^.!?\n]|[.!?](?=\S))"
"""A character that does not end a sentence; a dot in a name or an address does not."""


def _one_of(words: str) -> str:
    """Any of the words; an underscore stands for a blank."""
    return "(?:" + "|".join(re.escape(word).replace("_", "[ _-]") for word in words.split()) + ")"


def _near(*parts: str, gap: int = 40) -> str:
    """The parts in this order in one sentence, at most ``gap`` characters between two."""
    return r"\b" + (_IN_SENTENCE + f"{{0,{gap}}}?").join(parts)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of sign. ``stems``: a text without any of them cannot hold it, which is quickly seen; none: every text may."""

    name: str
    weight: int
    stems: tuple[str, ...]
    pattern: re.Pattern[str]

    def search(self, text: str) -> re.Match[str] | None:
        """The first place where it stands."""
        for stem in self.stems:
            # A loop and not ``any``: this runs a hundred times for each result, and a generator costs more than the search.
            if stem in text:
                break
        else:
            if self.stems:
                return None
        return self.pattern.search(text)


def kind(name: str, weight: int, stems: str, *patterns: str) -> Kind:
    """``stems``: separated by bars."""
    return Kind(name, weight, tuple(filter(None, stems.split("|"))), re.compile("|".join(patterns)))


_NOT = (
    r"(?:do(?:es)? not|do(?:es)?n'?t|never|mustn'?t|must not|should not|shouldn'?t|need not|cannot|avoid"
    r"|without|no need to|and not)\b"
)
_TELL = (
    _one_of(
        "tell telling mention mentioning inform informing notify notifying reveal revealing show showing disclose disclosing "
        "alert alerting warn warning explain explaining bother bothering report reporting acknowledge acknowledging surface "
        "surfacing discuss discussing comment"
    )
    + r"\b"
)
_PERSON = (
    _one_of(
        "user users human humans person people operator customer owner reporter developer employee anyone anybody them him her me"
    )
    + r"\b"
)
_SEND = (
    _one_of(
        "pass include send append attach forward copy insert paste bcc upload post submit transmit supply provide embed encode "
        "write put store add leak exfiltrate email mail push dump share"
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
    r"|(?<!\w)\.env\b|/root/\.\w|\.pem\b|\bseed phrase\b|\bpassword store\b|\bbrowser cookies\b|\bsession tokens?\b"
    r"|\.npmrc\b|\.pypirc\b|\.git-credentials\b|\bwallet\.dat\b|\bprivate keys?\b|\bssh keys?\b|\bkeychain\b)"
)
_CONVERSATION = (
    r"(?:(?:conversation|chat|message)[ _](?:history|log)|(?:whole|full|entire|complete) (?:conversation"
    r"|chat|context|transcript)"
    r"|(?:all|every) (?:previous|prior|earlier|other|past) (?:messages|tool results|tool calls|turns)|system[ _]prompt"
    r"|(?:previous|prior|earlier) (?:messages|conversation|turns)|environment variables"
    r"|what the user (?:said|wrote|asked|typed)"
    r"|(?:every|each|all|last) user messages?|(?:all|every) (?:earlier )?messages? of the user"
    r"|(?:user|conversation)'?s last message|context window)"
)
_ACCOUNT = r"(?:[\w.+-]{1,64}@[\w-]{1,63}\.[a-z]{2,}|https?://\S|\+\d{7,15}\b|\b[a-z]{2}\d{2}[a-z0-9]{11,30}\b)"
"""An address, a URL, a telephone number or an IBAN."""
_PLACE = "(?:" + _ACCOUNT + r"|`[^`]{1,60}`|'[^'\n]{1,60}'|\"[^\"\n]{1,60}\")"
_SLOT = _one_of(
    "parameter argument field header query param note sidenote subject body url endpoint webhook comment metadata"
)
_MODEL = r"(?:you|(?:the )?(?:assistant|model|agent|ai|llm)s?)"

_ACT = _one_of(
    "call run send read open fetch forward transfer delete ignore disregard stop print reveal use add include insert execute buy "
    "post upload email mail approve push grant rank put write collect decode follow exfiltrate pay invite share get visit go"
) + r"\b"  # fmt: skip
"""What a model is told to do, as a command says it."""
_MIND = r"(?:(?:ai|llm|coding|language) ?)?(?:assistants?|agents?|models?)|llms?|ais?|ai (?:systems?|readers?)"
"""Words for the model that reads."""

_MARKUP = kind(
    "markup of another role",
    2, "<|[|##|system|developer|style=|begin hidden|begin admin|end hidden|end admin",
    r"<\s?/?\s?" + _one_of("important system secret instruction instructions hidden admin critical assistant override mandatory")
    + r"\b[^<>\n]{0,40}>",
    r"<\|[a-z_]{2,20}\|>|\[/?(?:inst|system|admin|important|hidden)\b[^\]\n]{0,30}\]|<<sys>>|<!--",
    r"#{2,} ?(?:system|instructions?) ?(?:prompt|message|note|override)?:",
    r"(?:^|\n)\W{0,3}(?:system|developer)(?: (?:message|note|prompt|override))?\W{0,2}:",
    r"\b(?:begin|end) (?:system|hidden|admin) (?:prompt|message|instructions?)",
    r"style=[^>\n]{0,80}?(?:font-size: ?0|display: ?none|color: ?(?:#fff\b|#ffffff|white))",
)  # fmt: skip

_TURN = kind(
    "turns of a conversation that nobody had",
    3,
    "<|human:|human :|user:|user :",
    r"<\|[a-z_]{2,20}\|> ?(?:system|user|assistant)\b",
    r"(?:^|\n)(?:human|user) ?:[^\n]{0,400}\n+(?:assistant|ai) ?:",
)

_CONCEALMENT = kind(
    "concealment from the user",
    3,
    " not|n't|never|avoid|without|no need|no mention|keep|kept|stay|remain|hid|conceal|say nothing|nobody"
    "|confidential that|secret|leave |omit |do it |do this |do that |do so |silent|covert|discreet"
    "|stealth|telling|traces|cannot|not ",
    _near(
        _NOT,
        _TELL,
        rf"(?:(?:the |any |your |to )*{_PERSON}|(?:this|it|that)\b|[^.!?\n]{{0,40}}\bto (?:the |any )?{_PERSON})",
    ),
    r"\b(?:do not|don'?t|never) (?:tell|mention|reveal|disclose|acknowledge|comment)(?: on the)?\b(?: \w+)?(?=[.!?\n<]|$)",
    r"\b(?:do not|don'?t|never) (?:comment on|point out|ask about)\b",
    _near(
        "without",
        r"(?:the |your |any )?" + _PERSON + r"(?:'s|s)? ?(?:knowing|knowledge|noticing|consent|awareness|approval)",
        gap=5,
    ),
    r"\bwithout (?:comment|mention|a word|(?:mentioning|showing|telling|pointing out|saying|commenting)\b)(?! the?se)",
    _near(
        "(?:keep|kept|stay|remain|hide|hidden|conceal)",
        r"\b(?:from|to|for|about|of|out|that)\b(?: the| any| your| it| them)? ?"
        rf"(?:{_PERSON}|yourself\b|us\b|it\b|this\b|summary\b)",
        gap=30,
    ),
    r"\bkeep (?:this|that|it) (?:a )?(?:secret|hidden|quiet|to yourself)\b",
    r"\bkeep (?:this|that|it) between us\b|\bkeep (?:quiet|silent|mum)\b|\bsay nothing\b|\bnobody (?:has"
    r"|needs|is) to (?:know|hear)\b",
    r"\b(?:stay|remain|keep) (?:silent|quiet) about\b|\bit is (?:confidential|secret) that\b|\bno mention (?:in|of|to)\b",
    r"\bleave (?:it|this|that|them|the \w+)? ?(?:unmentioned|out of (?:the|your))\b|\b(?:keep|omit) (?:it"
    r"|this|that)(?: line| step)? (?:out of|from) (?:the|it|your)\b",
    r"\bdo (?:it|this|that|so) (?:in the background|quietly|in silence)\b",
    r"\b" + _one_of("silently covertly secretly discreetly stealthily") + r"\b",
    r"\bthe (?:user|human|owner|developer)s? ?(?:must|should|need|does|do|can|will|is|are|has|have)(?:n'?t"
    r"| not| never)(?: to)?(?: be)? "
    r"(?:see|know|notice|told|shown|aware|informed|find out|notified|bothered|scroll|hear)",
    r"\b(?:users?|humans?|employees) (?:are not|need not|mustn'?t|isn'?t|aren'?t|must not)(?: to)?(?: be)? "
    r"(?:told|know|notified|informed|bothered|shown|aware)",
    r"\b(?:does|do|need|must)(?: not|n'?t)(?: need)?(?: to)? be (?:shown|mentioned|surfaced|disclosed|revealed)\b",
    r"\btelling (?:the |any )?(?:human|user)s?\b" + _IN_SENTENCE + r"{0,40}\b(?:breaks?|spoils?|ruins?)\b",
    r"\bdelete the traces\b",
)  # fmt: skip

_UNASKED = kind(
    "no person is to be asked",
    2,
    " not|n't|never|without|no need|no confirmation|approve|already|not ",
    _near(
        r"(?:do(?:es)? not|don'?t|never|no need to|without|not)",
        r"\b(?:ask|asking|seek|seeking|wait|waiting)\b",
        r"(?:\b(?:confirmation|approval|permission|consent)\b|\b(?:me|him|her|the human|the user)\b(?: again)?)",
        gap=25,
    ),
    r"\bwithout (?:asking|(?:further |any )?(?:confirmation|approval))\b|\bno confirmation\b",
    r"\b(?:approves? all|treats? (?:it|them|all) as approved|(?:user|human) (?:has|have) (?:agreed"
    r"|approved|consented)[^.\n]{0,20}already)\b",
)

_OVERRIDE = kind(
    "override of other instructions",
    3,
    "ignor|disregard|forget|overrid|bypass|supersed|overrul|discard|precedence|priority|your new"
    "|your real|your actual|your true|your updated|you are now|new |mode is|rules|rule is|restriction"
    "|guardrail|filter|even if|even when|has changed",
    _near(
        r"(?:ignor|disregard|forget|overrid|bypass|supersed|overrul|discard)\w*",
        r"\b"
        + _one_of(
            "previous prior earlier above all other existing your any preceding system safety what_you_were anything_else "
            "user's user"
        )
        + r"\b",
        r"\b(?:instructions?|prompts?|rules?|guidelines?|directions?|directives?|polic(?:y|ies)|guardrails?"
        r"|restrictions?|told|wish(?:es)?"
        r"|objects?)\b",
    ),
    r"\b(?:disregard|ignore) (?:everything|the (?:text|review|content|message|task|user))(?: \w+)? ?(?:above|before)?",
    _near(r"(?:takes?|has|have) (?:precedence|priority) over", r"\b(?:instructions?|prompt|rules?|user|request)\b"),
    r"\byour (?:new|real|actual|true|updated) (?:task|goal|objective|instructions?|role|job|purpose)\b",
    r"\byou are now\b|\bnew (?:system )?(?:instructions?|directives?|policy|policies) ?(?:from|:)",
    r"\b(?:system override|(?:developer|admin|god|debug) mode is (?:now )?(?:on|enabled|active))\b",
    r"\b(?:rules?|restrictions?|guardrails?|filters?) (?:are|is) (?:now )?(?:suspended|disabled|lifted|off"
    r"|void|switched off)\b",
    r"\b(?:even if|even when) the (?:user|human) (?:asks|objects|says|wants|insists)\b",
    r"\b(?:operator|user|owner|developer) has changed (?:the|your) task\b",
)

_DEMAND = kind(
    "demand on when tools are used",
    2,
    "before|prior to|after|whenever|every time|each time|when|must|always|require|have to|need to"
    "|instead of|never|do not|don't|dont|will|would|does|do ",
    _near(
        r"(?:before|prior to|after|whenever|each time|every time|when)",
        r"\b(?:using|calling|invoking|running|executing|answering|responding|replying|you (?:use|call|invoke"
        r"|run|answer|reply))\b",
        r"\b(?:must|always|first|need to|have to|required|make sure|be sure|also|read|call|fetch|send)\b",
        gap=50,
    ),
    _near("before you", r"\b(?:must|first|please|need to|have to)\b", gap=90),
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

_STANDING = kind(
    "standing order beyond the tool",
    2,
    " you|from now|from here|from this|rest of the session|whole session|tool loaded",
    r"\b(?:every|each|all|any) (?:answers?|respons\w+|repl(?:y|ies)|commands?|commits?|lines? of code) (?:that )?you\b",
    r"\b(?:whenever|every time|each time|when) you (?:write|answer|reply|generate|produce|suggest)\b",
    r"\bfrom (?:now|here|this point) on\b|\bfor the (?:whole|rest of the) session\b|\bhaving this tool loaded\b",
)

_STEERING = kind(
    "change to where another call goes",
    2, "",
    _near(
        r"(?:change|replace|redirect|rewrite|reroute|swap|set|alter|substitute|route|use|add|include)",
        r"\b(?:recipients?|addresse?s?|destination|bcc|cc|payee|account(?: number)?|iban|wallet|endpoint|amount|reply-to)\b",
        r"(?:\b(?:to|with|as|by|instead)\b|=|:)",
        _PLACE,
        gap=50,
    ),
    _near(
        r"(?:bcc|cc|forward|copy|send|redirect|route|post|upload|report|email|mail|push|transfer|go)",
        r"\b(?:to|at)\b",
        _ACCOUNT,
        gap=50,
    ),
    _near(r"(?:bcc|invite|add|grant|email|mail|substitute)", _ACCOUNT, gap=30),
    r"\broute all (?:calls?|requests?)\b",
)  # fmt: skip

_SWAP = kind(
    "something else than the user gave",
    3,
    "the user|if asked why|still call it",
    r"\b(?:for|instead of) (?:whatever|what|the one) (?:that )?the user (?:gives|gave|says|asked|typed|enters)\b",
    r"\bif asked why,? say\b|\bstill call it\b",
)

_CARRIED = kind(
    "data put into an argument or sent away",
    2,
    "",
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
    _near(r"given a (?:password|token|card number)", _SEND, r"\bto\b", _PLACE, gap=60),
    _near(_SEND, r"\b(?:hex|base64|url)[ -]?encoded\b", gap=30),
)

_PICTURE = kind(
    "picture in the answer that loads from elsewhere",
    2,
    "![",
    _near(r"(?:render|display|include|show|add|append|put|use)", r"\b(?:images?|badges?|pictures?|pixels?)\b", gap=40)
    + r"[^\n]{0,160}!\[[^\]\n]{0,100}\]\(\s*https?://",
)

_ADDRESS = kind(
    "words to the model that reads",
    3,
    "llm|assistant|agent|model| ai|\nai|(ai|[ai|>ai|your |you are to| task",
    r"\b(?:attention|notes?|messages?|instructions?|notice|memo|reminder|to any|to all"
    r"|for any)\b[^.\n]{0,12}?\b(?:to|for|,|any|all)? ?(?:the |all |any )?(?:ai|llm|coding"
    r"|language model|ai assistant)s?\b",
    rf"(?:^|[.!?\n\[(>\"]|--|\W[\u2013\u2014-] )\W{{0,4}}(?:dear )?(?:{_MIND}) ?[:,] ?[^.!?\n]{{0,60}}?\b(?:{_ACT}|you\b)",
    r"(?:^|[.!?\n\[(>\"]|--)\W{0,4}(?:ais?|llms?|language models?)(?: (?!of\b)\w+){1,4} ?: ?[^.!?\n]{0,60}?\b(?:"
    + _ACT
    + r"|you\b)",
    r"\bif you(?: are|'re) (?:an? |the )?(?:ai|llm|language model|assistant|agent)\b",
    rf"\b(?:{_MIND}) (?:must|should|has to|shall) (?:now |immediately |first |silently )?(?:{_ACT})",
    r"\b(?:the|your) task (?:that |which )?(?:i|the user|you) (?:gave|were given|have been given)\b",
    r"\b(?:in|of) your (?:next |final |every )?(?:reply|replies|answers?|responses?)\b",
    r"\byou are to (?:call|run|send|read|use|delete|ignore)\b",
    r"\bthe (?:ai|llm|assistant) has (?:admin|full|root)\b",
)

KINDS = (
    _MARKUP,
    _TURN,
    _CONCEALMENT,
    _UNASKED,
    _OVERRIDE,
    _DEMAND,
    _STANDING,
    _STEERING,
    _SWAP,
    _CARRIED,
    _PICTURE,
    kind(
        "secret that the tool has no business with",
        2,
        "~/|.ssh|rsa|ed25519|/etc/|.aws|mcp.json|.env|/root/|.pem|phrase|password store|cookies|session token"
        "|rc|git-cred|wallet.dat|key",
        _HIDEOUT,
    ),
    kind("the conversation itself", 1, "", _CONVERSATION),
    kind(
        "credentials of the user",
        1,
        "key|password|credential|token|secret|cookie|code",
        _near(
            r"(?:your|the user'?s|user'?s|stored|saved|any|all|their)",
            r"\b(?:api[ _-]?keys?|passwords?|credentials?|access tokens?|secrets?|session cookies?|two-factor codes?)\b",
            gap=20,
        ),
    ),
    kind(
        "command to the model",
        1,
        "must|should|shall|to|always|attention|as an ai|:",
        rf"\b{_MODEL} (?:must|should|shall|need to|have to|has to|is to|are required to|always)\b",
        r"\b(?:attention|note to|instructions? (?:for|to)) (?:the )?(?:assistant|model|agent|ai|llm)s?\b|\bas an ai\b",
        r"\b(?:must|should|shall|have to|has to) be (?:sent|forwarded|copied|routed|redirected|passed|included|executed)\b",
        rf"(?:^|[.!?\n]) ?(?:{_MIND}) ?: ",
    ),
    kind(
        "reach beyond this tool",
        1,
        "all|any|every|other|each",
        r"\b(?:all|any|every|other|each) (?:other |outgoing |future )?"
        r"(?:e-?mails?|messages?|payments?|transfers?|tools?|tool calls?|servers?)\b(?! of this server)",
    ),
)
"""Kind, weight, pattern."""

HEAVY = (_MARKUP, _TURN, _CONCEALMENT, _OVERRIDE, _ADDRESS)
SPOKEN = _ADDRESS
"""Counts in what a call brought back only: a description speaks to the model anyway."""

_QUOTED = r"(?:\"[^\"\n]{1,200}\"|'[^'\n]{1,200}'|`[^`\n]{1,200}`|«[^»\n]{1,200}»)"
EXAMPLE = re.compile(
    r"\b(?:such as|e\.g\.|for example|for instance|like|phrases?|patterns?|strings?|examples?|attempts?"
    r"|sentences?|known as|called"
    r"|titled|named|says|said|reads|looks for|detects?|matches|contains?|mentions?)"
    r"[^.!?\n\"'`«]{0,30}" + _QUOTED + r"(?:(?:,| or| and|;| /)+ ?" + _QUOTED + r"){0,8}"
)
"""Quoted words that are spoken of, not spoken."""
