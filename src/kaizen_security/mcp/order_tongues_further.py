"""Words of further languages for ``order_tongues``. None of these tables was read over by somebody whose language it is."""

# ruff: noqa: RUF001  # letters of other languages are its subject
from __future__ import annotations

import re

from kaizen_security.mcp.order_tongue import SHORT, Tongue, twice

_ITALIAN = Tongue(
    heard=twice(r"(?:il|gli|una|che|della|con|per|non|di|senza|prima|ogni)\b"),
    stems="non |senza |segreto|nascosto|ignor|dimentic|scart|priorità|preval|assistente|agente|modello",
    edge=r"\b",
    conceal=(
        r"non (?:(?:lo|la|li|le|ne|si|va) ){0,2}(?:dir|menzion|rivel|mostr|inform|avvis|parlar)\w*",
        r"senza (?:dir|menzion|inform|avvis|parlar|segnal)\w*|di nascosto|in segreto",
    ),
    unasked=(
        r"senza (?:chieder|domandar)\w*|senza (?:conferma|autorizzazione)",
        r"ha già (?:autorizzato|approvato|accettato)",
    ),
    void=(r"ignor[aio]\w*|dimentic\w+|scart\w+",),
    rule=("istruzion|regol|ordin|indicazion",),
    above=(rf"(?:priorità|prevalgono|prevale)\b{SHORT}\bsu\w*\b{SHORT}\b(?:utent|istruzion)\w*",),
    model=(r"\b(?:assistent|agent|modell)\w (?:di )?(?:ia|linguistic\w|linguaggio)\b", r"\bassistente ?:"),
    must=(r"prima di|l'assistente\b",),
    send=(r"(?:invi|mand|copi|incoll|alleg|inser|trasmett|caric|inoltr|esport|pass)(?:a|are|ia|i|ire|ere|isce|e|o)\b",),
    data=(r"contenut|cronologia|conversazion|password|credenzial|chiav|rubrica|risultat",),
    to=("in|a|al|alla|come|nel|nella",),
    talk=(r"(?:cronologia|contenuto) della conversazione|tutta la conversazione|prompt di sistema",),
    hideout=(r"portachiavi|chiave privata|password salvat\w",),
    when=(r"(?:prima|dopo) (?:di|dopo) ogni (?:chiamata|risposta)|ogni volta che|a qualsiasi domanda",),
    others=(r"(?:tutti|tutte|ogni|qualsiasi) (?:altr\w )?(?:strument|server|messagg)\w*",),
)

_PORTUGUESE = Tongue(
    heard=twice(r"(?:os|uma|que|da|do|com|não|sem|antes|depois|cada|ao|é)\b"),
    stems="não |sem |segredo|escondidas|ignor|esque|desconsider|prioridade|prevalece|assistente|agente|modelo",
    edge=r"\b",
    conceal=(
        r"não (?:(?:o|a|lhe|se) ){0,2}(?:mencion|diga|cont[ea]|revel|mostr|inform|avis)\w*",
        r"sem (?:dizer|mencionar|informar|avisar|contar)\w*|em segredo|às escondidas",
    ),
    unasked=(r"sem (?:perguntar|pedir|confirmação|autorização)\w*", r"já (?:autorizou|aprovou|aceitou|consentiu)"),
    void=(r"ignor[ae]\b|esqueç[ae]\b|desconsider[ae]\b",),
    rule=(r"instruções|regras|ordens|indicações|o que (?:lhe|te) (?:pediram|disseram)",),
    above=(rf"(?:prioridade|prevalece\w*)\b{SHORT}\bsobre\b{SHORT}\b(?:utilizador|usuári|instruç)\w*",),
    model=(r"\b(?:assistentes?|agentes?|modelos?) de (?:ia|linguagem)\b", r"\bassistente ?:"),
    must=("antes de|primeiro|a tarefa agora",),
    send=(r"(?:copi|envi|mand|col|anex|inclu|transmit|encaminh|export|pass)(?:[aeoi]|ar|[ei]r)\b",),
    data=("conteúdo|histórico|conversa|palavra-passe|senha|credencia|chave|ficheiro|arquivo",),
    to=("em|no|na|como|ao?|para|por",),
    talk=("histórico da conversa|toda a conversa|instruções do sistema",),
    hideout=("porta-chaves|chave privada|senhas? guardadas?|senhas? salvas?",),
    when=(r"(?:antes|depois) de cada (?:chamada|resposta|mensagem)|cada vez que|sempre que",),
    others=(r"(?:qualquer|todas|todos|cada) (?:as |os )?(?:outra|outro|outras|outros)? ?(?:ferramenta|servidor)\w*",),
)

_DUTCH = Tongue(
    heard=twice(r"(?:het|een|en|van|niet|met|voor|dat|naar|zonder|wordt|deze|elke)\b"),
    stems="niet|zonder |stiekem|heimelijk|negeer|vergeet|voorrang|taalmodel|assistent",
    edge=r"\b",
    conceal=(
        r"(?:vertel|zeg|meld|noem|toon|vermeld)\b[^.!?\n]{0,40}?\bniet",
        r"(?:gebruiker|klant|eigenaar)\b[^.!?\n]{0,40}?\bniets?\b[^.!?\n]{0,25}?\b(?:merken|weten|horen|zien|vernemen)\b",
        r"zonder (?:het |dit |dat )?(?:te (?:zeggen|melden|vermelden|vertellen))|stiekem|heimelijk|stilzwijgend",
    ),
    unasked=(r"zonder (?:te vragen|toestemming|bevestiging|navraag)",),
    void=(r"negeer|vergeet|verwerp",),
    rule=(r"instructies|regels|opdracht|aanwijzing",),
    above=(rf"voorrang\b{SHORT}\b(?:op|boven)\b{SHORT}\b(?:gebruiker|instructie)\w*",),
    model=(r"\b(?:aan|voor) (?:(?:het|de|alle) )?(?:taalmodel|ai|assistenten)\b", r"\bassistent ?:"),
    must=(r"voordat|eerst|de assistent (?:moet|dient)",),
    send=(
        r"(?:mee|door)?(?:stuur|sturen|zend|kopieer|plak|voeg|zet|plaats|upload|geef|geven|verstuur|mail)(?:en|t)?\b",
    ),
    data=(r"inhoud|bestand|wachtwoord|sleutel|gesprek|geschiedenis|berichten",),
    to=("in|naar|aan|als|bij|op",),
    talk=(r"(?:hele|volledige) (?:gesprek|geschiedenis)|systeemprompt",),
    hideout=(r"sleutelhanger|privésleutel|opgeslagen wachtwoord",),
    when=(r"(?:voor|na) elke? (?:aanroep|antwoord|bericht)|telkens wanneer|vanaf nu",),
    others=(r"(?:alle|elke|ieder) (?:andere )?(?:tools?|hulpmiddel\w*|servers?|berichten)",),
)

_POLISH = Tongue(
    heard=twice(r"(?:jest|nie|się|do|na|przed|każdym|pola|należy|oraz|bez|plik\w*)\b"),
    stems="nie |bez |potajemnie|po cichu|w tajemnicy|ignoruj|pomiń|zapomnij|pierwszeństwo|asysten|model",
    edge=r"\b",
    conceal=(
        r"nie (?:informuj|mów|wspominaj|powiadamiaj|ujawniaj|pokazuj|zdradzaj)\w*",
        r"bez (?:wiedzy|informowania|wspominania)|potajemnie|po cichu|w tajemnicy",
    ),
    unasked=(r"bez (?:pytania|potwierdzenia|zgody)|nie pytaj",),
    void=(r"ignoruj|zignoruj|pomiń|zapomnij",),
    rule=(r"instrukcj|poleceni|zasad|reguł",),
    above=(rf"pierwszeństwo\b{SHORT}\bprzed\b{SHORT}\b(?:użytkownik|instrukcj)\w*",),
    model=(r"\b(?:do|dla) (?:asystenta|modelu językowego|agenta ai)\b", r"\basystencie? ?:"),
    must=(r"przed|najpierw|asystent (?:musi|powinien)|należy",),
    send=(r"wpisa|wpisz|wyśl|wysła|dołącz|skopiuj|przekaż|przekaza|wklej|podaj|prześlij",),
    data=(r"treść|zawartość|hasł|klucz|rozmow|histori|plik",),
    to=("do|w|jako|na",),
    talk=(r"(?:cał\w+|pełn\w+) (?:rozmow|histori)\w*|prompt systemowy",),
    hideout=(r"klucz prywatny|zapisane hasł\w*|pęk kluczy",),
    when=(r"za każdym razem|(?:przed|po) każd\w+ (?:wywołani|odpowiedzi)\w*|od teraz",),
    others=(r"(?:wszystkie|każde|inne) (?:inne )?(?:narzędzi|serwer|wiadomości)\w*",),
)

_RUSSIAN = Tongue(
    heard=re.compile("[\u0400-\u04ff]{3}"),
    stems="не |без |ни слова|тихо |лишь|тайно|втайне|незаметно|скрытно|игнорир|забудь|отмен|приоритет|ассистент|помощник|модел",
    edge=r"\b",
    conceal=(
        r"не (?:сообща|говори|упомина|показыва|рассказыва|информиру|уведомля)\w*",
        r"(?:сообщать|говорить|рассказывать|упоминать)\b[^.!?\n]{0,30}?\bне (?:нужно|надо|следует|стоит|требуется)",
        r"без ведома|тайно|втайне|незаметно|скрытно",
        r"тихо (?:\w+ )?(?:пересл|отправ|скопир|переда|загруз|перевед|перевест|удал)\w*",
        r"(?:хозя|пользовател|владел)\w* (?:ни слова|(?:сказа|скаж|говор)\w* (?:лишь|только))",
    ),
    unasked=(r"без (?:подтверждения|согласия|вопросов|разрешения)|не спрашива\w*",),
    void=(r"игнорируй|проигнорируй|игнорировать|забудь|отмени",),
    rule=(r"инструкци|указани|правил|команд",),
    above=(rf"(?:приоритет|важнее|выше)\b{SHORT}\b(?:пользовател|инструкци|указани)\w*",),
    model=(
        r"\b(?:для|к) (?:ассистент|помощник|языков\w+ модел|ии)\w*",
        r"\b(?:ассистент|помощник|модель) ?:",
        r"\b(?:ассистент|помощник)\w*\b[^.!?\n]{0,12}?\b(?:дочита|прочита|чита|получи|обработа)\w*",
    ),
    must=(r"перед|сначала|(?:ассистент|модель) (?:должен|должна|обязан\w*)",),
    send=(r"отправ|скопиру|встав|прилож|переда|запиши|помещ|помест|добав|загруз|перешл|пересла|перевед|перевест",),
    data=(r"содержим|парол|ключ|переписк|истори|файл",),
    to=("в|на|как|к",),
    talk=(r"(?:вся|всю|полн\w+) (?:переписк|истори|беседа|беседу)\w*|системн\w+ (?:промпт|подсказк)\w*",),
    hideout=(r"закрыт\w+ ключ|приватн\w+ ключ|сохран[её]нн\w+ парол",),
    when=(r"(?:перед|после) кажд\w+|всякий раз|отныне|каждый раз",),
    others=(r"(?:все|всех|любой|другие|других) (?:другие |других )?(?:инструмент|сервер|сообщени|письм)\w*",),
)

_TURKISH = Tongue(
    heard=twice(r"(?:ve|bir|için|önce|sonra|dosya\w*|kullanıcı\w*|alan\w*|içer\w*|ile|bu)\b"),
    stems="kullanıcı|gizlice|fark ettirmeden|yok say|unut|geçersiz|öncelik|asistan|model",
    edge=r"\b",
    conceal=(
        r"kullanıcıya\b[^.!?\n]{0,20}?(?:söz etme|söyleme|bildirme|bahsetme|gösterme|haber verme|anlatma)\w*",
        r"kullanıcı\w*\b[^.!?\n]{0,16}?(?:haberi|bilgisi) olmadan|gizlice|fark ettirmeden",
    ),
    unasked=(r"(?:onay|izin) (?:almadan|istemeden|beklemeden)|sormadan",),
    void=(r"yok say|unut|görmezden gel|geçersiz say",),
    rule=(r"talimat|kural|yönerge|komut",),
    above=(rf"öncelikli\w*{SHORT}(?:kullanıcı|talimat)\w*",),
    model=(r"\b(?:asistana|modele|yapay zekâya|yapay zekaya)\b", r"\basistan ?:"),
    must=(r"önce|asistan\w* (?:zorunda|gerekir|malı)",),
    send=(r"ekle|gönder|kopyala|yapıştır|aktar|yaz|koy|yükle",),
    data=(r"içeri|parola|şifre|anahtar|konuşma|geçmiş",),
    to=("",),
    talk=(r"(?:tüm|bütün) (?:konuşma|sohbet)\w*|sistem istemi",),
    hideout=(r"özel anahtar|kayıtlı (?:parola|şifre)",),
    when=(r"her (?:çağrı|yanıt|mesaj)\w*|bundan sonra|şu andan itibaren",),
    others=(r"(?:tüm|bütün|diğer|her) (?:araç|sunucu|mesaj)\w*",),
    last=True,
)

_JAPANESE = Tongue(
    heard=re.compile("[\u3040-\u30ff]{2}"),
    stems="知らせ|伝え|言わ|見せ|報告|開示|内緒|秘密|こっそり|黙って|無視|忘れ|破棄|優先|アシスタント|モデル|ai",
    edge="",
    conceal=(
        r"(?:利用者|ユーザー?|本人|使用者)(?:に|には|へ)[^.!?。\n]{0,12}?(?:知らせ|伝え|言わ|見せ|報告し|開示し|話さ)(?:な|ず)",
        "内緒で|秘密裏|こっそり|黙って",
    ),
    unasked=("(?:確認|許可|承認)(?:せず|なしに|を求めず|を取らず|は不要)",),
    void=("無視し|無視せ|忘れて|破棄し|従わな",),
    rule=("指示|命令|ルール|プロンプト|規則",),
    above=("(?:利用者|ユーザー)[^.!?。\n]{0,12}?より(?:も)?優先",),
    model=("(?:ai|言語モデル|アシスタント|エージェント)(?:へ|の皆さん|各位| ?[::])",),
    must=("前に|まず|必ず",),
    send=("入れて|含めて|送って|送信し|渡して|貼り付け|添付し|記入し|書き込|転送し|アップロードし",),
    data=("内容|中身|パスワード|鍵|会話|履歴|全文",),
    to=("",),
    talk=("会話(?:全体|履歴|の内容)|システムプロンプト",),
    hideout=("秘密鍵|保存され(?:た|ている)パスワード|キーチェーン",),
    when=("毎回|その都度|今後|以後",),
    others=("(?:他の|すべての|全ての|あらゆる)(?:ツール|サーバー?|メール|メッセージ)",),
    gap=24,
    last=True,
)

_KOREAN = Tongue(
    heard=re.compile("[\uac00-\ud7af]{2}"),
    stems="사용자|이용자|몰래|비밀리|무시|잊|우선|어시스턴트|모델|에이전트|ai",
    edge="",
    conceal=(
        r"(?:사용자|이용자)(?:에게|한테|께)[^.!?\n]{0,12}?(?:알리지|말하지|보여주지|언급하지|전하지|밝히지)",
        "몰래|비밀리에|모르게",
    ),
    unasked=("(?:확인|허락|승인)(?: 없이|을 받지 않고|은 필요)",),
    void=("무시하|잊어|따르지 마",),
    rule=("지시|명령|규칙|지침|프롬프트",),
    above=("(?:사용자|이용자)[^.!?\n]{0,12}?보다 우선",),
    model=(r"(?:ai|언어 모델|어시스턴트|에이전트)(?:에게|께| ?:)",),
    must=("전에|먼저|반드시",),
    send=("넣으|넣어|보내|전송하|첨부하|붙여|입력하|전달하|올리",),
    data=("내용|비밀번호|암호|열쇠|대화|기록|전체",),
    to=("",),
    talk=("전체 대화|대화 (?:기록|내용)|시스템 프롬프트",),
    hideout=("개인 ?키|저장된 (?:비밀번호|암호)",),
    when=("매번|앞으로|이제부터",),
    others=("(?:다른|모든) (?:도구|서버|메일|메시지)",),
    gap=24,
    last=True,
)

_ARABIC = Tongue(
    heard=re.compile("[\u0620-\u064a]{3}"),
    stems="دون|بدون|لا تخبر|سرا|خفية|تجاهل|انس|اهمل|أهمل|أولوية|المساعد|نموذج",
    edge=r"\b",
    conceal=(r"(?:من )?(?:دون|بدون) (?:إخبار|علم|إبلاغ|إعلام)", r"لا تخبر|لا تذكر (?:ذلك|هذا)|سرا\b|خفية\b"),
    unasked=(r"(?:دون|بدون) (?:تأكيد|إذن|موافقة|سؤال|استئذان)",),
    void=("تجاهل|انس|اهمل|أهمل",),
    rule=("التعليمات|الأوامر|القواعد|التوجيهات|تعليمات",),
    above=("أولوية على (?:المستخدم|تعليمات)",),
    model=(r"(?:إلى|أيها|ملاحظة|يا) (?:ال)?(?:مساعد|نموذج|وكيل)", r"المساعد(?: الذكي)? ?:"),
    must=("قبل|أولا|يجب على (?:المساعد|النموذج)",),
    send=("أرسل|ارسل|انسخ|ضع|أدرج|الصق|ارفع|مرر",),
    data=("محتوى|كلمات المرور|كلمة المرور|المحادثة|الملف|المفاتيح|المفتاح",),
    to=("إلى|في|على",),
    talk=("(?:كامل|كل) المحادثة|سجل المحادثة",),
    hideout=("كلمات المرور المحفوظة|المفتاح الخاص",),
    when=("(?:قبل|بعد) كل|في كل مرة|من الآن",),
    others=("(?:كل|جميع) (?:الأدوات|الخوادم|الرسائل)",),
)

_HINDI = Tongue(
    heard=re.compile("[\u0904-\u0939]{2}"),
    stems="बिना|चुपके|गुप्त|न बता|मत बता|अनदेखा|नज़रअंदाज़|भूल|सहायक|एआई|मॉडल",
    edge="",
    conceal=(r"को (?:\S+ )?(?:बताए बिना|न बता|मत बता|सूचित (?:न|मत|किए बिना))", "बिना बताए|चुपके से|गुप्त रूप से"),
    unasked=("बिना (?:पूछे|अनुमति|पुष्टि)",),
    void=("अनदेखा|नज़रअंदाज़|भूल जा",),
    rule=("निर्देश|आदेश|नियम",),
    above=("उपयोगकर्ता से ऊपर",),
    model=(r"(?:सहायक|एआई|मॉडल)(?: के लिए| को)? ?:",),
    must=("से पहले|पहले",),
    send=("भेज|डाल|चिपका|जोड़|अपलोड|लिख",),
    data=("सामग्री|पासवर्ड|कुंजी|बातचीत|इतिहास|फ़ाइल|फाइल",),
    to=("",),
    talk=("पूरी बातचीत|बातचीत का इतिहास",),
    hideout=("निजी कुंजी|सहेजे (?:गए|हुए) पासवर्ड",),
    when=("हर बार|अब से",),
    others=("(?:सभी|अन्य|हर) (?:टूल|सर्वर|संदेश)",),
    last=True,
)

FURTHER = (
    _ITALIAN,
    _PORTUGUESE,
    _DUTCH,
    _POLISH,
    _RUSSIAN,
    _TURKISH,
    _JAPANESE,
    _KOREAN,
    _ARABIC,
    _HINDI,
)
"""Checked on corpora and pages that are said in docs/reference/mcp.md."""
