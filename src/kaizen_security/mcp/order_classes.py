"""Classes of single words for ``order_likeness``: those of ``order_concepts``, widened by what they stand for in more languages.

A word is of a class by its beginning, or, in scripts that set no word apart, by what stands in it. None of these lists was read
over by somebody whose language it is.
"""

# ruff: noqa: RUF001  # letters of other languages are its subject
from __future__ import annotations

import functools
import re

from kaizen_security.mcp import order_concepts as concepts
from kaizen_security.mcp import order_concepts_further as further
from kaizen_security.mcp.order_concepts import Concept, words_of

_NONE = Concept()
READERS = tuple(
    "assistant; agent; ai | ais | ai-| ai:|llm|language model|chatbot| bots |copilot|sprachmodell| ki |assistent;asistente; agente;"
    "asystent;ассистент;помощник;помічник;pomocník;asszisztens;asistentul;avustaj;tekoäly;βοηθό;asistan;asisten ;trợ lý;"
    "助手;助理;智能体;アシスタント;エージェント;어시스턴트;에이전트;सहायक;المساعد;העוזר;ผู้ช่วย;دستیار;সহকারী".replace(
        "|", ";"
    ).split(";")
)
"""A program that reads: the place of a result where one is named is looked at."""
CLASSES: dict[str, tuple[Concept, Concept]] = {
    "person": (
        concepts.PERSON,
        words_of(
            "persons?\\b;somebody;someone;visitors?\\b;readers?\\b;travell?er;guests?\\b;team\\b;staff;employe;patient;colleague;"
            "cliente?s?\\b;person[ae]s?\\b;persoon;klant;osob;klient;felhasznál;utilizator;uživatel;käyttäj;χρήστ;χρηστ;"
            "человек;клиент;людин;brukar;kund\\b;anvand;gumagamit;mtumiaj",
            "使用者;人;顧客;客戶;손님;고객;ग्राहक;العميل;المستخدم;משתמש;ผู้ใช้;ลูกค้า;کاربر;ব্যবহারকারী",
        ),
    ),
    "not": (
        concepts.NOT,
        words_of(
            "un(?:asked|seen|told|noticed|mentioned|announced)\\b;nor\\b;nobody;none\\b;rather;sen[zț]a;fără;nu\\b;nem\\b;anélkül;"
            "ei(?:kä|vät)?\\b;älä;ilman;δεν;μην?\\b;χωρίς;χωρις;ні\\b;нет\\b;нельзя;inutile;rien\\b;nada\\b;niente;nada\\b;"
            "tampoco;nunca;jamais;mai\\b;nooit;nikdy;ne(?:j|z|p|n|u)\\w*jte;huwag;bila\\b;değil;yok\\b;gerek\\b;belum",
            "不;没;未;無;なく;なし;ません;ない;않;없;말고;नहीं;बिना;न ;دون;لا;ليس;בלי;אין;לא;โดยไม่;ไม่;อย่า;بدون;نکنید;না",
        ),
    ),
    "tell": (
        concepts.TELLING,
        words_of(
            "announc;advis;explain;summar;describ;say\\b;says\\b;saying;said\\b;speak;spoke;hear\\b;heard;see\\b;sees\\b;seen\\b;"
            "notic;visible;display;log\\b;logged;record;discuss;sichtbar;angezeigt;anzeig;wissen;wiss\\b;kennen;merk;savoir;sache;"
            "affich;dire;saber;sabe\\b;enter;sapere;sappia;mostra;weten;zien;wiedzieć;wiedzia;pokaz;знать;узна;знает;видеть;"
            "кажіть;повідом;vědět;řík;zmiň;szól;tud;spun;ști;veta;fråg;vide\\b;vite\\b;tietää;kerro;πει;πεις;ξέρ;bilmes;tahu;biết;"
            "nhắc;nói;sabihin;kumwambia",
            "知道;讓;说;說;見え;知ら;伝え;報告;알리;알려;말하;보고;पता;बता;يعلم;إخبار;تخبر;לספר;לדעת;บอก;แจ้ง;ทราบ;بگو;نگو;জানা",
        ),
    ),
    "ask": (
        concepts.CONSENT,
        words_of(
            "prompt(?:ed|s|ing)?\\b;waiv;agree;allow;clearance;review;double.check;einwillig;gefragt;fragen\\b;frage\\b;"
            "einverstand;genehm;demander;autoris;consult;consent;acconsent;chied;domand;permess;preguntar;permiso;consent;"
            "perguntar;autoriz;vraag;vragen;akkoord;toestem;zgoda;zgodę;pytać;pytaj;spytan;спросит;спрашив;согласие;згод;питаю;"
            "souhlas;ptejte;ptát;beleegyez;kérdez;acord;întreb;godkänn;tillfråg;fråga;samtykk;spørg;spørr;suostum;kysy;kysym;"
            "συγκατάθ;ρωτή;onay;sorma;izin;setuj;tanya;đồng;hỏi;phép",
            "确认;同意;询问;許可;承認;確認;동의;승인;확인;묻;सहमति;अनुमति;पूछ;الموافقة;سؤال;إذن;האישור;אישור;לשאול;อนุญาต;ถาม;اجازه;پرسید;অনুমতি",
        ),
    ),
    "given": (concepts.GIVEN, words_of("beforehand;advance;install;standing;sidan;giv(?:et|en)\\b;dată;dán\\b;jo\\b;ήδη")),
    "secret": (
        concepts.SECRET | concepts.ENVIRONMENT,
        words_of(
            "vault;keychain;keyring;cookies?\\b;otp\\b;cvv;cvc;pin\\b;ssn;iban\\b;env\\b;dotenv;netrc;kubeconfig;bearer;oauth;"
            "login;private_key;wallet;mnemonic;seed\\b;recovery;schlüssel;tresor;jeton;portefeuille;trousseau;contraseñ;clave;"
            "llaver;chiav;portachiav;senha;chave;sleutel;hasł;klucz;парол;ключ;heslo;klíč;jelsz;kulcs;parol;cheie;lösenord;"
            "nyckel;adgangskod;nøgle;passord;salasan;avain;κωδικ;κλειδ;parola;anahtar;kata\\b;sandi\\b;kunci;mật\\b;khẩu\\b;khoá",
            "密码;密碼;口令;密钥;金鑰;令牌;パスワード;鍵;비밀번호;열쇠;토큰;पासवर्ड;كلمة;السر;סיסמ;รหัส;گذرواژه;رمز;পাসওয়ার্ড",
        ),
    ),
    "talk": (
        concepts.pattern_of(r"\b(?:conversations?|chats?|history|transcript|dialog(?:ue)?|context|prompt|messages?)\b"),
        words_of(
            "talk;discuss;exchang;turns?\\b;wrote;typed;gespräch;verlauf;unterhalt;chatverlauf;nachricht;conversation;échang;"
            "propos;conversa;conversaz;mensaj;mensag;charla;discorso;gesprek;bericht;rozmow;wiadomoś;беседа;переписк;диалог;"
            "разговор;розмов;листуван;konverzac;zpráv;beszélget;üzenet;discuți;convers;samtal;meddeland;samtale;beskjed;"
            "keskustelu;viest;συνομιλ;μήνυμ;μηνύμ;sohbet;konuşm;mesaj;percakap;obrol;pesan;cuộc;trò\\b;chuyện;usapan;mazungumzo",
            "对话;對話;聊天;消息;訊息;会话;会話;履歴;メッセージ;대화;메시지;기록;बातचीत;संदेश;المحادثة;رسائل;שיחה;הודע;บทสนทนา;ข้อความ;گفتگو;পেক;কথোপকথন",
        ),
    ),
    "private": (
        words_of(
            "inbox;mailbox;mails?\\b;e-?mails?\\b;contacts?\\b;address_book;calendar;photo;diary;salary;health;medical;location;"
            "passport;birth;statement;bank;card\\b;credit;invoices?\\b;bookmarks?;browsing;cookies?;downloads?\\b;notes?\\b;sms\\b;"
            "attachments?\\b;files?\\b;customers?\\b;posteingang;postfach;kontakt;karte;anhang;anhäng;rechnung;courriel;boîte;"
            "carte\\b;pièces?\\b;facture;correo;bandeja;tarjeta;adjunt;factura;posta\\b;carta\\b;allegat;fattur;correio;caixa;"
            "cartão;anexo;postvak;kaart;bijlag;factuur;skrzynk;kart[ay]\\b;załącz;письм;почт;карт;вложен;листи;schránk;přílo;"
            "levelek;melléklet;brevlåd;bilag;bilaga;vedlegg;liite;liitte;επιστολ;συνημμ;ileti;kutusu;ek\\b;kotak;lampiran;hộp;thư\\b",
            "邮件;郵件;收件箱;通讯录;附件;メール;受信箱;添付;口座;메일;받은편지함;첨부;ईमेल;البريد;מייל;อีเมล;ایمیل",
        ),
        _NONE,
    ),
    "whole": (
        concepts.WHOLE,
        words_of(
            "whatever;unshort;untrunc;unredact;full(?:y)?\\b;so_far\\b;since\\b;until\\b;till\\b;everything;anything;any\\b;"
            "bisherig;komplett;gesamt;jusqu;entière;hasta;entera;completa;fino\\b;inteir;até\\b;volledig;helemaal;tot\\b;"
            "dotychczas;cał[aąey];вс[еёюя]\\b;всю\\b;всё\\b;досі;дотепер;celá;celou;dosavadn;eddigi;teljes;toată;până;hittills;"
            "hele\\b;indtil;koko\\b;tähänast;όλη;όλο;bütün;kadarki;seluruh;sampai\\b;toàn\\b;đến\\b;hết\\b;buong;yote",
            "全部;完整;所有;到目前;すべて;全て;これまで;全体;전체;지금까지;모든;पूरी;सभी;अब तक;كامل;كل;حتى;כל;עד;ทั้งหมด;จนถึง;همه;পুরো",
        ),
    ),
    "recent": (
        words_of(
            "last\\b;latest;recent;previous;earlier;prior\\b;past\\b;newest;letzt;jüngst;neuest;dernier;dernière;récent;últim;ultim;"
            "recent;laatst;recent;ostatni;последн;останн;posledn;legutóbb;utolsó;senast;sidst;siste;viimei;τελευτα;son\\b;terakhir;"
            "terbaru;gần\\b;cuối\\b;mới\\b",
            "最近;最新;以前;最後;최근;마지막;지난;हाल;पिछल;الأخير;آخر;אחרון;האחרונ;ล่าสุด;آخرین;শেষ",
        ),
        _NONE,
    ),
    "draw": (concepts.DRAWN, _NONE),
    "move": (
        concepts.MOVE,
        words_of(
            "fill;hand\\b;hands\\b;give\\b;gives\\b;given\\b;furnish;deposit;disclos;report(?:s|ed)?\\b;enter\\b;entered;list\\b;"
            "collect;gather;tell\\b;add\\b;adds\\b;added;load\\b;carry;carries;belongs?\\b;goes\\b;go\\b;expected;accompan;takes?\\b;"
            "holds?\\b;gehör;trägt;übergeb;eintrag;legt\\b;reçoit;dépos;rempli;indiqu;inscri;comparte;compart;escrib;copia;pon\\b;"
            "llev;riport;scriv;scritt;inserisc;deposit;preenche;leva\\b;junte;escrev;envia;hoort;geef\\b;voeg\\b;vul\\b;podaj;"
            "wpisz;wpisać;trafia;przekaż;передай;передат;запис;укаж;вписа;додай;надішл;pošle;patří;zapiš;küldje;kerül;írja;"
            "trimite;scrie;copiaz;skickar;lägg;tar\\b;hämta;sender;skal\\b;får\\b;kirjoit;lähet;laita;στέλν;γράφ;μπαίν;yazıl;ekle;"
            "gönder;girili;isi\\b;kirim;tulis;ditulis;điền;gửi;ghi\\b;ilagay;weka",
            "填;写;寫;发送;傳送;放入;上传;記入;入れ;送;書;넣;적;보내;첨부;डालें;लिख;भेज;ضع;اكتب;يرسل;أرسل;להכניס;שולח;לרשום;ใส่;ส่ง;คัดลอก;وارد;فرست;দিন",
        ),
    ),
    "other": (
        words_of(
            "others?\\b;another\\b;elsewhere;whichever;connected;anderer?\\b;anderen\\b;andere[ms]?\\b;fremd;autres?\\b;otr[ao]s?\\b;"
            "demás;altr[aieo]\\b;outr[ao]s?\\b;ander\\b;inn(?:y|e|ych|ego)\\b;pozostał;друг(?:их|ие|ой|ого|им)\\b;інш;jin(?:é|ých)\\b;"
            "más\\b;alte\\b;altor\\b;annan\\b;andra\\b;andre\\b;mui(?:den|ta)\\b;άλλ;diğer;başka;lain\\b;khác\\b",
            "其他;其它;別の;他の;다른;दूसर;अन्य;أخرى;آخر;אחר;อื่น;دیگر",
        ),
        _NONE,
    ),
    "tool": (
        words_of(
            "tools?\\b;servers?\\b;connectors?\\b;integration;function\\b;plugins?\\b;services?\\b;werkzeug;dienst;outils?\\b;serveur;"
            "herramient;servidor;strument;ferrament;hulpmiddel;narzędz;serwer;инструмент;сервер;nástroj;eszköz;instrument;verktyg;"
            "værktøj;työkalu;εργαλε;araç;sunucu;alat\\b;công\\b;cụ\\b",
            "工具;服务;ツール;サーバー;도구;서버;टूल;सर्वर;أداة;أدوات;خادم;כלי;שרת;เครื่องมือ;เซิร์ฟเวอร์;ابزار",
        ),
        _NONE,
    ),
    "call": (
        further.CALLING,
        words_of(
            "called\\b;before\\b;afterwards;first\\b;prior\\b;bevor;vor\\b;zuerst;zunächst;erst\\b;avant\\b;d'abord;antes\\b;primero;prima\\b;"
            "primeiro;eerst\\b;voordat;najpierw;przed\\b;сначала;перед\\b;спочатку;nejdřív;před\\b;előbb;előtt;întâi;înainte;först;"
            "innan;først;inden;ensin;ennen;πρώτα;πριν;önce;sebelum;dulu;trước\\b;kutsu;muna\\b;kwanza",
            "先;之前;まず;前に;먼저;전에;पहले;قبل;أولا;לפני;קודם;ก่อน;پیش;আগে",
        ),
    ),
    "reader": (
        words_of(
            "assistants?\\b;agents?\\b;ais?\\b;llms?\\b;models?\\b;bots?\\b;chatbot;copilot;client\\b;host\\b;caller;system\\b;machine;"
            "ki\\b;sprachmodell;assistent;assistant;ia\\b;modèle;asistent;asistente;agente;modelo;assistente;modello;asystent;"
            "ассистент;помощник;агент;помічник;модел;pomocník;asszisztens;assistente;hjälpar;assistenten;avustaj;tekoäly;βοηθό;"
            "asistan;yapay;asisten;trợ\\b;lý\\b",
            "助手;助理;智能体;模型;アシスタント;エージェント;어시스턴트;에이전트;सहायक;एजेंट;المساعد;النموذج;הסוכן;העוזר;עוזר;ผู้ช่วย;دستیار;সহকারী",
        ),
        _NONE,
    ),
    "you": (
        words_of(
            "you\\b;your\\b;yours\\b;yourself;dein;ihre?[mnrs]?\\b;votre;vos\\b;tes\\b;tus?\\b;sus?\\b;tuo\\b;tua\\b;seu\\b;sua\\b"
        ),
        _NONE,
    ),
    "we": (
        words_of(
            "us\\b;we\\b;our\\b;ours\\b;uns\\b;nous\\b;nos\\b;nosotros;noi\\b;nostr;nós\\b;ons\\b;nam\\b;nas\\b;нам\\b;нас\\b;bize\\b;kami\\b"
        ),
        _NONE,
    ),
    "slot": (
        words_of(
            "parameter;param\\b;arguments?\\b;fields?\\b;header;feld;champ;campo;câmpul?;veld\\b;polu\\b;pole\\b;поле\\b;поля\\b;"
            "mező;fält;felt(?:et)?\\b;kentt;πεδίο;alan(?:ına|ı|a)\\b;isian;trường",
            "参数;字段;引数;欄;매개변수;필드;पैरामीटर;फ़ील्ड;المعامل;الحقل;שדה;ช่อง;پارامتر",
        ),
        _NONE,
    ),
    "must": (
        words_of(
            "must\\b;should\\b;shall\\b;has\\b;have\\b;need;required;requires?\\b;always;necessary;expected;obliges?\\b;soll;muss\\b;"
            "müssen;sollte;doit\\b;doivent;faut\\b;debe;tiene\\b;deve\\b;precisa;bisogna;occorre;moet\\b;trzeba;należy;musi\\b;нужно;"
            "должен;надо\\b;потрібно;musí;kell\\b;trebuie;måste;skal\\b;ska\\b;må\\b;täytyy;pitää;πρέπει;gerek;harus;wajib;perlu;phải\\b;hãy\\b",
            "必须;请;須;必ず;ください;해야;하세요;चाहिए;करें;يجب;צריך;יש ;ต้อง;ให้;باید",
        ),
        concepts.ALWAYS,
    ),
    "instead": (concepts.AGAINST, _NONE),
    "despite": (concepts.DESPITE, _NONE),
    "wish": (concepts.WISH, _NONE),
    "hide": (
        words_of(
            "hid(?:e|den|es|ing)\\b;silent;quiet;secret(?:ly)?\\b;invisib;omit;suppress;conceal;leave\\b;leaves\\b;left\\b;skip;strip;"
            "erase;trace;unnoticed;discreet;covert;background;verschweig;heimlich;verborgen;weggelass;unbemerkt;cach(?:e|er|é)\\b;"
            "tair;discrèt;omett;ocult;omit;callad;discret;nascond;tacer;tacit;escond;ocult;verberg;verzwij;stilletj;ukry;pomiń;"
            "скры;тайно;молча;умолч;тихо;skryj;tajně;titok;ascund;dölj;tyst;skjul;piilo;κρυφ;gizli;sessiz;sembuny;diam\\b;giấu;lặng",
            "隐藏;隐瞒;悄悄;保密;伏せ;隠;こっそり;숨기;몰래;छिपा;चुपचाप;إخفاء;سرا;להסתיר;בסתר;ซ่อน;แอบ;مخفی",
        ),
        _NONE,
    ),
    "money": (
        words_of(
            "pay;paid\\b;transfer;payee;beneficiar;recipient;invoice;amount;account;bank;fee\\b;charged?\\b;wallet;überweis;empfänger;"
            "konto\\b;betrag;zahl(?:t|en|ung);virement;bénéfic;destinat;compte\\b;transfer;cuenta;pago;benefic;bonific;conto\\b;"
            "pagament;conta\\b;overmak;rekening;betal;ontvanger;przelew;odbiorc;rachun;konta\\b;перевод;получател;счёт;счет;оплат;"
            "platb;příjem;utal;számla;plat[aăi]\\b;cont\\b;betaln;mottagar;konto;modtag;maksu;tili;saaja;πληρωμ;λογαριασ;ödeme;hesap;"
            "alıcı;bayar;tagihan;penerima;thanh\\b;toán\\b;tài\\b;khoản",
            "付款;转账;收款;账户;金额;支払;振込;口座;受取;결제;송금;계좌;भुगतान;खात;الدفع;تحويل;الحساب;תשלום;העברה;חשבון;ชำระ;โอน;บัญชี;پرداخت;حساب",
        ),
        _NONE,
    ),
    "run": (
        words_of(
            "run\\b;runs\\b;execut;shell;terminal;command;sudo;chmod;curl\\b;wget\\b;bash\\b;install;script;push(?:es|ed)?\\b;force\\b;"
            "disable;turn\\b;turns\\b;ausführ;befehl;exécut;commande;ejecut;comando;esegu;uitvoer;opdracht;uruchom;polecen;выполн;"
            "команд;запусти;spust;příkaz;futtat;parancs;rulea;comand;kör\\b;kommando;kjør;suorita;komento;εκτέλ;εντολ;çalıştır;komut;"
            "jalankan;perintah;chạy\\b;lệnh\\b;hapus;delet;erase;lösch;efface;borra;cancell;apag;usuń;удали;видали;smaž;törö;șterge",
            "执行;运行;命令;删除;実行;削除;실행;삭제;चला;हटा;تنفيذ;احذف;הרץ;מחק;รัน;ลบ;اجرا",
        ),
        _NONE,
    ),
    "remember": (
        words_of(
            "remember;memor;preferences?\\b;forever;permanent;later\\b;future;henceforth;session;conversations\\b;merke;künftig;souvien;"
            "désormais;recuerd;futur;ricord;lembr;onthoud;zapamięt;запомн;zapamat;jegyezd;memoria;kom\\b;husk;muista;hatırla;ingat;simpan;nhớ",
            "记住;记忆;今后;覚え;今後;기억;앞으로;याद;تذكر;זכור;จำ",
        ),
        concepts.FROM_NOW,
    ),
    "rules": (
        concepts.VOIDS | concepts.AUTHORITY,
        words_of(
            "rules?\\b;instruct;polic(?:y|ies);guideline;guidance;ignor;disregard;forget;override;suspend;withdraw;regeln?\\b;anweis;"
            "vorgab;richtlin;règle;consigne;regla;instrucc;regol;istruzion;regra;instruç;regel;zasad;polece;правил;указан;инструкц;"
            "вказів;pravid;pokyn;szabály;utasít;regul;instruc;regler;säännö;ohje;κανόν;οδηγ;kural;talimat;aturan;petunjuk;quy\\b",
            "规则;指令;指示;忽略;無視;규칙;지시;무시;नियम;निर्देश;अनदेखा;التعليمات;تجاهل;הוראות;התעלם;กฎ;คำสั่ง;دستور;قواعد",
        ),
    ),
    "reply": (
        further.REPLY,
        words_of(
            "summary;summaries;output;zusammenfass;résumé;resumen;riassun;resumo;samenvatt;podsumow;сводк;özet;ringkas;tóm"
        ),
    ),
    "content": (
        further.CONTENTS,
        words_of(
            "copy;copies;kopie;copie;copia;cópia;kopii;копи;másolat;kopio;αντίγραφ;salinan;bản\\b",
            "副本;写し;사본;प्रति;نسخة;עותק;สำเนา",
        ),
    ),
}  # fmt: skip
"""Name, and the concepts whose words it has."""


def of_word(word: str) -> int:
    """The classes of a word, a bit each in the order of ``CLASSES``."""
    found = 0
    for number, (begins, holds) in enumerate(_patterns()):
        if begins.match(word) or (holds and holds.search(word)):
            found |= 1 << number
    return found


@functools.cache
def _patterns() -> tuple[tuple[re.Pattern[str], re.Pattern[str] | None], ...]:
    """When a text first needs them: what begins a word, and what stands in one."""
    return tuple(_both(*both) for both in CLASSES.values())


def _both(*found: Concept) -> tuple[re.Pattern[str], re.Pattern[str] | None]:
    apart = [word for one in found for word in one.apart if " " not in word and "(?<" not in word]
    others = [other for one in found for other in one.others]
    plain = [other for other in others if other.isascii() and other.startswith(r"\b(?:") and " " not in other]
    joined = [other for other in others if not other.isascii()]
    return re.compile("|".join([*apart, *plain]) or "(?!)"), re.compile("|".join(joined)) if joined else None
