"""Closed classes of words after which a line should not end."""

from __future__ import annotations


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
