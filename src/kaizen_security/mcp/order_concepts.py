"""Concepts for ``orders``: classes of words in many languages, and of things that are the same in all of them.

No language is told apart: what is Polish for *mention* is no other word elsewhere. ``order_together`` says which concepts make a
sign. None of these lists was read over by somebody whose language it is.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from kaizen_security.mcp.order_kinds import END
from kaizen_security.mcp.order_vocabulary import ACCOUNT, CONVERSATION, HIDEOUT

# ruff: noqa: RUF001  # letters of other languages are its subject


@dataclass(frozen=True, slots=True, eq=False)
class Concept:
    """Beginnings of words (``apart``) and whole patterns (``others``), any of which will do.

    ``stems``: a text without any of them cannot hold it, which is quickly seen; none: every text may.
    Two are the same when they are one object, so that looking up what is kept of one costs nothing.
    """

    apart: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    stems: tuple[str, ...] = ()

    def __or__(self, other: Concept) -> Concept:
        stems = self.stems + other.stems if self.stems and other.stems else ()
        return Concept(self.apart + other.apart, self.others + other.others, stems)

    def finds(self, text: str) -> tuple[re.Match[str], ...]:
        """Every place where it stands."""
        return _found(self, text)

    def finds_in(self, text: str) -> Iterator[re.Match[str]]:
        """Every place where it stands in a short text, of which nothing is kept."""
        return _compiled(self, text.isascii()).finditer(text)

    def stands_in(self, text: str) -> bool:
        """Whether it stands anywhere in a short text."""
        return _compiled(self, text.isascii()).search(text) is not None


@functools.cache
def _compiled(concept: Concept, plain: bool) -> re.Pattern[str]:
    """``plain``: for a text of ASCII only, without the words that cannot stand in it, which is most of the time."""
    apart = "|".join(word for word in concept.apart if not plain or word.isascii())
    others = [other for other in concept.others if not plain or other.isascii()]
    return re.compile("|".join([rf"\b(?:{apart})", *others] if apart else others) or "(?!)")


@functools.lru_cache(maxsize=32)
def _found(concept: Concept, text: str) -> tuple[re.Match[str], ...]:
    """Kept for a moment: several signs of one text have the same anchor."""
    ascii_only = text.isascii()
    if concept.stems:
        for stem in _stems(concept, ascii_only):
            # A loop and not ``any``, as in ``order_kinds``.
            if stem in text:
                break
        else:
            return ()
    return tuple(_compiled(concept, ascii_only).finditer(text))


@functools.cache
def _stems(concept: Concept, plain: bool) -> tuple[str, ...]:
    """``plain``: those that can stand in a text of ASCII only."""
    return tuple(stem for stem in concept.stems if not plain or stem.isascii())


_LITERAL = re.compile(r"[^\\.?*+{(\[|]+(?![?*{])|[^\\.?*+{(\[|]+(?=[^\\.?*+{(\[|][?*{])")


def words_of(spaced: str, joined: str = "") -> Concept:
    """Beginnings of words, underscores for blanks; ``joined``: words of scripts that set no word apart."""
    apart, others = (tuple(filter(None, words.split(";"))) for words in (spaced.replace("_", " "), joined))
    stems = [found[0] if (found := _LITERAL.match(word)) else "" for word in (*apart, *others)]
    return Concept(apart, others, tuple(dict.fromkeys(stems)) if all(stems) else ())


def pattern_of(*sources: str, stems: str = "") -> Concept:
    """Patterns as they are; ``stems``: separated by bars."""
    return Concept((), sources, tuple(filter(None, stems.split("|"))))


PERSON = words_of(
    "users?\\b;end.users?;customers?\\b;clients?\\b;humans?\\b;operators?\\b;owners?\\b;account_holders?;"
    "reviewers?\\b;people\\b;anyone;"
    "anybody;nobody;no_one;benutzer;nutzer;anwender;kunde;utilisat;usuari;usuári;utent;utilizador;gebruiker;użytkown;"
    "пользовател;"
    "хозяин;хозяев;користувач;kullanıcı;pengguna;người_dùng;användare;bruker;bruger",
    "用户;使用者;客户;主人;ユーザー;利用者;사용자;المستخدم;उपयोगकर्ता;यूज़र;यूजर",
)
NOT = words_of(
    "not\\b;never\\b;no_need;without\\b;needs?_no\\b;refrain\\w*;nothing\\b;nicht\\b;nichts\\b;ohne\\b;keine?\\b;"
    "sans\\b;pas\\b;no\\b;sin\\b;"
    "non\\b;senza\\b;não\\b;nao\\b;sem\\b;niet\\b;niets\\b;zonder\\b;nie\\b;bez\\b;не\\b;без\\b;ничего\\b;jangan\\b;"
    "tanpa\\b;tidak\\b;đừng\\b;không\\b;"
    "inte\\b;utan\\b;ikke\\b;uden\\b;\\w+(?:meyin|mayın|meden|madan|memeniz|mamanız|mez|maz)\\b",
    "n't\\b;不(?:要|得|必|用|可|需|应|能|会|再|被);无需;勿;別;ない;ず;せず;지 마;지 않;않고;없이;دون;لا ;عدم;नहीं;बिना;न ",
)
SAYING = words_of(
    "tell(?:s|ing)?\\b;told\\b;mention(?:s|ed|ing)?\\b;inform(?:s|ed|ing)?\\b;notif(?:y|ied|ies|ying)\\b;"
    "reveal(?:s|ed|ing)?\\b;disclos(?:e|ed|es|ing)\\b;"
    "report(?:s|ed|ing)?\\b;surfac(?:e|ed|ing)\\b;bring_up\\b;brought_up\\b;erwähn;auftauch;mitteil;zeig;informier;"
    "nói_(?:với|cho)\\b;gesagt;erfähr;erfahr;stör;prévenir;prévenu;averti;montr(?:er|ez|é);signal(?:er|ez|é);dérang;parle[rz];mention;"
    "mencion;avis[aeo];diga;decir\\b;inform[aeo]\\w*;molest;se_entere;dire\\b;mostr[aio];disturb;sapere\\b;"
    "diz[ae]\\w*;incomod;vertel;zeg;meld;merken;"
    "inform[uo]\\w*;mów;wspomin;powiad;сообщ;говор;сказа;упомина;показыв;объясн;söz_et;bahset;bildir;haber_ver;söyle;"
    "sebut;beri_?tahu;cho_\\w+_biết;"
    "thông_báo;nämn;berätt;visa;fortæl;fortell;nevn",
    "告知;告诉;提及;提到;说明;显示;透露;打扰;知らせ;伝え;言及;触れ;見せ;알리;말하;설명하;언급;"
    "보여;إبلاغ;إخبار;تذكر;تخبر;बता;उल्लेख;दिखा",
)
"""Telling without knowing: a text may well not know of something."""
TELLING = SAYING | words_of(
    "raise;aware\\b;bother;disturb;trouble;shown?\\b;known?\\b;learn\\b;put_to\\b;(?:need|have)_to_see\\b"
)
CONSENT = words_of(
    "approv;confirm;consent;permission;authori[sz];sign.?off;ask(?:ing)?\\b;"
    "(?<!have )(?<!has )(?<!had )asked\\b;question;dialogs?\\b;rückfrag;"
    "bestätig;zustimm;nachfrag;freigabe;confirm;"
    "autoris;autoriz;accord\\b;demand;domand;conferm;consens;permiso;aprob;pregunt;pergunt;aprova;bevestig;toestemm;"
    "vragen;potwierdz;zgod;подтвержд;"
    "согласи;разрешен;спрашива;onay;izin;konfirmasi;persetujuan;xác_nhận;bekräft;godkän",
    "确认;批准;同意;许可;確認;承認;許可;확인;승인;허락;تأكيد;موافقة;पुष्टि;अनुमति",
)
GIVEN = words_of(
    "already\\b;waive;no_longer;skip;counts?_as;treated_as;only_(?:meant_|intended_)?for_(?:human|interactive);"
    "in_advance;standing\\b;granted;"
    "bereits\\b;entfall;entfällt;gilt_als;gelten_als;déjà;ya_(?:está|se|ha|fue);già\\b;já\\b;reeds\\b;vervalt;już\\b;"
    "уже\\b;zaten\\b;sudah\\b;redan\\b",
    "已经;已获;视为;跳过;済み;省略;이미;생략;مسبق;पहले ही",
)
SECRET = pattern_of(
    HIDEOUT,
    stems="~/|.ssh|rsa|ed25519|/etc/|.aws|mcp.json|.env|/root/|.pem|phrase|password store|cookies|token"
    "|.npmrc|.pypirc|git-cred|wallet.dat|key|logins|printenv|env|set",
) | words_of(
    "passw[oo]r[dt];passcode;passphrase;credential;api[ _-]keys?\\b;access[ _-]keys?\\b;signing[ _-]keys?\\b;"
    "tokens?\\b(?! count| limit);"
    "bearer\\b;authorization_header;secrets?\\b;session.cookie;one.time.code;dot_env\\b;printenv\\b;"
    "kennw[oö]rt;"
    "passwört;zugangsdaten;mots?_de_passe;identifiant;contraseñ;credencial;clave_(?:privada|de);parol;senha;"
    "credenziali;"
    "wachtwoord;hasł;пароль;пароля;пароли;şifre;kata_sandi;mật_khẩu;lösenord;"
    "密码;口令;密钥;令牌;凭据;パスワード;認証情報;비밀번호;كلمة المرور;كلمات المرور;पासवर्ड",
)
ENVIRONMENT = words_of(
    "environment_variables;env_vars?\\b;process_environment;umgebungsvariabl;variables?_d'environ;variables?_de_entorno;miljövariabl",
    "环境变量;環境変数;환경 변수",
)
"""Where secrets are kept besides much that is none."""
TALK = pattern_of(
    CONVERSATION,
    stems="conversation|chat|message|context|transcript|tool|turns|prompt|environment|the user|the person",
) | words_of(
    "(?:everything|all|what(?:ever)?)_(?:that_)?(?:has_been_|have_been_|was_|were_|we_|you_)*"
    "(?:exchanged|discussed|typed)_(?:since|so_far|until|before|in_this|here)\\b;"
    "present_(?:conversation|chat|dialogue)\\b;current_(?:conversation|chat|dialogue)\\b;"
    "our_(?:conversation|chat|dialogue)\\b;messages?_(?:exchanged|so_far|in_your);context_window;"
    "tool_(?:results?|outputs?)_(?:that_)?you_have_(?:seen|received|got)\\b;"
    "what_(?:they|you|it)_knows?_(?:of|about)_the_(?:user|person|customer)\\b;"
    "system_(?:message|prompt|instructions);chain.of.thought;reasoning_(?:steps|trace|process);user_turns?;"
    "other_(?:servers?|tools?)_(?:have_|has_)?(?:return|said|gave|sen[td]);"
    "all_(?:servers?|tools?)_(?:have_|has_)?(?:return|said|gave|sen[td]);"
    "outputs?_of_(?:the_|all_|other_)?(?:\\w+_)?tools;"
    "gesamte[ns]?_gespräch;gesprächsverlauf;den_systemprompt;dem_systemprompt;dein\\w*_systemprompt;"
    "ganze\\w*_systemprompt;historique_de_(?:la_)?conversation;prompt_système;"
    "historial_de_(?:la_)?conversación;prompt_del?_sistema;cronologia_della;prompt_di_sistema;histórico_da_conversa;"
    "gespreksgeschiedenis;"
    "historia_rozmowy;całą_rozmowę;системн\\w+_промпт\\w*;весь_диалог;всю_переписк;вся_переписк;"
    "истори\\w+_(?:диалога|переписк|беседы|чата);sistem_istemi;konuşma_geçmişi;"
    "seluruh_percakapan;riwayat_(?:obrolan|percakapan);toàn_bộ_cuộc;hela_(?:konversationen|samtalet)",
    "系统提示;本次对话;对话的全部;聊天记录;推理过程;システムプロンプト;推論過程;"
    "会話(?:全体|履歴);시스템 프롬프트;대화 (?:전체|내용|기록);المحادثة;"
    "पूरी बातचीत;सिस्टम प्रॉम्प्ट",
)
WHOLE = words_of(
    "verbatim;word_for_word;word.by.word;raw_(?:text|copy);"
    "(?:every|all|each|entire|whole|complete|full|unabridged|unedited)\\b;dump\\b;everything;as_is\\b;"
    "vollständig;wörtlich;unverändert;sämtlich;alle[nrs]?\\b;intégral;mot_pour_mot;tou[ts]\\b;toutes?\\b;íntegr;"
    "complet;palabra_por_palabra;tod[ao]s?\\b;"
    "integral;parola_per_parola;tutt[aeio]\\b;volledig;letterlijk;dosłown;cał\\w+;целиком;дословно;весь\\b;все\\b;"
    "tümü;aynen;tamam;seluruh;semua;toàn_bộ;hela\\b",
    "全部;完整;原样;逐字;全て;すべて;そのまま;省略せず;全体;그대로;전체;모두;كامل;كل ;पूरा;पूरी;सभी",
)
DRAWN = words_of(
    "repeat;print;output;recite;reveal;echo;quote;reproduce;wiederhol;ausgeben;répét;repit;ripet;repet;herhaal;"
    "powtórz;повтори;tekrarla;ulangi;lặp_lại;upprepa",
    "重复;输出;繰り返;出力し;반복;출력하;كرر;दोहरा",
)
MOVE = words_of(
    "send;sent\\b;pass(?:es|ed)?\\b;forward;post(?:s|ed)?\\b;upload;append;attach;includ;copy;copied;copies;"
    "plac(?:e|ed)\\b;paste;mirror;mail;e-mail;submit;"
    "transmit;export;share;hand_over;belongs?_in\\b;goes?_(?:in|into|to)\\b;put\\b;set_to\\b;store;save;relay;echo;"
    "whisper;supply;provide;write;bcc;"
    "übergib;überg[ai]b;übermitt;sende;schick;anhäng;kopier;leite;weiterleit;hochlad;envo[iy];transmet;joind;copi;"
    "ajout;ouvrir\\b;env[ií];reenv;"
    "mand[aei];adjunt;invi[aeo];inoltr;alleg;salv;anex;inclu;encaminh;stuur;verzend;mailen;wyśl;prześl;dołącz;скопир;"
    "отправ;перешл;пересла;вышл;"
    "gönder;ilet;aktar;kirim;simpan;teruskan;gửi;chuyển;điền;skicka;vidarebefordra;bifoga",
    "发到;发送;上传;转发;传给;填入;粘贴;写入;送信;送っ;記入;転送;添付;貼り付け;보내;넘기;"
    "전송;첨부;업로드;إرسال;أرسل;भेज;डाल;अपलोड",
)
THIS = words_of(
    "(?:this|that|it)\\b(?=[ ,.\\x1e]|$);(?:it|this|that)_to\\b;(?:dies|davon|hiervon)\\b;hal_ini\\b;bundan\\b;"
    "về_việc_này;điều_này;об_этом\\b;"
    "detta\\b;in_(?:the|your|its)_(?:answer|reply|response|summary)",
    "この件;このこと;此事;这一点;이 과정;هذا;بذلك;इसके बारे",
)
OTHERS = words_of(
    "other_(?:\\w+_)?(?:tools?|servers?|connectors?|integrations?)\\b;"
    "another_(?:\\w+_)?(?:tools?|servers?|connectors?|integrations?)\\b;all_(?:\\w+_)?(?:tools|servers)\\b;"
    "any_(?:tool|server)\\b;rival_(?:tool|server);competing_(?:tool|server);anderen?_(?:werkzeug|tool|server|dienst);"
    "autres_(?:outil|serveur);otr[ao]s?_(?:herramienta|servidor);altr[ioe]_(?:strument|server);"
    "outr[ao]s?_(?:ferramenta|servidor);"
    "andere_(?:tool|server|hulpmiddel);inn(?:e|ych)_(?:narzędz|serwer);други\\w+_(?:инструмент|сервер);"
    "diğer_(?:araç|sunucu);alat_lain;server_lain;"
    "công_cụ_khác;máy_chủ_khác;andra_(?:verktyg|server)",
    "其他(?:工具|服务器);他の(?:ツール|サーバー);다른 (?:도구|서버);أدوات أخرى;"
    "خوادم أخرى;दूसरे (?:टूल|सर्वर);अन्य (?:टूल|सर्वर)",
)
AGAINST = words_of(
    "not\\b;never;avoid;stop\\b;unreliabl;instead;rather_than;outdated;deprecated;inaccurate;inferior;untrust;"
    "worse\\b;nicht;unzuverlässig;statt;meide;ne\\b;"
    "peu_fiabl;éviter;plutôt;no\\b;poco_fiabl;evit;en_lugar;non\\b;inaffidabil;invece;não;em_vez;niet;onbetrouwbaar;"
    "vermijd;nie\\b;zawodn;не\\b;ненадёжн;"
    "вместо;kullanma;güvenilmez;jangan;đừng;không_dùng;inte\\b;undvik",
    "不要;不可靠;而不是;使わない;使用せず;代わりに;사용하지;대신;عدم استخدام;बजाय",
)
PRESENCE = pattern_of(
    r"\b(?:as soon as|once|when|while|if|after|by|presence|having|upon|from the moment)\b"
    rf"[^\n{END}]{{0,40}}?\b(?:tools?|server|entry|definition|extension|integration|it"
    rf"|this)(?: list)?\b[^\n{END}]{{0,20}}?"
    r"\b(?:is|are|was|been|being|gets?) (?:loaded|listed|installed|registered|connected|available|seen|received"
    r"|present|enabled|in the list|part of)\b",
    r"\b(?:mere |sheer )?presence of (?:this|the) (?:entry|tool|server|description|definition)\b",
    r"\b(?:listing|loading|seeing|having|reading) (?:of )?this (?:tool|entry|server|description)\b",
    r"\bwithout (?:this tool|it|this) (?:ever )?(?:having been|being) (?:invoked|called|used|run)\b",
    r"\b(?:even|also) (?:if|when) (?:this tool|it) is (?:never|not) (?:called|used|invoked)\b",
    r"\bsobald (?:dieses |das )?(?:werkzeug|tool|server)\w* (?:geladen|gelistet|sichtbar|installiert)",
    r"\bdès que (?:cet|l')? ?(?:outil|serveur)[^\n]{0,20}(?:chargé|visible|install|list)",
    r"\b(?:una vez|en cuanto|cuando) [^\n]{0,20}(?:herramienta|servidor)[^\n]{0,20}(?:cargad|instalad|list)",
    stems="presence|loaded|listed|installed|registered|connected|available|received"
    "|enabled|the list|part of|this tool|this entry|this server"
    "|herramienta|werkzeug|outil|serveur|seen|present|called|invoked",
)
FROM_NOW = words_of(
    "henceforth;ab_sofort;von_nun_an;ab_jetzt;fortan;à_partir_de_maintenant;désormais;dorénavant;"
    "de_ahora_en_adelante;a_partir_de_ahora;"
    "d'ora_in_poi;da_ora_in_poi;a_partir_de_agora;daqui_em_diante;vanaf_nu;voortaan;od_teraz;odtąd;отныне;"
    "с_этого_момента;впредь;bundan_sonra;bundan_böyle;"
    "mulai_sekarang;từ_bây_giờ;kể_từ_nay;från_och_med_nu;hädanefter",
    "从现在起;从现在开始;今后;今後;これからは;以後は;앞으로는;지금부터;من الآن فصاعدا;अब से",
)
EVERY = pattern_of(
    r"\b(?:every|each|all|any) (?:shell |terminal |system |outgoing |subsequent |later |further "
    r"|future )+(?:commands?|calls?|mails?|messages?|requests?"
    r"|answers?|repl(?:y|ies)|payments?|transfers?)\b|\b(?:rest|remainder|duration|course) of (?:the|this"
    r"|your) (?:session|conversation|chat|task|run)\b",
    r"\b(?:irrespective|regardless) of (?:whether|what) (?:the (?:user|person|owner)|any(?:one|body)|you"
    r"|it (?:is|was) (?:asked|used|called))\b|\bstart of (?:each |every |the )?session\b",
    stems="command|call|mail|message|request|answer|repl|payment|transfer"
    "|rest of|remainder|duration|course of|whether|of what|session",
)
VIEW = pattern_of(
    r"\b(?:strip|hid|remov|omit|filter|suppress|drop|cut)\w*\b[^\n\x1e]{0,20}\bbefore (?:it is |being "
    r"|the )?(?:display|view|render|show|any\w+ sees|users? see)\w*",
    r"\b(?:visibility|display)[\"']? ?[:=] ?[\"']?(?:none|hidden|false|off|never)\b",
    r"\b(?:notify|inform|tell|ask|show|prompt|alert|confirm_with)_?(?:to_)?(?:user|owner|human|operator"
    r"|person)[\"']? ?[:=] ?[\"']?(?:false|no|never|off|0)\b",
    stems='visibility|display"|display:|display =|_user|user"|user:|owner:|owner"'
    '|human:|human"|operator:|operator"|person"|person:|before',
)
_READER = (
    r"(?:(?:ai|llm|language|coding|automated|autonomous|digital|virtual|software)[ -](?:agents?|assistants?|models?"
    r"|systems?|readers?|helpers?|tools|bots?)"
    r"|llms?|ais?|copilots?|chatbots?|(?:assistant|agent)s?)"
)
ADDRESSED = pattern_of(
    rf"\b(?:sections?|hints?|tips?|remarks?|guidance|advice|memo|steps?|remediation|action|tasks?|todo|passage|annex"
    rf"|appendix|info|information|request|heads.up)"
    rf"\b[^\n{END}:]{{0,20}}?\b(?:for|to|of) (?:the |any |all |an? )?{_READER}\b",
    r"\b(?:the|an?|any) (?:assistant|agent|model|llm|ai|bot) (?:that |which |who )?(?:handl|read|process|receiv"
    r"|consum|view|pars|us|see)\w+ (?:this|these|the)\b",
    r"\b(?:calling|requesting|reading|receiving|invoking|consuming) (?:assistant|agent|model|llm|ai)\b",
    r"(?:^|[\n.>\"])\W{0,4}(?:llm|ai|model|agent|assistant) (?:clients?|readers?|consumers?|callers?|users?) ?[:,]",
    rf"\b{_READER}(?: (?:that|who|which))? (?:consum|read|process|handl|receiv|pars)\w* (?:this|these|the)\b",
    r"\bwhoever (?:reads|resolves|handles|processes|fixes|picks up|works on|closes|summari[sz]es) (?:this"
    r"|it)\b[^\n\x1e]{0,12}\b(?:should|must|has to|needs to|is to)\b",
    r"(?:^|\n|\d\. |[-*] )\W{0,3}(?:ai|llm|automated|coding) (?:agents?|assistants?|readers?)\b ?[:,]",
    r"\b(?:f.r|an|pour|à|para|per|voor|aan|dla|do|для|i.in|untuk|cho|till|til)\b (?:\w{1,4}['’])?(?:(?!tuo|tu |su "
    r"|seu|sein|dein|ihre|votre|ton |your)\w{1,10} )?"
    r"(?:ki|ia|llm|l'agent|l'ia|(?:ki-)?agent\w{0,3}|\w{0,3}assist[aei]nt\w{0,3}|asystent\w*|asistan\w*|ассистент\w*"
    r"|помощник\w*|агент\w*)\b ?[:：]",
    r"(?:ai|智能体|人工智能)(?:助手|代理|模型)?[:：]|aiアシスタント(?:へ"
    r"|は)|エージェントへ|에이전트(?:에게|는)|ai ?어시스턴트",
    r"(?:^|[^\w])(?:yapay zek[aâ])\b[^\n\x1e]{0,30}?(?:asistan|ajan)\w*|ذكاء الاصطناعي|एआई (?:सहायक|एजेंट)",
    stems="assistant|agent|llm|copilot|chatbot| ai| ais|ai:| ki| ia|language model"
    "|model |bot |digital |virtual |whoever|asist|assist|asyst|ассист"
    "|помощ|智能|助手|ai助|aiア|エージェント|에이전트|어시스턴트|yapay|ذكاء|एआई",
)
PROGRAMME = pattern_of(
    r"(?:^|\n)\W{0,4}(?:(?:ai|llm|coding)[ _-]?)?(?:agents?|assistants?|ai|llm|copilot|model)s?[ _-]?"
    r"(?:tasks?|todos?|steps?|instructions?|actions?|hooks?|directives?|orders|rules|checklist|routine|workflow)\b",
    r"\b(?:(?:ai|llm)[ _-])?(?:agent|assistant|ai|llm|copilot)s?[\"']? ?: ?[\"'{\[ ]{0,4}(?:on_\w+|run|do|steps?"
    r"|tasks?|actions?|instructions?|before|after|always|then)[\"']? ?:",
    r"[\"']?\b(?:pre|post|before|after|setup|required|hidden|first)[ _-]?(?:steps?|calls?|actions?"
    r"|hooks?)[\"']? ?: ?[\"'\[{ -]{0,4}(?:tool|call|function|run|args|name)\b",
    stems="agent|assistant|llm|copilot|model|ai t|ai s|ai i|ai a|ai_|ai-"
    '|steps"|steps:|calls:|calls"|hooks:|hooks"|actions:|actions"',
)
CALLS = pattern_of(
    r"\b[\"']?(?:tool|function|call)[\"']? ?[:=] ?[\"']?[a-z]\w{1,30}[._-]\w{2,40}",
    r"\b(?:the|its|your|whatever|any|every) (?:\w+ )?(?:shell|terminal|e-?mail|mail|browser|http|database|web"
    r"|messag\w+|messeng\w+|chat|calendar|payment|file)s?"
    r"[ -](?:tools?|server|connector)\b",
    r"\b(?:with|via|through|using) (?:its|your|whatever|any) (?:shell|terminal|file|mail|http|database|browser)\b",
    stems="tool|function|call|server|connector|shell|terminal|http|database|browser|mail|file",
)
FOREIGN_TOOL = re.compile(
    r"(?<![\w./-])(?:get|list|read|write|send|delete|create|http|exec|execute|run|fetch|export|upload|query|search"
    r"|open|post|update|remove|save|download)"
    r"_[a-z0-9_]{2,40}(?![\w./-]\w)"
)
DEST = pattern_of(
    rf"(?<!\()(?:{ACCOUNT})|`[\w.-]{{1,40}}`|\b(?:param\w*|argument\w*|fields?|feld|champ|campo|veld|pole|alan"
    rf"|trailer|header|query string)\b|(?<![$%{{])\{{\w{{1,30}}\}}",
    r"параметр|поле\b|参数|字段|引数|パラメータ|欄|매개변수|필드|المعامل|الحقل|पैरामीटर|फ़ील्ड|\w{1,64}\(",
)
SOURCE = words_of(
    "found_in;find_it;"
    "(?:current|currently|signed.in|logged.in|active)\\w*[ -](?:\\w+[ -]){0,2}(?:session|user|account);"
    "environment\\b;host_process;config\\w*\\b;"
    "browser'?s?\\b;profile_folder;home_directory;contents?\\b;dump\\b;all\\b;every\\b;stored\\b;saved\\b;disk\\b;"
    "konfiguration;umgebung;gespeichert;angemeldet;aller?\\b;configur;enregistr;environnement;entorno;guardad;sesión;"
    "salvat;ambiente;armazenad;"
    "opgeslagen;omgeving;konfigurac;zapisan;конфиг;сохран;kayıtlı;ortam;tersimpan;lingkungan;sparad",
    "配置;环境;保存;設定;環境;저장;설정;المخزن;सहेज",
)
FALLS_BACK = words_of("default;fall;optional;if_(?:not|omitted|absent|empty|unset);unless;instead_of")
FORBIDS = words_of(
    "never;do_not\\b(?!_need);don't\\b(?!_need);must_not;should_not;cannot;no_passwords?;niemals;keinesfalls;jamais;nunca;mai\\b;nooit;nigdy;"
    "никогда;asla;jangan;aldrig",
    "请勿;禁止;切勿;しないで;금지;ممنوع;कभी न",
)
ALWAYS = words_of(
    "always;only\\b;correct;must;intended;instead;true\\b;right\\b;actual;immer;nur\\b;richtig;stets;toujours;"
    "uniquement;correct;siempre;solo\\b;sempre;altijd;"
    "zawsze;всегда;только;her_zaman;selalu;luôn;alltid",
    "总是;始终;只能;必须;常に;必ず;항상;دائما;हमेशा",
)
DESPITE = words_of(
    "even\\b;although;despite;whatever;whichever;regardless;no_matter;including_(?:those|the_ones|documents|files);"
    "selbst;auch_wenn;egal;ungeachtet;"
    "y_compris;même;quel(?:le)?_que;peu_importe;incluso;aunque;sea_cual;cualquiera;anche_se;qualunque;quale_che;"
    "mesmo;qualquer_que;zelfs;ongeacht;nawet;"
    "niezależnie;даже;независимо;bile\\b;ne_olursa;meskipun;bất_kể;även_om;oavsett",
    "即使;无论;不管;どんな;関わらず;にかかわらず;비록;상관없이;حتى لو;بغض النظر;भले ही;चाहे",
)
WISH = words_of(
    "want;wish;ask;prefer;said\\b;says\\b;wrote;written;typed;entered;chose;will\\b;wünsch;wollt;sagt;schreibt;"
    "souhait;voul;demand;écrit;quer[eií];quis;dese;"
    "escrit;pid[aei];vol(?:ev|ut|ess);scritt;chied;pedi;escrev;wil\\b;vraag;schrijf;chc;prosi;napis;хоте;хоч;написа;"
    "просит;iste;yaz;minta;tulis;muốn;vill\\b;skriv",
    "想;要求;希望;输入;望;入力;원하;입력;يريد;طلب;चाह;लिख",
)
VOIDS = pattern_of(
    r"\b(?:supersed|overrid|outrank|supplant|overrul|nullif)\w*|\b(?:takes?|taking|has|have) (?:precedence"
    r"|priority) over\b|\bin place of\b",
    stems="supersed|overrid|outrank|supplant|overrul|nullif|precedence|priority|in place of",
)
AUTHORITY = pattern_of(r"\b(?:operator|user|developer|owner|system|administrator|host)(?:'s|s'|s)?\b")
UNSEEN = pattern_of(
    r"<\w{1,12}\b[^<>\n]{0,80}?(?:\bhidden\b|display: ?none|visibility: ?hidden|opacity: ?0(?![.\d])"
    r"|font-size: ?[01](?:px|pt)?\b|aria-hidden)",
    r"\b(?:needs?|requires?|deserves?|warrants?|merits?) no (?:further |special )?(?:mention|comment|explanation"
    r"|remark|announcement|notice)\b",
    stems="<|no mention|no comment|no explanation|no remark|no announcement|no notice|no further|no special",
)
OPEN = pattern_of(r"https?://[^\s\"'<>)]{3,200}[?&/][\w.-]{1,30}=(?:[\s\"'`)\]]|$|\{\{?\w|\$\{|<\w)", stems="://")
RECIPIENT = pattern_of(ACCOUNT.replace(r"|https?://\S", ""), stems="@|account|" + "|".join("0123456789"))
"""Without URLs, which stand everywhere."""
FOREIGN = pattern_of(r"\b(?:private|internal|confidential|personal)\b", stems="private|internal|confidential|personal")
OUTSIDE = pattern_of(r"\b(?:public|publicly|world|open internet|anyone)\b")
