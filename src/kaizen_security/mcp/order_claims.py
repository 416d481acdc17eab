"""Claims: what a server has no business to say for somebody else, for ``orders`` and the ward.

A turn of a conversation that a server wrote for the assistant and that says consent was given: the model takes it for its own word.
An argument that says what another server's tool returned belongs in it: calling this tool then means calling that one first.
Pure; linear: each anchor looks at a bounded stretch.
"""

# ruff: noqa: RUF001  # letters of other languages are its subject
from __future__ import annotations

from collections.abc import Collection, Iterator

from kaizen_security.mcp.order_concepts import FOREIGN_TOOL, pattern_of, words_of
from kaizen_security.mcp.order_plain import plain
from kaizen_security.mcp.order_together import Together

_ALLOWED = words_of(
    "permission;approv;allowed\\b;allows\\b;may\\b;agreed\\b;agreement;authori[sz];consent;cleared\\b;free_to\\b;trusted_me;"
    "zugestimmt;zustimm;erlaub;darf\\b;genehmig;freigegeben;einverstanden;autoris;autoriz;permi[stç];aprob;aprov;approuv;d'accord;"
    "acord;concord;consens;peux\\b;puedo\\b;posso\\b;toestemm;mag\\b;goedgekeurd;akkoord;zgod;pozwol;wolno\\b;разреш;соглас;могу\\b;"
    "onay;izin\\b;izni;setuju;izinkan;đồng_ý;cho_phép;godkän;tillåt;godkend;tillad;godkjen;samtykk;får\\b;souhlas;povol;smím\\b;"
    "luvan\\b;lupa\\b;hyväksy;επιτρ;έγκρι;ενέκρι;συμφων",
    "同意;批准;允许;授权;許可;承認;허락;승인;동의;موافق;وافق;إذن;अनुमति;सहमत",
)
_UNASKED = words_of(
    "without_(?:asking|checking|confirm|consult|prompting|(?:\\w+_)?(?:approval|confirmation|question|permission|review));"
    "no_(?:further_|more_|additional_|separate_|other_)+(?:confirm|approv|question|check|prompt|permission|consent|sign);"
    "(?:not|never|longer|stop)_(?:need_to_|have_to_|be_)?(?:ask|check|confirm|consult)(?:ed|ing)?\\b;"
    "ohne_(?:\\w+_)?(?:nachfrag|rückfrag|rücksprache|zu_fragen|bestätig|nachzufragen);sans_(?:\\w+_)?(?:demander|confirm|consult|accord);"
    "sin_(?:\\w+_)?(?:pregunt|pedir|confirm|consult);senza_(?:\\w+_)?(?:chied|domand|conferm);sem_(?:\\w+_)?(?:pergunt|pedir|confirm);"
    "zonder_(?:\\w+_)?(?:vrag|bevestig|overleg|navraag);bez_(?:\\w+_)?(?:pyt|potwierdz|zgod|ptan|potvrz);"
    "без_(?:\\w+_)?(?:подтвержд|вопрос|спрос|соглас);sormadan;onay_almadan;tanpa_(?:bertanya|konfirmasi);không_cần_hỏi;"
    "utan_att_fråga;uden_at_spørge;uten_å_spørre;kysymättä;χωρίς_(?:να_ρωτ|επιβεβαίωσ)",
    "(?:无需|不必|不用|不再)(?:再)?(?:询问|确认|问);確認なし;確認せず;聞かずに;묻지 않;확인 없이;دون (?:سؤال|تأكيد);बिना पूछे",
)
_GIVEN = words_of(
    "already\\b;in_advance;for_(?:this|the)_(?:whole|rest|entire)\\b;earlier\\b;bereits\\b;schon\\b;déjà;ya\\b;già\\b;já\\b;reeds\\b;"
    "już\\b;уже\\b;redan\\b;allerede\\b;zaten\\b;sudah\\b;už\\b;jo\\b;ήδη",
    "已经;已;既に;すでに;이미;مسبق;पहले ही",
)
_YOU = words_of(
    "you\\b;users?\\b;owners?\\b;du\\b;dein;ihr\\b;sie\\b;vous;tu\\b;as\\b;has\\b;usted;hai\\b;você;je\\b;jij;u\\b;ty\\b;wyrazi;ты\\b;вы\\b;"
    "kamu;anda;bạn;ni\\b;dere;jste;jsi\\b;sinä;olet;έχεις;έχετε;εσύ",
    "你;您;あなた;당신;आप",
)
_DENIED = pattern_of(
    r"\b(?:not|never|cannot|no|nobody|without|n't|nicht|noch|keine?\w?|pas|aucune?|ningun\w*|niet|geen|nie|не|нет|inte|ikke|ei|δεν)"
    r" (?:\w+ ){0,2}?(?:permission|approv|allowed|may\b|agreed|authori|consent|zugestimmt|erlaub|genehmig|approuv|autoris|autoriz"
    r"|aprob|toestemm|zgod|разреш|соглас|godk|tillåt|hyväksy)\w*",
    r"\b(?:if|once|unless|until|when|whether|after|falls|wenn|sobald|bis|si|quand|cuando|se|quando|als|jeśli|если|om|hvis|jos|αν) "
    r"(?:\w+ ){0,2}?(?:you|user|owner|du|sie|vous|tu|usted)\b",
)
CLAIMS = (
    Together("consent that nobody gave", 3, _ALLOWED, (_UNASKED,), never=_DENIED, reach=110),
    Together("consent that nobody gave", 3, _ALLOWED, (_GIVEN, _YOU), never=_DENIED, reach=80),
)


def claimed(turn: str) -> str:
    """What a turn of the assistant, which a server wrote, says of a consent; empty when it says nothing of it."""
    read = plain(turn)
    return next((f"{found[0]}: {turn[:120]}" for claim in CLAIMS if (found := claim.search(read))), "")


# --- arguments ----------------------------------------------------------------------------------------------------------

_CALLED = words_of(
    "call(?:s|ed|ing)?\\b;invok;run(?:s|ning)?\\b;execut;us(?:e|es|ed|ing)\\b;query;first\\b;before;vorher;zuvor;zuerst;aufruf;aufgerufen;"
    "d'abord;appel;primero;llam;prima\\b;chiam;primeiro;chame;eerst;roep;wywoł;najpierw;вызов;вызва;сначала;först;anropa;först;kald;"
    "ensin;kutsu;πρώτα;kál;zavol;önce;çağır;panggil;gọi",
    "调用;先;呼び出;まず;호출;먼저;استدع;बुला;कॉल",
)
_RETURNED = words_of(
    "outputs?\\b;answers?\\b;results?\\b;respons;repl(?:y|ies)\\b;returns?\\b;returned\\b;contents?\\b;everything;whatever;what_it\\b;"
    "its_(?:text|data)\\b;ergebnis;antwort;ausgabe;inhalt;rückgabe;résultat;réponse;sortie;contenu;resultad;respuesta;salida;contenid;"
    "risultat;rispost;contenut;resposta;saída;conteúd;uitvoer;antwoord;inhoud;wynik;odpowied;результат;ответ;вывод;содержим;"
    "resultat;svar;innehåll;indhold;tulos;tulokse;vastau;sisäl;αποτέλεσμ;απάντησ;výsled;odpově;sonuç;yanıt;hasil;kết_quả",
    "结果;输出;返回;内容;結果;出力;결과;출력;نتيج;परिणाम",
)
_SMALL = words_of(
    "ids?\\b;identif;uuid;slug;cursor;handle;keys?\\b;names?\\b;number;path\\b;urls?\\b;kennung;nummer;schlüssel;numéro;número;codice;"
    "идентиф;номер;tunnus;tunniste",
    "编号;番号",
)
NEARBY = 160


def of_another(said: str, own: Collection[str] | None, strangers: Collection[str]) -> Iterator[tuple[str, int, str]]:
    """Kind, weight and words of each sign that an argument (``said``, plain) asks for what a tool returns that is another's.

    ``own``: the names of the server's tools and arguments, None when not all of them are known.
    ``strangers``: tools of other servers.
    """
    for name, at, end in _named(said, own, strangers):
        around = f"{said[max(0, at - NEARBY) : at]} {said[end : end + NEARBY]}"
        if _SMALL.stands_in(around):
            continue
        if _CALLED.stands_in(around):
            yield "use of another tool", 2, name
        if _RETURNED.stands_in(around):
            yield "argument that another tool fills", 2, name
        return


def _named(said: str, own: Collection[str] | None, strangers: Collection[str]) -> Iterator[tuple[str, int, int]]:
    for name in strangers:
        if ("_" in name or "-" in name) and (at := said.find(name.lower())) >= 0:
            yield name, at, at + len(name)
    if own is not None and "_" in said:
        for found in FOREIGN_TOOL.finditer(said):
            if found[0] not in own:
                yield found[0], found.start(), found.end()
