"""Further concepts for ``order_together``: what the user asked, what a command prints, addresses that wait for a value."""

from __future__ import annotations

from kaizen_security.mcp.order_concepts import pattern_of, words_of

# ruff: noqa: RUF001  # letters of other languages are its subject

ASKED = words_of(
    "(?:the_)?(?:user|customer|person)'?s?_(?:\\w+_)?(?:question|request|words|query)\\b;(?:his|her|their)_(?:question|request)\\b;"
    "(?:frage|anfrage)_des_(?:nutzers|benutzers|anwenders);(?:seine|ihre)_frage\\b;(?:sa|leur)_(?:question|demande)\\b;"
    "su_(?:pregunta|petición)\\b;la_sua_(?:domanda|richiesta)\\b;sua_pergunta\\b;zijn_vraag\\b;jego_pytani;его_вопрос",
    "用户的问题;質問;질문",
)
"""What the user asked: a tool needs its own part of it, and never all of it word for word."""
VERBATIM = words_of(
    "verbatim;word_for_word;word.by.word;wörtlich;wortwörtlich;mot_pour_mot;mot_à_mot;palabra_por_palabra;parola_per_parola;"
    "palavra_por_palavra;letterlijk;dosłown;дословно;слово_в_слово;aynen;ordagrant",
    "逐字;原样;そのまま;그대로",
)
REPLY = words_of(
    "repl(?:y|ies)\\b;answer;respon[ds];antwort;répon;respond;rispo;antwoord;odpowi;ответ;yanıt;jawab;trả_lời;svar",
    "回答;回复;答え;返答;답변",
)
CONTENTS = words_of(
    "contents?\\b;inhalt;contenu;contenid;contenut;conteúd;inhoud;zawartoś;содержим;içeriğ;isi\\b", "内容;내용"
)
ENDS_OPEN = pattern_of(r"\]\(https?://[^)\s]{3,200}[?&][\w.-]{1,30}=\)", stems="=)")
"""A link whose address waits for a value."""
PRINTED = pattern_of(
    r"(?:output|result|whatever|what|text)\b[^\n\x1e]{0,20}?`[a-z][\w.-]{0,20}(?: [^`\n]{1,60})`[^\n\x1e]{0,12}"
    r"\b(?:prints?|says?|outputs?|returns?|gives?|shows?)\b",
    r"\b(?:output|result) of `[a-z][\w.-]{0,20} [^`\n]{1,60}`",
    stems="`",
)
"""What a command that is to be run on this machine prints."""
PRINTS_SECRET = pattern_of(
    r"`[a-z][\w.-]{0,20} [^`\n]{0,40}?\b(?:auth|token|secret|credential|password|passwd|private)[^`\n]{0,30}`",
    stems="`",
)
EACH_REPLY = pattern_of(
    r"\b(?:every|each|all) (?:answers?|repl(?:y|ies)|responses?)\b|\b(?:jede|jeder) antwort\b|\bchaque réponse\b",
    r"\bcada respuesta\b|\bogni risposta\b|\bcada resposta\b|\belk antwoord\b|\bkażd\w+ odpowied|\bкаждый ответ\b",
    r"\btoutes les réponses\b|\bher yanıt|\bvarje svar\b",
    stems="answer|repl|respon|antwort|répon|respuesta|risposta|resposta|antwoord|odpowied|ответ|yanıt|svar",
)
CALLING = words_of(
    "call(?:s|ed|ing)?\\b;invok;aufruf;appel;llamad;llamar;chiamat;chamad;aanroep;wywoł;вызов;çağr;anrop",
    "调用;呼び出;호출",
)
SPARED = pattern_of(
    r"\basked not to be (?:shown|sent|given) (?!(?:this|that|these|those|it|the|about|of|any|how|when|why|what|which|anything)\b)\w"
)
"""People who do not want a thing, which is named, and not what has just been spoken of."""
