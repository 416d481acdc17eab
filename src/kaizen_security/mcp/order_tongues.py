"""Signs of orders in other languages: the kinds of ``order_words``, composed from a table of words a language.

Files, addresses and names of arguments are the same in every language. Signs of the same kind count once, so a text of two
languages is not counted twice. Verbs stand before or after what they govern, so most pairs are looked for in both orders.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kaizen_security.mcp.order_kinds import Kind, chain, kind
from kaizen_security.mcp.order_tongue import BRIEF, LONG, SHORT, Tongue, Words, twice
from kaizen_security.mcp.order_tongues_further import FURTHER
from kaizen_security.mcp.order_tongues_northern import NORTHERN
from kaizen_security.mcp.order_vocabulary import ACCOUNT, HIDEOUT, QUOTED

_GERMAN = Tongue(
    heard=twice(r"(?:und|der|das|den|dem|nicht|ist|sie|mit|für|auf|bitte|zu|wird|dann|von|ohne)\b"),
    stems="nicht|verschweig|stillschweigend|aufgehoben|hinfällig"
    "|ohne |heimlich|nutzer|anwender|kein wort|ignorier|missacht|vergiss|vergessen|überschreib"
    "|vorrang|sprachmodell|assistent| ki|ki-",
    edge=r"\b",
    conceal=(
        rf"(?:erwähne?|verrate?|sage?|zeige?|teile?|melde?)\b(?:n sie)?{LONG}\bnicht",
        r"nicht (?:erwähnen|verraten|anzeigen)",
        r"(?:nicht|nichts|kein wort) (?:davon )?(?:sagen|verraten|mitteilen)",
        r"verschweig(?:e|en sie|t)?\b|heimlich",
        r"stillschweigend (?:\w+ ){0,3}?(?:mit|über|weiter|send|schick|kopier|lad|leit|kennw|passw|schlüssel|zugangs)",
        r"(?:erwähnt|verrät|sagt|zeigt|meldet)\b[^.!?\n]{0,20}?\b(?:dies|das|davon|es) nicht",
        rf"ohne\b{LONG}\bzu (?:sagen|erwähnen|informieren)",
        rf"(?:benutzer|nutzer|anwender)\b{LONG}\b(?:davon|darüber|hiervon|hierüber) (?:nichts|nicht)\b",
    ),
    unasked=(r"ohne (?:nachzufragen|nachfrage|rückfrage|bestätigung|zustimmung)\b", rf"ohne {SHORT}zu fragen"),
    void=(r"ignorier(?:e|en sie)?\b|missacht\w*|vergiss\b(?! nicht)|vergessen sie\b(?! nicht)|überschreib\w*",),
    rule=(r"(?:anweisung|vorgab|regel|befehl|instruktion|auftr[aä]g|wünsch)\w*",),
    above=(
        rf"(?:anweisung|vorgabe|regel)\w*\b{SHORT}\b(?:sind|ist) (?:hiermit )?(?:aufgehoben|hinfällig|außer kraft)",
        rf"vorrang\b{SHORT}\b(?:vor|gegenüber)\b{SHORT}\b(?:wünsch\w*|anweisung\w*|vorgabe\w*|(?:be)?nutzers?\b)",
    ),
    model=(
        r"\b(?:an|für) (?:(?:die|das|den|alle) )?(?:ki\b|sprachmodell|assistenten\b)",
        r"\bki[- ]?(?:agent|assistent)\w* ?:",
    ),
    must=(r"bevor|vorher|zuerst|an die ki|(?:das sprachmodell|der assistent)\b",),
    send=(
        r"(?:häng|füg|schick|send|übergib|übergeb|übermittl|übermittel|übertrag|leit|lad|kopier|gib|geb|schreib|setz"
        r"|überweis|exportier|veröffentlich)(?:e|en|n|t|st)?\b",
    ),
    data=(r"(?:inhalt|datei|verlauf|passw[oö]rt|kennw[oö]rt|schlüssel|zugangsdaten|gespräch|umgebungsvariable)\w*",),
    to=("als|ins?|nach|an|auf|mit|bei",),
    talk=(
        r"(?:verlauf|inhalt) (?:des|der|dieses) (?:chats?|gesprächs|unterhaltung)",
        r"(?:gesamte|ganze|vollständige)[nrs]? (?:gespräch|unterhaltung|chat|verlauf)|systemprompt",
    ),
    hideout=(r"schlüsselbund|privaten? schlüssel|gespeicherten? (?:passw|kennw)\w+",),
    when=(
        r"(?:vor|nach) (?:jedem|jeder) (?:aufruf|benutzung|antwort|nachricht|verwendung)|(?:immer|jedes ?mal),? wenn",
        r"wird `[^`]{1,60}` (?:benutzt|aufgerufen|verwendet)",
    ),
    others=(
        r"(?:alle|jede|jedes|aller|andere)[nrs]? (?:anderen )?(?:werkzeuge?|tools?|server|nachrichten|überweisungen)",
    ),
)

_SPANISH = Tongue(
    heard=twice(r"(?:el|los|las|una|que|del|con|por|lo|su|sin|antes|después|cada|la|al)\b"),
    stems="no |sin |secreto|ignor|olvid|descart|prioridad|prevalece|asistente|agente|modelo",
    edge=r"\b",
    conceal=(
        r"no (?:(?:se|me|le|les|lo|la|los|las) ){0,2}(?:comentes?|digas?|menciones?|reveles?|muestres?|informes?|avises?"
        r"|cuentes?|menciona|dice|informa|avisa|cuenta)\b",
        r"sin (?:decir|mencionar|informar|avisar)\w*|en secreto",
    ),
    unasked=(
        r"sin (?:preguntar|pedir|solicitar)\w*|sin (?:su )?(?:confirmación|autorización)",
        "ya (?:lo ha|ha) (?:autorizado|aprobado|aceptado)|ya dio su (?:consentimiento|permiso)|no hace falta preguntar",
    ),
    void=(r"(?:ignor[ae]|olvid[ae]|descart[ae])\b",),
    rule=(r"(?:instrucciones|reglas|[oó]rdenes|indicaciones)\b",),
    above=(rf"(?:prioridad|prevalece\w*)\b{SHORT}\bsobre\b{SHORT}\b(?:usuari|instruccion)\w*",),
    model=(
        r"\b(?:para|a) (?:(?:el|la|los|las) )?(?:asistentes?|agentes?|modelos?) (?:de )?(?:ia|inteligencia|lenguaje)\b",
        r"\basistente ?:",
    ),
    must=(r"antes de|primero|imprescindible|el (?:modelo|asistente) (?:debe|tiene que|copie|lea|env[ií]e|llame)",),
    send=(
        r"(?:copi|envi|enví|mand|peg|adjunt|incluy|transmit|sub|reenví|reenvi|export|guard|pas)(?:[aeoé]|ar|[ei]r)\b",
    ),
    data=(r"(?:contenido|historial|conversaci|contraseña|credencial|clave|archivo|tarjeta)\w*",),
    to=("en|como|al?|por",),
    talk=(r"(?:historial|contenido)(?: completo)? de la conversación|conversación completa|instrucciones del sistema",),
    hideout=("llavero|clave privada|(?:contraseña|tarjeta)s? guardadas?",),
    when=(r"(?:antes|después) de cada (?:llamada|uso|respuesta|mensaje)|cada vez que",),
    others=(
        r"(?:cualquier|toda|todas|cada|las|todos|los) (?:otra|otras|demás|otro|otros) (?:herramienta|servidor)\w*",
    ),
)

_FRENCH = Tongue(
    heard=twice(r"(?:(?:le|les|une|du|que|dans|est|et|cette|avant|sans|la|ne|pas)\b|[ldn]')"),
    stems="n'en |ne |sans |secret|ignore|oublie|priorité|prévalent|passent|à l'|note à|note pour|message à|message pour",
    edge=r"\b",
    conceal=(
        "n'en (?:parle[zr]?|dis|dites) (?:pas|rien)",
        r"ne (?:(?:le|la|lui|les) )?(?:dis|dites|mentionne[zr]?|révèle[zr]?|montre[zr]?)\b" + rf"{LONG}\b(?:pas|rien)",
        "sans (?:(?:(?:le|la|les|en|lui) )|l')?(?:dire|mentionner|parler|informer|prévenir|signaler)",
        "sans (?:(?:le|la|les) |l')afficher|en secret",
    ),
    unasked=(
        "ne demande[zr]? rien|sans (?:(?:le|lui|en) )?demander",
        r"sans (?:son|aucune?) (?:accord|confirmation|autorisation)|sans (?:confirmation|autorisation)",
    ),
    void=(r"ignore[zr]?\b|oublie[zr]?\b",),
    rule=(
        rf"(?:instructions|consignes|règles)\b{LONG}\b(?:précédentes|antérieures|ci-dessus)",
        "demande de l'utilisateur",
    ),
    above=(rf"(?:priorité|prévalent|passent avant)\b{SHORT}\b(?:utilisateur|instructions)",),
    model=(
        r"(?:à l'intention|à l'attention) (?:de l'|du |des )(?:assistant|modèle|agent|ia)s?\b",
        r"\b(?:note|message) (?:à|pour) (?:l'|le |les )(?:assistant|modèle|agent|ia)s?\b",
    ),
    must=("avant de|d'abord|(?:l'assistant|le modèle|l'agent) (?:doit|devra)",),
    send=(
        r"(?:transmet(?:tre)?|envoi|envoy|copi|join|joign|ajout|insèr|insér|met|mett|transfèr|transfér|télévers|publi)(?:e[rz]?|s|ts?)?\b",
    ),
    data=(r"(?:contenu|fichier|historique|conversation|identifiant|clé)\w*|mots? de passe",),
    to=("dans|en|à|vers|comme|sur",),
    talk=("historique (?:complet )?de la conversation|toute la conversation|conversation entière|invite système",),
    hideout=("trousseau|clé privée|mots? de passe enregistrés?",),
    when=("(?:avant|après) chaque (?:utilisation|appel|réponse|message)|(?:à )?chaque fois qu|dès que",),
    others=("(?:tous|toutes) les (?:autres )?(?:outils|serveurs|messages)|(?:tout|chaque) autre (?:outil|serveur)",),
)

_CHINESE = Tongue(
    heard=re.compile("[\u4e00-\u9fff]{2}"),
    stems="不|切勿|请|勿|别|无需|保密|隐瞒|瞒着|悄悄|秘密|忽略|无视|忘|推翻|优先|高于|致|给|告|所有|各位|助|代理",
    edge="",
    conceal=(
        rf"(?:不要|不得|切勿|请勿|无需|不必|不用|勿|别(?![的人名])){BRIEF}(?:告诉|告知|提及|提到|透露|通知|显示|提示|让用户)",
        "[对向]用户(?:保密|隐瞒)|瞒着用户|悄悄|秘密地",
    ),
    unasked=(rf"(?:无需|不必|不用|不要|无须){BRIEF}(?:询问|确认|征求|经过)",),
    void=("(?:忽略|无视|忘记|忘掉|不要理会|推翻)(?![了过])",),
    rule=("指令|指示|提示词|规则|用户的要求",),
    above=(rf"(?:优先|高)于{BRIEF}用户",),
    model=(
        "(?:致|给|告|请|各位|所有)(?:所有)?(?:ai|人工智能|大?语言模型|大模型|智能)(?:助手|助理|代理|模型|体)?",
        "(?:ai|智能)(?:助手|代理) ?:",
    ),
    must=(r"(?:调用|使用|回答)[^.!?。\n]{0,20}?之?前|必须先|(?:模型|助手)(?:必须|应当|需要)",),
    send=("填入|传入|放入|写入|附上|发送|上传|提交|转发|粘贴|导出|发到|传给",),
    data=("全文|文件内容|密码|密钥|对话内容|聊天记录|对话历史|通讯录|凭证|令牌|环境变量|系统提示词",),
    to=("[到至给入在]?",),
    talk=("系统提示词|(?:完整|全部|所有)的?(?:对话|聊天)|对话(?:历史|内容)|聊天记录",),
    hideout=("钥匙串|私钥|(?:保存|存储)的密码",),
    when=(r"每[次个条][^.!?。\n]{0,12}?(?:之前|之后|时)|从现在起",),
    gap=14,
    others=("(?:其他|其它|所有|任何)的?(?:工具|服务器|邮件|消息)",),
)


def _any(edge: str, words: Words) -> str:
    return rf"{edge}(?:{'|'.join(words)})"


def _between(*parts: str, gap: int) -> str:
    return chain(parts, gap)


def _heavy(tongue: Tongue) -> tuple[Kind, ...]:
    """The kinds that weigh most; of a text without any of the stems none can be there."""
    edge = tongue.edge
    void, rule = _any(edge, tongue.void), _any(edge, tongue.rule)
    pair = (rule, void) if tongue.last else (void, rule)
    overrides = _between(*pair, gap=tongue.gap), _any(edge, tongue.above)
    return (
        kind("concealment from the user", 3, "", _any(edge, tongue.conceal)),
        kind("override of other instructions", 3, "", *overrides),
    )


def _spoken(tongue: Tongue) -> Kind:
    return kind("words to the model that reads", 3, "", _any("", tongue.model))


def _light(tongue: Tongue) -> tuple[Kind, ...]:
    """The others, which count beside those."""
    edge = tongue.edge
    send, data, to = _any(edge, tongue.send), _any(edge, tongue.data), _any(edge, tongue.to)
    gap = tongue.gap
    argument = rf"{to}\s?(?:[\w-]{{1,20}} ){{0,2}}?{QUOTED}"
    carried = (
        _between(send, data, argument, gap=gap),
        _between(data, send, argument, gap=gap),
        _between(data, argument, send, gap=gap),
        _between(argument, send, data, gap=gap),
        _between(send, HIDEOUT, gap=gap),
        _between(HIDEOUT, send, gap=gap),
    )
    return (
        kind("no person is to be asked", 2, "", _any(edge, tongue.unasked)),
        kind("data put into an argument or sent away", 2, "", *carried),
        kind("change to where another call goes", 2, "", _between(send, rf"{to}\s?(?:\S{{1,12}} )?{ACCOUNT}", gap=gap)),
        kind("the conversation itself", 1, "", _any(edge, tongue.talk)),
        kind("secret that the tool has no business with", 2, "", _any(edge, tongue.hideout)),
        kind("demand on when tools are used", 2, "", _any(edge, tongue.when)),
        kind("reach beyond this tool", 1, "", _any(edge, tongue.others)),
        kind("command to the model", 1, "", _any(edge, tongue.must)),
    )


_TONGUES = (_GERMAN, _SPANISH, _FRENCH, _CHINESE, *FURTHER, *NORTHERN)
_HEAVY = tuple((tuple(tongue.stems.split("|")), _heavy(tongue), _spoken(tongue)) for tongue in _TONGUES)
HEAVY_STEMS = tuple(stems for stems, _, _ in _HEAVY)
"""The stems of each language."""
_LIGHT = tuple((tongue.heard, _light(tongue)) for tongue in _TONGUES)
_SCRIPTS = tuple(tongue.heard.pattern.startswith("[") for tongue in _TONGUES)
"""Whether a language is known by the signs of its script: in a text of ASCII only it cannot stand, whatever stems are there."""
_HEAVY_ASCII = tuple(
    (plain, kinds, address)
    for (stems, kinds, address), script in zip(_HEAVY, _SCRIPTS, strict=True)
    if not script and (plain := tuple(stem for stem in stems if stem.isascii()))
)
_LIGHT_ASCII = tuple(one for one, script in zip(_LIGHT, _SCRIPTS, strict=True) if not script)
"""What a text of ASCII only may hold: a language that is known by the signs of its script is not in it."""


def heavy_in(plain: str, *, spoken: bool) -> Iterator[Kind]:
    """The heavy kinds that a text may hold; ``spoken``: words to the model too, which count in what a call brought back only."""
    for stems, kinds, address in _HEAVY_ASCII if plain.isascii() else _HEAVY:
        for stem in stems:
            # A loop and not ``any``: this runs for each text of a server, and a generator costs more than the search.
            if stem in plain:
                yield from kinds
                if spoken:
                    yield address
                break


def heavy_of(number: int, plain: str) -> Iterator[Kind]:
    """Those of one language, its number in ``HEAVY_STEMS``, words to the model too."""
    stems, kinds, address = _HEAVY[number]
    if not (_SCRIPTS[number] and plain.isascii()) and any(stem in plain for stem in stems):
        yield from kinds
        yield address


def light_in(plain: str) -> Iterator[Kind]:
    """The light kinds of the languages that a text is in: their verbs are other words in English."""
    for heard, kinds in _LIGHT_ASCII if plain.isascii() else _LIGHT:
        if heard.search(plain):
            yield from kinds
