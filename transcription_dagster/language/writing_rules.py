"""The line-breaking rules of scripts and languages, and the words after which a line should not end."""

from __future__ import annotations

import regex


def word_set(*texts: str) -> frozenset[str]:
    """Return the set of words in the texts."""
    return frozenset(word for text in texts for word in text.split())


#: Titles, which belong to the following name.
TITLES = word_set("mr mrs ms dr prof st sen gov gen col capt lt sgt rev president professor doctor sir lady")
NUMBER_WORDS = word_set(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen",
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion",
    "trillion dozen point",
)
#: Units, which belong to the preceding number.
UNITS = word_set(
    "percent per cent degrees hours minutes seconds days weeks months years dollars euros pounds cents kilometres",
    "kilometers metres meters miles feet inches kilos kilograms grams tons litres liters watts hertz volts am pm a.m",
    "p.m km m cm mm kg mg h ms hz khz mhz ghz kb mb gb tb",
)
MONTHS = word_set("january february march april may june july august september october november december")
#: Words that lean on the next one: articles, prepositions, conjunctions, possessives, auxiliaries, pronouns.
#: One set serves the languages of Western Europe: its few false friends only make a line slightly worse.
FUNCTION_WORDS = word_set(
    "a an the this that these those my your his her its our their some any no every each and or but nor so yet",
    "because although though while when where which who whom whose if unless until since as than whether of in on at",
    "to for from by with without within into onto over under above below between among through during before after",
    "about against around behind beyond near off out toward towards upon is are was were be been being am have has",
    "had do does did will would shall should can could may might must i you he she it we they not very more most",
    "der die das den dem des ein eine einen einem einer und oder aber weil dass wenn als von mit nach bei aus für auf",
    "im ich du er sie wir ihr le la les un une au aux du à et ou mais que qui dans sur pour par avec sans ce",
    "cette el los las una uno y o pero en con sin por para se lo il gli e ma di da nel della um uma os não na het",
    "een van maar met voor op",
)
#: Those that begin a clause.
CONJUNCTIONS = word_set(
    "and or but nor so yet because although though while when where which who whom whose that if unless until since",
    "than whether und oder aber weil dass wenn et ou mais que qui y pero ma maar",
)
#: Particles inside names, as in "Bank of England".
NAME_LINKS = word_set("of de des du del della di da do van von der den la")


#: Marks that must not begin a line, even as separate words: closing punctuation and small kana.
_NEVER_FIRST = frozenset(
    "!%),.:;?]}»›…‼⁇⁈⁉。．，、：；！？」』】）〕〉》〙〗〟｠”’%％‰℃・･ー゠〜～ヽヾゝゞ々〻"
    "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶㇰㇱㇲㇳㇴㇵㇶㇷㇸㇹㇺㇻㇼㇽㇾㇿ"
    "｡｣､ｧｨｩｪｫｬｭｮｯｰﾞﾟ؟،؛۔।॥၊။។៕៖ៗๆฯ"
)
#: Marks that must not end a line.
_NEVER_LAST = frozenset("([{«‹‘“„‚「『【（〔〈《〘〖〝｟¿¡＄￥£€#")
_MARKS_ONLY = regex.compile(r"[^\w\s♩♪♫♬]+")
#: Thai and Lao vowel signs that Unicode treats as letters; they attach to the consonant before (ะ า ำ ๅ) or after.
_FOLLOWS = frozenset("ะาำๅະາຳ")
_LEADS = frozenset("เแโใไເແໂໃໄ")
_CLUSTER = regex.compile(r"\X")
#: Burmese and Khmer virama, which stacks the next consonant below the previous one.
_STACKERS = frozenset("\u1039\u17d2")
#: Thai and Khmer repetition and abbreviation marks, which Unicode treats as letters.
_REPEATS = frozenset("ๆฯៗ")

#: Abbreviations that are always followed by the name or number they belong to.
BEFORE_NAMES = word_set(
    "mr mrs ms dr prof st ste sen gov gen col capt cpt lt sgt cpl maj cmdr adm rev hon pres rep fr sr mt "
    "mts ft pt messrs mme mlle mm pr sra srta srs dra dña dn hr hrn frl ing dipl sigra dott dottssa avv "
    "d.h z.b u.a s.o v.a i.d.r o.ä e.g i.e cf viz bzw ca vgl resp inkl exkl ggf evtl sog bspw p.ej av bd "
    "blvd geb med sig sigg sig.ra dott.ssa egr gent spett profa exmo exma avda ctra urb ee bijv dhr mevr "
    "ul prof.dr hab inż mgr ks św ur tj tzn tzw np m.in woj godz nám tzv např ing mudr judr phdr sv "
    "ул просп пер наб им проф акад доц гр св напр млн млрд тыс долл вул ім κα κος κ.κ δρ π.χ δηλ βλ λεωφ"
)
BEFORE_NUMBERS = word_set(
    "no nos nr vol vols ch chap fig figs p pp pg pág págs art arts sec secs par para n núm nº abs bd s "
    "ziff kap tel jan feb mar apr jun jul aug sep sept oct nov dec okt dez mär ene abr ago dic janv févr "
    "avr juil déc gen mag giu lug ott mon tue tues wed thu thur thurs fri sat sun approx circa est apt rm "
    "ext op bl v eq eqs ref refs rte hwy bldg pag pagg págs str ust pkt poz rys čl odst "
    "кв стр рис табл гл ст корп тел буд σελ αρ τηλ κεφ εικ"
)
#: Abbreviations that may also end a sentence; a following capital does not decide, only a pause or a mark does.
ANYWHERE = word_set(
    "jr vs etc inc ltd co corp bros ave blvd rd st sq u.s u.k u.n e.u a.m p.m ph.d m.d b.a m.a b.sc m.sc "
    "d.c usw u.s.w usf etw n.chr v.chr ud uds dept est"
)
#: Abbreviations of two words: "z. B.", "d. h.", "p. ej.", "n. Chr.".
_PAIRS = word_set(
    "т.е т.д т.п т.к т.н и.о ee.uu ff.aa "
    "z.b d.h u.a s.o i.d v.a o.ä z.t u.u i.a z.zt n.chr v.chr p.ej p.ex s.u a.d e.v s.a j.-c"
)
#: Languages that write an ordinal as a number with a full stop: "3. Oktober", "2. svetová".
ORDINAL_MONTHS = word_set(
    "april august september november januar jänner februar märz mai juni juli oktober dezember leden "
    "března dubna května června července srpna září října listopadu prosince januára februára marca "
    "apríla mája júna júla augusta septembra októbra novembra decembra tammikuuta helmikuuta maaliskuuta "
    "huhtikuuta toukokuuta kesäkuuta heinäkuuta elokuuta syyskuuta lokakuuta marraskuuta joulukuuta mars "
    "maj oktober sierpnia"
)
_ORDINAL_NOUNS = word_set(
    "jahrhundert jahrhunderts mal klasse stock platz tag geburtstag kapitel weltkrieg bundesliga auflage etage"
)
MONTH_NAMES = (
    MONTHS
    | ORDINAL_MONTHS
    | word_set(
        "janvier février avril juin juillet août septembre octobre novembre décembre enero febrero marzo "
        "abril mayo junio julio agosto septiembre octubre noviembre diciembre gennaio febbraio aprile maggio "
        "giugno luglio settembre ottobre dicembre janeiro fevereiro março maio junho julho setembro outubro "
        "novembro dezembro"
    )
)

#: Names of streets, as in "Bahnhofstr. 12" and "Kerkstr. 5".
_STREETS = ("str", "pl")

_SHORT_MONTHS = word_set("jan feb mar apr jun jul aug sep sept oct nov dec okt dez")


def abbreviation(word: str) -> bool:
    """Return whether the lower-case word is an abbreviation, so that its full stop does not prove a sentence end."""
    return word in BEFORE_NAMES or word in ANYWHERE or (len(word) == 1 and word.isalpha() and word != "i")


def never_apart(before: str, after: str) -> bool:
    """Return whether a line or cue must never end between two adjacent words."""
    return (
        _begins_no_line(after)
        or _ends_no_line(before)
        or before[-1:] in _LEADS
        or after[:1] in _FOLLOWS
        or before[-1:] in _STACKERS
        or _one_cluster(before, after)
        or (before[-1:].isdigit() and after[:1] in "%‰°")
    )


def _one_cluster(before: str, after: str) -> bool:
    """Return whether one word's last and the next word's first character form a single grapheme cluster."""
    if before.isascii() and after[:1].isascii():
        return False
    tail = before[-16:] + after[:1]
    return [cluster.end() for cluster in _CLUSTER.finditer(tail)][-2:-1] != [len(tail) - 1]


def _begins_no_line(text: str) -> bool:
    first = text[:1]
    if first not in _NEVER_FIRST:
        return False
    # ".NET", "…and" and German "»Ja«" may begin a line; a mark by itself, or in a script without spaces, may not.
    return first > "\u2fff" or first in _REPEATS or _MARKS_ONLY.fullmatch(text) is not None


def _ends_no_line(text: str) -> bool:
    last = text[-1:]
    return last in _NEVER_LAST and (last > "\u2fff" or _MARKS_ONLY.fullmatch(text) is not None)


def abbreviates(before: str, after: str) -> bool:
    """Return whether the full stop of `before` ties it to the next word: "No." "5", "z." "B.", "3." "Oktober".

    Both words are in lower case without surrounding punctuation.
    """
    before = before.replace("’", "'").rpartition("'")[2]
    if (before in BEFORE_NUMBERS or before.endswith(_STREETS)) and (
        after[:1].isdigit() or after in MONTH_NAMES or after in _SHORT_MONTHS
    ):
        return True
    if before.isdigit() and len(before) <= 2 and (after in ORDINAL_MONTHS or after in _ORDINAL_NOUNS):
        return True
    return before in BEFORE_NAMES or f"{before}.{after}" in _PAIRS
