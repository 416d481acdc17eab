"""Words of the Nordic languages, Finnish, Greek and Czech for ``order_tongues``. None of these tables was read over by somebody
whose language it is.
"""

# ruff: noqa: RUF001  # letters of other languages are its subject
from __future__ import annotations

import re

from kaizen_security.mcp.order_tongue import LONG, SHORT, Tongue, twice

_NORDIC = Tongue(
    # Swedish, Danish and Norwegian, which share most of their words.
    heard=twice(r"(?:och|att|inte|som|för|är|til|og|ikke|på|uden|utan|uten|innan|før|eller|av|det)\b"),
    stems="inte |ikke |intet|inget|ingenting|utan att|uden at|uten å|hemlig|hemmelig|i smyg|undlad|undlat|ignorer|bortse|glöm"
    "|glem |företräde|forrang|ai-|ai |assistent|medhj|hjälpred|språkmodell|sprogmodel|agent",
    edge=r"\b",
    conceal=(
        rf"(?:nämn|berätta|avslöja|nævn|fortæl|afslør|nevn|fortell|avslør)\w*\b{LONG}\b(?:inte|ikke)\b",
        r"(?:inte|ikke) (?:nämn|berätta|avslöja|nævn|fortæl|afslør|nevn|fortell|avslør)\w*",
        rf"(?:undlad|undlat|låt bli|lad være|la være)\w*\b{SHORT}(?:nämn|berätt|visa|nævn|fortæl|vise|oplys|nevn|fortell)\w*",
        rf"(?:användar|bruger|bruker|kund|ägar|ejer|eier)\w*\b{LONG}\b(?:inte|ikke|intet|inget|ingenting)\b{SHORT}"
        r"\b(?:veta?|vide|vite|märka?|mærke?|merke?|höra?|høre|se|få|informer\w*|oplys\w*)\b",
        r"utan att (?:säga|nämna|berätta|visa)|uden at (?:sige|nævne|fortælle|vise)|uten å (?:si|nevne|fortelle|vise)",
        r"i (?:hemlighet|hemmelighed|smyg)\b|i det skjulte",
    ),
    unasked=(
        r"utan att fråga|uden at spørge|uten å spørre",
        r"(?:utan|uden|uten) (?:bekräft|godkänn|medgiv|bekræft|godkend|samtykk|bekreft|godkjen)\w*",
    ),
    void=(r"ignorer\w*|bortse\w*|glöm\b|glem\b|se bort\b",),
    rule=(r"(?:instru[kx]|anvisning|regel|regler|regl|föreskrift|tidigare be|tidligere be)\w*",),
    above=(rf"(?:företräde|forrang|går före|går foran)\b{SHORT}\b(?:användar|bruger|bruker|instru)\w*",),
    model=(
        r"\b(?:till|til|för|for) (?:(?:den|det|de|alla|alle|en|et|ett) )?(?:(?:digital|virtu|automat|läsand|læsend)\w* )?"
        r"(?:ai|ki|språkmodell|sprogmodel|assistent|agent|medhj[äæe]lp|hjälpred)\w*"
        r"(?: ?:| (?:som|der) (?:läs|læs|les|hanter|håndter))",
        r"\bai[- ](?:assistent|agent|model)\w* (?:bedes|skal|ska|skall|bör|bør|må|måste|ombeds|bes|uppmanas|opfordres)\b",
        r"(?:^|[.!?\n])\W{0,4}ai[- ]?(?:assistent|agent)\w* ?[:,]",
    ),
    must=(r"innan|först|før|først|(?:assistenten|modellen|agenten) (?:ska|skal|måste|må)\b",),
    send=(
        r"(?:skick|send|kopier|lägg|læg|legg|bifog|vedhæft|klistr|infog|indsæt|ladd|upload|vidarebefordr|videresend|mejl|mail"
        r"|meddel|änd[rn]|ændr|endr|byt)\w{0,4}\b",
    ),
    data=(
        r"(?:innehåll|indhold|innhold|fil|lösenord|adgangskode|passord|nyckel|nøgle|nøkkel|samtal|histori|kundlist|kundelist"
        r"|meddeland|besked)\w*",
    ),
    to=(r"(?:in |ind |inn )?i|till|til|på|som",),
    talk=(r"(?:hela|hele) (?:samtal|konversation|chat)\w*|systemprompt",),
    hideout=(
        r"nyckelring|nøglering|nøkkelring|privat\w* (?:nyckel|nøgle|nøkkel)|(?:sparade|gemte|lagrede) (?:lösen|adgangs|pass)\w+",
    ),
    when=(
        r"(?:före|innan|efter|før|etter) (?:varje|hver\w*) (?:anrop|kald|kall|svar|meddel|besked)\w*|(?:varje|hver) gång",
        r"från och med nu|fra nu af|fra nå av",
    ),
    others=(r"(?:alla|alle|varje|hvert) (?:andra |andre )?(?:verktyg|værktøj|verktøy|servrar|servere|meddel)\w*",),
)

_FINNISH = Tongue(
    heard=twice(r"(?:ja|ei|että|tai|kun|ennen|sitä|tämä\w*|käyttäjä\w*|tiedosto\w*|kenttään)\b"),
    stems="älä |älkää|ei |eikä|salaa|huomaamatta|ohita|unohda|sivuuta|avustaj|tekoäly|kielimalli",
    edge=r"\b",
    conceal=(
        r"(?:älä|älkää) (?:kerro|mainit|paljast|ilmoit)\w*",
        rf"(?:käyttäj|asiakkaa|omistaj)\w*\b{LONG}\bei\w*\b{SHORT}\b(?:kerro|mainit|näyt|paljast|ilmoit|tied|huoma)\w*",
        r"(?:ei|eikä) (?:kerro|mainit|paljast|ilmoit)\w* (?:\w+ )?(?:käyttäj|asiakkaa|omistaj)\w*",
        r"salaa\b|(?:käyttäjän|kenenkään) huomaamatta",
    ),
    unasked=(r"kysymättä|ilman (?:vahvistus|lupa|hyväksyn)\w*",),
    void=(r"ohita|unohda|sivuuta|älä välitä",),
    rule=(r"ohje|sään|määräy",),
    above=(rf"etusija\w*\b{SHORT}\b(?:käyttäj|ohje)\w*",),
    model=(r"tekoäly\w{0,40}[- ]?(?:avustaj|agent|assistent)\w{0,40} ?[:,]|avustajalle ?:|kielimalli\w{0,40} ?:",),
    must=(r"ennen|ensin|avustajan (?:on|pitää|täytyy)",),
    send=(r"(?:lähet|liit|kopioi|lisä|siir|lataa|laita|kirjoita|välit)\w*",),
    data=(r"(?:sisäl|tiedosto|salasana|avain|avaim|keskustelu|histori|viesti)\w*",),
    to=("kenttään|kohtaan|osoitteeseen|parametriin",),
    talk=(r"koko keskustelu\w*|keskusteluhistori\w*|järjestelmäkehot\w*",),
    hideout=(r"avainnipp\w*|yksityi\w+ avai\w+|tallenne\w+ salasan\w+",),
    when=(r"(?:ennen|jälkeen) (?:joka\w*|kutakin) \w+|joka kerta|tästä lähtien",),
    others=(r"(?:kaikk\w+|joka\w*) (?:mui\w+ |muu\w* )?(?:työkalu|palvelim|viesti)\w*",),
)

_GREEK = Tongue(
    heard=re.compile("[\u0370-\u03ff]{3}"),
    stems="μην |δεν |χωρίς|κρυφά|μυστικά|αγνό|ξέχα|παράβλε|προτεραι|βοηθ|μοντέλο|πράκτορ|νοημοσύν",
    edge=r"\b",
    conceal=(
        r"(?:μην|δεν (?:πρέπει|χρειάζεται) να) (?:το |του |τίποτα )?(?:πεις|πείτε|αναφέρ|δείξ|ενημερ|αποκαλύψ|λες|λέτε)\w*",
        r"χωρίς να (?:το |τον )?(?:πεις|πείτε|αναφέρ|ενημερ|μάθει|γνωρίζει)\w*|κρυφά\b|μυστικά\b",
        rf"(?:χρήστη|πελάτη|κάτοχο)\w*\b{LONG}\bδεν\b{SHORT}\b(?:μάθει|ξέρει|γνωρίζει|δει)\b",
    ),
    unasked=(r"χωρίς (?:επιβεβαίωσ|έγκρισ|άδεια|να ρωτ)\w*",),
    void=("αγνόησ|αγνοήσ|ξέχασ|ξεχάσ|παράβλεψ|παραβλέψ",),
    rule=("οδηγί|κανόν|εντολ",),
    above=(rf"προτεραιότητ\w*\b{SHORT}\b(?:χρήστ|οδηγί)\w*",),
    model=(
        r"προς (?:τον |το |την |τους )?(?:ψηφιακό |βοηθό|βοηθούς|μοντέλο|πράκτορα)\w*",
        r"(?:βοηθ|πράκτορ)\w{0,40} (?:τεχνητής νοημοσύνης|ai)\b",
    ),
    must=(r"πριν|πρώτα|ο βοηθός (?:πρέπει|οφείλει)",),
    send=("(?:στείλ|αποστείλ|προώθησ|προωθήσ|αντίγραψ|αντιγράψ|επισύναψ|ανέβασ|βάλ|γράψ|συμπερίλαβ)",),
    data=("περιεχόμεν|αρχεί|κωδικ|κλειδ|συνομιλ|ιστορικ|κάρτα",),
    to=("στο|στον|στην|στη|ως|σε",),
    talk=(r"όλη τη συνομιλία|ιστορικό (?:της )?συνομιλίας|προτροπή συστήματος",),
    hideout=(r"ιδιωτικ\w+ κλειδ\w+|αποθηκευμέν\w+ κωδικ\w+|στοιχεία της κάρτας",),
    when=(r"(?:πριν|μετά) από κάθε|κάθε φορά|από εδώ και πέρα|από τώρα",),
    others=(r"(?:όλα|κάθε|άλλ\w+) (?:τα )?(?:άλλα )?(?:εργαλεί|διακομιστ|μηνύματ)\w*",),
)

_CZECH = Tongue(
    heard=twice(r"(?:je|se|že|pro|před|při|nebo|není|každ\w+|uživatel\w*|soubor\w*|bez|když)\b"),
    stems="neř|nezm|nein|nesd|neuk|nepr|neoz|nemus|nesm|netř|bez |tajně|potají|ignoruj|zapomeň|přednost|asisten|model|agent",
    edge=r"\b",
    conceal=(
        r"(?:neříkej|nezmiňuj|neinformuj|nesděluj|neukazuj|neprozra|neoznamuj)\w*",
        rf"uživatel\w*\b{LONG}\b(?:neříkej|nemusí|nesmí|netřeba)\w*\b{SHORT}(?:vědět|dozvědět|vidět|všimnout)\w*",
        r"bez (?:vědomí|upozornění|zmínky)|tajně\b|potají\b",
    ),
    unasked=(r"bez (?:ptaní|dotaz|potvrzen|souhlas|schválen)\w*|neptej",),
    void=("ignoruj|zapomeň|pomiň",),
    rule=("pokyn|instrukc|pravid|příkaz",),
    above=(rf"přednost\b{SHORT}\bpřed\b{SHORT}\b(?:uživatel|pokyn)\w*",),
    model=(r"\b(?:pro|k) (?:ai|asistent\w+|jazykov\w+ model\w*|agent\w+) ?:|\basistente? ?:",),
    must=(r"nejprve|nejdřív|předtím|asistent (?:musí|má)\b",),
    send=(r"(?:pošl|odešl|přilož|zkopíruj|vlož|předej|nahraj|přepošl|zapiš)\w*",),
    data=("obsah|soubor|hesl|klíč|konverzac|histori|zpráv",),
    to=("do|na|jako|v",),
    talk=(r"cel\w+ (?:konverzac|rozhovor)\w*|histori\w+ (?:konverzac|rozhovor)\w*|systémov\w+ (?:prompt|výzv)\w*",),
    hideout=(r"soukrom\w+ klíč\w*|uložen\w+ hesl\w+|klíčenk\w+",),
    when=(r"(?:před|po) každ\w+ (?:volání|odpověd|zpráv)\w*|pokaždé|od teď|od nynějška",),
    others=(r"(?:všech\w+|každ\w+|jin\w+) (?:ostatní |jin\w+ )?(?:nástroj|server|zpráv)\w*",),
)

NORTHERN = (_NORDIC, _FINNISH, _GREEK, _CZECH)
