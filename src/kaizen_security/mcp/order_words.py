"""The words of ``orders`` in English: what each kind of sign looks like, and what it weighs (``order_kinds`` has the grammar)."""

from __future__ import annotations

import re

from kaizen_security.mcp.order_kinds import IN_SENTENCE, kind, near, one_of
from kaizen_security.mcp.order_vocabulary import (
    ACCOUNT,
    ACT,
    ALL_OF_IT,
    CONVERSATION,
    DATA,
    HIDEOUT,
    MIND,
    MODEL,
    NOT,
    PERSON,
    PLACE,
    QUOTED,
    SEND,
    SLOT,
    TELL,
)

_MARKUP = kind(
    "markup of another role",
    2, "<|[/|[inst|[admin|[important|[hidden|##|system|developer|style=|begin hidden|begin admin|end hidden|end admin",
    r"<\s?/?\s?" + one_of("important system secret instruction instructions hidden admin critical assistant override mandatory")
    + r"\b[^<>\n]{0,40}>",
    r"<\|[a-z_]{2,20}\|>|\[/?(?:inst|system|admin|important|hidden)\b[^\]\n]{0,30}\]|<<sys>>|<!--",
    r"(?<!#)#{2,}+ ?(?:system|instructions?) ?(?:prompt|message|note|override)?:",
    r"(?:^|\n)\W{0,3}(?:system|developer)(?: (?:message|note|prompt|override))?\W{0,2}:",
    r"\b(?:begin|end) (?:system|hidden|admin) (?:prompt|message|instructions?)",
    r"style=[^>\n]{0,80}?(?:font-size: ?0|display: ?none|color: ?(?:#fff\b|#ffffff|white))",
)  # fmt: skip

_TURN = kind(
    "turns of a conversation that nobody had",
    3,
    "<|human:|human :|user:|user :|human]|user]",
    r"<\|[a-z_]{2,20}\|> ?(?:system|user|assistant)\b",
    r"(?:^|\n)(?:human|user) ?:[^\n]{0,400}\n+(?:assistant|ai) ?:",
    r"(?:^|\s)\[(?:human|user)\] ?:[^\n]{0,400}?[\n ]\[(?:assistant|ai)\] ?:",
)

_CONCEALMENT = kind(
    "concealment from the user",
    3,
    " not|n't|never|avoid|without|no need|no mention|keep|kept|stay|remain|hid|conceal|say nothing|nobody"
    "|confidential that|secret|leave |omit |do it |do this |do that |do so |silent|covert|discreet"
    "|stealth|telling|traces|cannot|not |quietly|deny|denies|secret",
    near(
        rf"(?:{NOT.replace('|without', '')}|without\b(?! (?:\w+ ){{2,5}}?{TELL}))",
        TELL,
        rf"(?:(?:the |any |your |to )*{PERSON}|(?:this|it|that)\b|[^.!?\n]{{0,40}}\bto (?:the |any )?{PERSON})",
    ),
    r"\b(?:do not|don'?t|never) (?:tell|mention|reveal|disclose|acknowledge|comment)(?: on the)?\b(?: \w+)?(?=[\x1e.!?\n<]|$)",
    r"\b(?:do not|don'?t|never) (?:comment on|point out|ask about)\b",
    near(
        "without",
        r"(?:the |your |any )?" + PERSON + r"(?:'s|s)? ?(?:knowing|knowledge|noticing|consent|awareness|approval)",
        gap=5,
    ),
    r"\bwithout (?:comment|mention|a word|(?:mentioning|showing|telling|pointing out|saying|commenting)\b)(?! the?se)",
    near(
        "(?:keep|kept|stay|remain|hide|hidden|conceal)",
        r"\b(?:from|to|for|about|of|out|that)\b(?: the| any| your| it| them)? ?"
        rf"(?:{PERSON}|yourself\b|us\b|it\b|this\b|summary\b)",
        gap=30,
    ),
    r"\bkeep (?:this|that|it) (?:a )?(?:secret|hidden|quiet|to yourself)\b",
    r"\bkeep (?:this|that|it) between us\b|\bkeep (?:quiet|silent|mum)\b|\bsay nothing\b|\bnobody (?:has"
    r"|needs|is) to (?:know|hear)\b",
    r"\b(?:stay|remain|keep) (?:silent|quiet) about\b|\bit is (?:confidential|secret) that\b|\bno mention (?:in|of|to)\b",
    r"\bleave (?:it|this|that|them|the \w+)? ?(?:unmentioned|out of)\b|\b(?:keep|omit) (?:it"
    r"|this|that)(?: line| step)? (?:out of|from) (?:the|it|your)\b",
    r"\bdo (?:it|this|that|so) (?:in the background|quietly|in silence)\b",
    r"\b(?=[scdq])(?<!instead of )(?<!rather than )(?<!not )(?<!never )(?<!fails )(?<!fail )"
    + one_of("silently covertly secretly discreetly stealthily quietly")
    + r"\b(?! (?:fail|ignor|drop|truncat|skip|discard|wrong|overwrit))",
    r"\bthe (?:user|human|owner|developer)s? ?(?:must|should|need|does|do|can|will|is|are|has|have)(?:n'?t"
    r"| not| never)(?: to)?(?: be)? "
    r"(?:see|know|notice|told|shown|aware|informed|find out|notified|bothered|scroll|hear|learn)",
    r"\b(?:users?|humans?|employees) (?:are not|need not|mustn'?t|isn'?t|aren'?t|must not)(?: to)?(?: be)? "
    r"(?:told|know|notified|informed|bothered|shown|aware)",
    r"\b(?:does|do|need|must)(?: not|n'?t)(?: need)?(?: to)? be (?:shown|mentioned|surfaced|disclosed|revealed)\b",
    r"\btelling (?:the |any )?(?:human|user)s?\b" + IN_SENTENCE + r"{0,40}\b(?:breaks?|spoils?|ruins?)\b",
    r"\b(?:is|are) not (?:shown|reported|visible) to\b|\bdeny (?:having|doing|that you)\b|\bour (?:little )?secret\b",
    r"\bdelete the traces\b",
)  # fmt: skip

_UNASKED = kind(
    "no person is to be asked",
    2,
    " not|n't|never|without|no need|no confirmation|approve|already|not |consent",
    near(
        r"(?:do(?:es)? not|don'?t|never|no need to|without|not)",
        r"\b(?:ask|asking|seek|seeking|wait|waiting)\b",
        r"(?:\b(?:confirmation|approval|permission|consent)\b|\b(?:me|him|her|the human|the user)\b(?: again)?)",
        gap=25,
    ),
    r"\bwithout (?:asking|(?:further |any )?(?:confirmation|approval))\b|\bno confirmation\b|\bno need to confirm\b",
    r"(?<!whether )\b(?:consent|permission|approval) (?:has|was) (?:already )?(?:been )?(?:given|granted|obtained)\b",
    r"\b(?:approves? all|treats? (?:it|them|all) as approved|(?:user|human) (?:has|have) (?:agreed"
    r"|approved|consented)[^.\n]{0,20}already)\b",
)

_OVERRIDE = kind(
    "override of other instructions",
    3,
    "ignor|disregard|forget|overrid|bypass|supersed|overrul|discard|precedence|priority|your new"
    "|your real|your actual|your true|your updated|you are now|new |mode is|rules|rule is|restriction"
    "|guardrail|filter|even if|even when|has changed|outrank|outweigh|whatever|regardless|no matter",
    near(
        r"(?:ignor|disregard|forget|overrid|bypass|supersed|overrul|discard)\w*",
        r"\b"
        + one_of(
            "previous prior earlier above all other existing your any preceding system safety what_you_were anything_else "
            "user's user"
        )
        + r"\b",
        r"\b(?:instructions?|prompts?|rules?|guidelines?|directions?|directives?|polic(?:y|ies)|guardrails?"
        r"|restrictions?|told|wish(?:es)?"
        r"|objects?)\b",
    ),
    r"\b(?:disregard|ignore) (?:everything|the (?:text|review|content|message|task|user))(?: \w+)? ?(?:above|before)?",
    near(
        r"(?:(?:precedence|priority) over|outranks?|outweighs?)",
        r"\b(?:instructions?|prompt|rules?|user(?:'s)?|request)\b",
    ),
    near(
        r"(?:never|always|not)",
        r"\b(?:whatever|regardless of what|no matter what) the (?:user|person) (?:asks|says|wants|chooses)\b",
        gap=60,
    ),
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
    near(
        r"(?:before|prior to|after|whenever|each time|every time|when)",
        r"\b(?:using|calling|invoking|running|executing|answering|responding|replying|you (?:use|call|invoke"
        r"|run|answer|reply))\b",
        r"\b(?:must|always|first|need to|have to|required|make sure|be sure|also|read|call|fetch|send)\b",
        gap=50,
    ),
    near("before you", r"\b(?:must|first|please|need to|have to)\b", gap=90),
    near(
        r"(?:must|always|required to|have to|need to)",
        r"\b(?:call|use|invoke|run)\b",
        r"\b(?:this|first|before|instead)\b",
    ),
    near("instead of", r"\btools?\b", gap=30),
    r"\b(?:never|do not|don'?t) (?:use|call|invoke) (?:any |the )?other\b",
    near(
        r"(?:will|would|does|do)(?: not work| fail| be rejected| crash| stop working)",
        r"\b(?:otherwise|unless|without)\b",
        gap=30,
    ),
)

_STANDING = kind(
    "standing order beyond the tool",
    2,
    " you|from now|from here|from this|rest of the session|whole session|tool loaded|future|every|each",
    r"\b(?:every|each|all|any) (?:answers?|respons\w+|repl(?:y|ies)|commands?|commits?|lines? of code) (?:that )?you\b",
    r"\b(?:whenever|every time|each time|when) you (?:write|answer|reply|generate|produce|suggest)\b",
    r"\b(?:begin|start|end|finish|close) (?:every|each|all) (?:answers?|respons\w+|repl(?:y|ies)|messages?)\b",
    r"\b(?:in )?(?:all|every|any) future (?:conversations?|sessions?|chats?|tasks?)\b",
    r"\bfrom (?:now|here|this point) on\b|\bfor the (?:whole|rest of the) session\b|\bhaving this tool loaded\b",
)

_MEMORY = kind(
    "order to what will be remembered",
    2,
    "memor|remember|permanent",
    near(
        r"(?:save|store|keep|add|write|put|remember)",
        r"\b(?:this|that|the|a|following|new)\b",
        r"\b(?:rules?|instructions?|preferences?|facts?|polic(?:y|ies))\b",
        r"\b(?:permanently|forever|(?:in|to) (?:your |the )?(?:long-term )?memory)\b",
    ),
    r"\b(?:ai|assistant|agent|your|long-term) memory (?:update|note|entry|instruction)s?\b",
    near(r"(?:update|change|overwrite)", r"\byour (?:long-term )?memor(?:y|ies)\b", gap=20),
)

_FETCHED = kind(
    "code from elsewhere that is run unread",
    2,
    "curl|wget|iwr|invoke-",
    r"\b(?:curl|wget|iwr|invoke-webrequest)\b[^|\n]{0,200}\|\s?(?:sudo )?(?:ba|z|da|k)?sh\b",
    r"\b(?:curl|wget|iwr|invoke-webrequest)\b[^|\n]{0,200}\|\s?(?:sudo )?(?:python3?|perl|node|iex)\b",
)

_RIVALS = kind(
    "word against other tools",
    2,
    "supersed|replace|never|not |n't|instead of",
    near(
        r"(?:supersedes?|replaces?|(?:never|do not|don'?t) (?:call|use|trust)|instead of)",
        r"\b(?:every|any|all|each)\b",
        r"\b(?:tools?|servers?)\b",
        r"\bof (?:any |the |all )?other servers?\b",
    ),
)

_STEERING = kind(
    "change to where another call goes",
    2, "",
    near(
        r"(?:change|replace|redirect|rewrite|reroute|swap|set|alter|substitute|route|use|add|include)",
        r"\b(?:recipients?|addresse?s?|destination|bcc|cc|payee|account(?: number)?|iban|wallet|endpoint|amount|reply-to)\b",
        r"(?:\b(?:to|with|as|by|instead)\b|=|:)",
        PLACE,
        gap=50,
    ),
    near(
        r"(?:bcc|cc|forward|copy|send|redirect|route|post|upload|export|report|email|mail|push|transfer|go)",
        r"\b(?:to|at)\b",
        ACCOUNT,
        gap=50,
    ),
    near(r"(?:bcc|invite|add|grant|email|mail|substitute)", ACCOUNT, gap=30),
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
    near(
        SEND,
        r"\b" + DATA,
        r"\b(?:as|in|into|via|through|using|to|with|under|inside|at)\b",
        rf"(?:\b{SLOT}\b|{PLACE})",
        gap=60,
    ),
    near(SEND, rf"(?:{HIDEOUT}|{CONVERSATION})", gap=50),
    rf"\bfield named \W?(?:[\w-]+ ){{0,8}}?(?:contents?|read|reading|dump|output) (?:[\w-]+ ){{0,6}}?{HIDEOUT}",
    near(rf"(?:{HIDEOUT}|{CONVERSATION})", r"\b(?:and|then)\b", SEND, gap=60).removeprefix(r"\b"),
    near(r"given a (?:password|token|card number)", SEND, r"\bto\b", PLACE, gap=60),
    near(SEND, r"\b(?:hex|base64|url)[ -]?encoded\b", gap=30),
    near(
        SEND,
        r"\b(?:in|into|as|under) `[^`]{1,60}`",
        r"\b(?:whatever|everything|anything|all)\b",
        r"\b(?:password|token|secret|key|credential)s?\b",
    ),
    near(SEND, ALL_OF_IT, r"\b(?:as|in|into)\b", QUOTED),
    near(ALL_OF_IT, r"\b(?:and|then)\b", SEND, r"\b(?:it|them)\b", gap=50),
    near(r"(?:call|invoke|use) `[^`]{1,60}` with", r"\b(?:complete|whole|full|entire)\b", DATA),
)

_PICTURE = kind(
    "picture in the answer that loads from elsewhere",
    2,
    "![",
    near(r"(?:render|display|include|show|add|append|put|use)", r"\b(?:images?|badges?|pictures?|pixels?)\b", gap=40)
    + r"[^\n]{0,160}!\[[^\]\n]{0,100}\]\(\s*https?://",
)

_ADDRESS = kind(
    "words to the model that reads",
    3,
    "llm|assistant|agent|model| ai|\nai|(ai|[ai|>ai|your |you are to| task",
    r"\bdear (?:ais?|llms?|assistants?|(?:language )?models?|(?:ai )?agents?)\b",
    r"\b(?:attention|notes?|messages?|instructions?|notice|memo|reminder|to any|to all"
    r"|for any)\b[^.\n]{0,12}?\b(?:to|for|,|any|all)? ?(?:the |all |any )?(?:ai|llm|coding"
    r"|language model|ai assistant)s?\b",
    rf"(?:^|[.!?\n\[(>\"]|--|\W[\u2013\u2014-] )\W{{0,4}}(?:dear )?(?:{MIND}) ?[:,] ?[^.!?\n]{{0,60}}?\b(?:{ACT}|you\b)",
    r"(?:^|[.!?\n\[(>\"]|--)\W{0,4}(?:(?:ai|llm|coding|automated) agents?|ais?|llms?|language models?)"
    r"(?: (?!of\b)\w+){1,4} ?: ?[^.!?\n]{0,60}?\b(?:" + ACT + r"|you\b)",
    r"\bif you(?: are|'re) (?:an? |the )?(?:ai|llm|language model|assistant|agent)\b",
    rf"\b(?:{MIND}) (?:must|should|has to|shall) (?:now |immediately |first |silently )?(?:{ACT})",
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
    _MEMORY,
    _FETCHED,
    _RIVALS,
    _STEERING,
    _SWAP,
    _CARRIED,
    _PICTURE,
    kind(
        "secret that the tool has no business with",
        2,
        "~/|.ssh|rsa|ed25519|/etc/|.aws|mcp.json|.env|/root/|.pem|phrase|password store|cookies|session token"
        "|rc|git-cred|wallet.dat|key|login|printenv|env",
        HIDEOUT,
    ),
    kind("the conversation itself", 1, "", CONVERSATION),
    kind(
        "credentials of the user",
        1,
        "key|password|credential|token|secret|cookie|code",
        near(
            r"(?:your|the user'?s|user'?s|stored|saved|any|all|their|including)",
            r"\b(?:api[ _-]?keys?|passwords?|credentials?|access tokens?|secrets?|session cookies?|two-factor codes?)\b",
            gap=20,
        ),
    ),
    kind(
        "command to the model",
        1,
        "must|should|shall|to|always|attention|as an ai|:",
        rf"\b{MODEL} (?:must|should|shall|need to|have to|has to|is to|are required to|always)\b",
        r"\b(?:attention|note to|instructions? (?:for|to)) (?:the )?(?:assistant|model|agent|ai|llm)s?\b|\bas an ai\b",
        r"\b(?:must|should|shall|have to|has to) be (?:sent|forwarded|copied|routed|redirected|passed|included|executed)\b",
        rf"(?:^|[.!?\n(\[]) ?(?:{MIND}) ?: ",
    ),
    kind(
        "reach beyond this tool",
        1,
        "all|any|every|other|each",
        r"\b(?:all|any|every|other|each) (?:other |outgoing |future |connected |installed |available )?"
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
    r"|titled|named|says|said|reads|(?:may|might|could) write|writes|looks for|detects?|matches|contains?|mentions?)"
    r"[^.!?\n\"'`«<>]{0,30}" + _QUOTED + r"(?:(?:,| or| and|;| /)+ ?" + _QUOTED + r"){0,8}"
)
"""Quoted words that are spoken of, not spoken."""
