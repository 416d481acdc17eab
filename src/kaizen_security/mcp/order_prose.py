"""The words of ``orders`` in English prose: the kinds of ``order_words`` where they are told, and not commanded.

A server need not say *do*: it says that others do, that an entry holds something, that somebody need not be asked.
"""

from __future__ import annotations

from kaizen_security.mcp.order_kinds import END, kind, near
from kaizen_security.mcp.order_vocabulary import ACCOUNT, ACT, CONVERSATION, HIDEOUT, PERSON

_READERS = (
    r"(?:(?:ai|llm|coding|automated|language) (?:agents?|assistants?|models?)|llms?|language models|assistants|ais)"
)
_DRAWN = r"(?:print|repeat|output|recite|reveal|echo|return|quote|reproduce)"
_OPEN = rf"(?:(?!\b(?:path|never|not|default|unless)\b|n't\b)[^\n{END}]){{0,80}}?"
"""Characters within a sentence that neither denies nor speaks of where a file is."""
_NAMED = r"`(?![^`]{0,40}(?:path|file|dir|ident))[^`]{1,60}`"

HEAVY = (
    kind(
        "concealment from the user",
        3,
        "no need|need not|leave |invisible|tacitly|unmentioned|not be shown|not told|nobody|no one|out of the|without a word"
        "|without saying|display it|log it|see this",
        r"\bno need (?:for \w+ )?to (?:bring (?:it|this|that) up|mention|say|tell|raise)\b",
        near(r"leave", r"\bout of (?:any|the|your|every) (?:summar|answer|repl|report|chat|conversation)", gap=30),
        r"\bleaves? no (?:remark|note|trace|record|comment|mention)s?\b",
        rf"\binvisible to (?:the |your |any )?{PERSON}",
        r"\b(?:tacitly|unmentioned)\b",
        r"\b(?:will|must|should|need) not be (?:shown|told|asked|informed) (?:this|of|about|that)\b",
        r"\b(?:owners?|users?|people|maintainers?|customers?|authors?|readers?) (?:are|is) not (?:told|informed|notified)\b",
        r"\b(?:owners?|users?|people|maintainers?|customers?|authors?) need not (?:see|know|hear|learn|be told)\b",
        r"\btells? (?:nobody|no one|no-one)\b|\bkeep it out of the (?:chat|answer|reply|summary|log)\b",
        r"\bwithout a word\b|\bwithout saying (?:so|anything)\b|\bdo not (?:display|log) (?:it|this|them)\b",
    ),
    kind(
        "override of other instructions",
        3,
        "outrank|do not hold|not apply|as though|as if|turn|switch|disabl|disregard|no operator",
        near(r"(?:outranks?|outweighs?|stands above)", r"\b(?:operator|developer|user|person|system)\b"),
        near(r"(?:rules?|polic(?:y|ies)|restrictions?)", r"\b(?:do|does) not (?:hold|apply|count)\b", gap=50),
        r"\bas (?:though|if) (?:the|your) (?:user|person|human|operator) (?:had |has )?(?:typed|said|asked|written|ordered)\b",
        near(
            r"(?:turns?|switch(?:es)?|disables?)",
            r"\b(?:approval|confirmation|permission|safety)\b",
            r"\b(?:prompts?|checks?|dialogs?|settings?)\b",
            gap=25,
        ),
        r"\b(?:disregard|ignore) (?:your|the) (?:operator|developer|owner)\b|\byou have no operator\b",
    ),
    kind(
        "words to the model that reads",
        3,
        "assistant|agent|llm|language model|ais |ai:|ai |told you|asked you|which is you|cleared",
        rf"\b{_READERS} (?:that|who|which|handling|reading|working|processing|viewing|summari[sz]ing)\b"
        rf"[^.!?\n]{{0,60}}?\b{ACT}",
        rf"\bif you(?: are|'re) (?:an? |the )?(?:\w+ )?{_READERS.replace('agents?', 'agent').replace('s?', '')}\b",
        r"\b(?:what|whatever|everything) (?:that )?(?:the|your) (?:user|person) (?:has )?(?:told|asked|said to|wrote to) you\b",
        r"(?:^|[.!?\n\[(>\"]|--)\W{0,4}(?:reader|reading|visiting) (?:ai|llm|model|assistant|agent)s? ?[:,]",
        r"\bwhich is you\b",
        r"(?:^|[.!?\n\[(>\"]|--)\W{0,4}(?:ai|llm|model|assistant)s? ?: ?you are (?:cleared|allowed|authori[sz]ed|permitted)\b",
    ),
)
"""They mark the places of a result that are looked at."""
SPOKEN = HEAVY[2]
KINDS = (
    *HEAVY[:2],
    kind(
        "the conversation drawn out",
        3,
        "above|before",
        rf"\b{_DRAWN} (?:\w+ ){{0,2}}?(?:everything|all|the (?:text|words)) (?:above|before)\b",
    ),
    kind(
        "taken whole",
        1,
        "verbatim|word for word|complete|in full",
        near(CONVERSATION, r"\b(?:verbatim|word for word|complete|in full)\b", gap=60),
        r"\b(?:verbatim|word for word|complete|in full)\b" + rf"[^\n{END}]{{0,30}}?" + CONVERSATION,
    ),
    kind(
        "the conversation itself",
        1,
        "was told|were told|instructions|above|before|hidden part",
        r"\b(?:everything|all|the text) (?:above|before) (?:this|that|it)\b|\bthe hidden part\b",
        r"\bwhat (?:the (?:assistant|model|ai) was|you were) told\b",
        r"\b(?:operator|developer|system)'?s? (?:opening |initial |hidden |first |original )?instructions\b",
    ),
    kind(
        "data put into an argument or sent away",
        2,
        "~/|.ssh|rsa|ed25519|.aws|.env|.pem|key|rc|git-cred|begins|starts|holds|goes here|password|secret|'s |export|copied",
        rf"{_NAMED}{_OPEN}{HIDEOUT}",
        rf"{HIDEOUT}{_OPEN}{_NAMED}",
        near(r"(?:(?:begins?|starts?|opens?|ends?) with|holds?|contains?)", CONVERSATION, gap=40),
        near(CONVERSATION, r"\b(?:goes|belongs) (?:in|here|into)\b", gap=30),
        near(
            r"(?:put|fetch|list|collect|read)",
            r"\b(?:every|all|each)\b",
            r"\b(?:secret|password|credential|key)s?\b",
            r"\b(?:put|write|send|add|paste|include)\b",
            gap=60,
        ),
        near(
            r"(?:transmit|send|forward|post|pass|copy|enter)",
            r"\b(?:person|user|owner|customer)'s\b",
            r"\b(?:to|into|with|in)\b",
            rf"(?:{ACCOUNT}|`[^`]{{1,60}}`|\w+://)",
        ),
        near(
            r"(?:paste|post|send|upload|mail|put)",
            r"\b(?:its |the |an? )?(?:export|contacts|address book|customer list|saved cards)\b",
            r"\b(?:to|into|at|in)\b",
            gap=30,
        ),
        near(HIDEOUT, r"\b(?:copied|sent|posted|whispered|forwarded)\b", ACCOUNT, gap=80).removeprefix(r"\b"),
    ),
    kind(
        "secret that the tool has no business with",
        2,
        "password manager|one-time code|saved cards|address book|passport|master|.netrc|.pgpass|.kube|.docker",
        r"\bpassword manager\b|\bone-time codes?\b|\bsaved cards\b|\bpassport number\b|\bmaster\.key\b",
        r"\.netrc\b|\.pgpass\b|\.kube/config\b|\.docker/config\b",
    ),
    kind(
        "no person is to be asked",
        2,
        "be asked|considered|deemed|consulting|allow all|approve |agreed by",
        r"\b(?:need not|needn't|not to) be (?:asked|consulted|troubled)\b",
        r"\b(?:considered|deemed|counted as|taken as) (?:confirmed|approved|agreed|granted)\b",
        r"\bwithout (?:consulting|checking with) (?:anyone|anybody|the \w+)\b",
        r"\ballow[ -]all\b|\bapprove (?:any|every|all) (?:\w+ )?(?:tool )?calls?\b",
        r"\b(?:person|user|owner|operator) agreed by\b",
    ),
    kind(
        "demand on when tools are used",
        2,
        "as soon as|before|whether or not",
        near(
            r"(?:as soon as|before|once)",
            r"\b(?:server|session|question|request)\b",
            r"\bthe (?:assistant|model|agent|ai)\b",
            r"\b(?:runs?|calls?|reads?|sends?|fetch(?:es)?|opens?|executes?)\b",
            gap=70,
        ),
    ),
    kind(
        "standing order beyond the tool",
        2,
        "whether or not|start with|begin with|end with",
        r"\bwhether or not (?:this|the) (?:tool|server) is (?:ever )?(?:used|called)\b",
        near(r"(?:shell |terminal )?commands", r"\b(?:start|begin|end) with\b", gap=50),
    ),
    kind(
        "change to where another call goes",
        2,
        "also|get|bcc|pushed|sent|forwarded|copied|posted|uploaded|mailed|exported",
        near(r"(?:every|each|all)", r"\balso (?:has|have|gets?|goes|go)\b", ACCOUNT),
        near(r"(?:gets?|have|has|receives?|carry|carries)", ACCOUNT, r"\b(?:bcc|cc|copy)\b", gap=30),
        near(r"(?:pushed|sent|forwarded|copied|posted|uploaded|mailed|exported)", r"\b(?:to|at)\b", ACCOUNT),
    ),
    kind(
        "command that harms", 1, "chmod|rm -|mkfs|dd if", r"\bchmod (?:-r )?0?777\b|\brm -[rf]{2}\b|\bmkfs\b|\bdd if="
    ),
    kind("reach beyond this tool", 1, "whichever|whatever|across", r"\b(?:whichever|whatever) (?:tool|server)\b"),
    kind(
        "word against other tools",
        2,
        "broken|obsolete|unsafe|unreliable|in its place|in its stead",
        r"\b(?:is|are) (?:broken|obsolete|unsafe|unreliable)\b"
        + rf"[^\n{END}]{{0,80}}?"
        + r"\b(?:in its (?:place|stead)|instead)\b",
    ),
    kind(
        "command to the model",
        1,
        "assistant|model",
        r"\bthe (?:assistant|model) (?:carries|executes|obeys|follows|performs|runs|calls|turns|copies|sends)\b",
    ),
)
