"""The words of everyday English that no vocabulary should replace blindly.

Function words and the most frequent verbs, nouns and adjectives of spoken English, put together for this program.
It is a warning list: a word that is missing costs nothing but a warning.
"""

from __future__ import annotations

from collections.abc import Sequence

_LISTED = """
a about above across act action add after again against age ago agree air all allow almost alone along already also
although always am among an and animal another answer any anyone anything appear are area arm around arrive art as ask
at away baby back bad bag ball bank base be bear beat beautiful became because become bed been before began begin
behind being believe below beside best better between big bill bird bit black blood blue board boat body book both box
boy bread break bridge bring brother brought brown build building built business but buy by call came can cannot car
card care carry case cat catch cause center centre certain chair chance change check child children choose church city
class clean clear close cloth cold color colour come common company complete computer consider contain continue
control cook cool corner cost could count country couple course cover cross cry cup cut dark daughter day days dead
deal dear death decide deep did die difference different difficult dinner do doctor does dog doing done door down draw
dream dress drink drive drop dry during each ear early earth easy east eat edge effect egg eight either else end
enough enter even evening ever every everyone everything example expect experience explain eye eyes face fact fall
family far farm fast father fear feel feet fell felt few field fight figure fill final find fine finger finish fire
first fish five floor fly follow food foot for force form forward found four free friend from front full fun game
garden gave general get girl give given glad glass go goes going gold gone good got government great green grew ground
group grow guess had hair half hand hands happen happy hard has hat have he head hear heard heart heavy held hello
help her here herself high hill him himself his hit hold hole home hope horse hospital hot hotel hour hours house how
however huge human hundred husband i ice idea if important in inside instead interest into is island issue it its
itself job join jump just keep kept key kid kids kill kind king kitchen knew know known lady lake land language large
last late laugh law lay lead learn least leave led left leg less let letter level lie life light like line list listen
little live local long look lost lot lots love low lunch made main make man many map march mark market may maybe me
mean means meat meet meeting member men might mile milk million mind mine minute minutes miss moment money month
months moon more morning most mother mountain mouth move movie much music must my myself name nature near necessary
need never new news next nice night nine no none nor north nose not note nothing notice now number of off offer office
often oh oil okay old on once one only open or order other our out outside over own page paint pair paper parent
parents park part party pass past pay people perhaps period person phone pick picture piece place plan plant play
please point police poor position possible power present president press pretty price probably problem program public
pull push put question quick quickly quiet quite rain ran reach read ready real really reason receive record red
remember rest result return rich ride right ring rise river road rock room rose round rule run safe said same sat save
saw say says school science sea season seat second see seem seen self sell send sense sent serve service set seven
several shall she ship shirt shoe shop short should shoulder show shut sick side sign simple since sing single sister
sit six size skin sky sleep slow small smile snow so social soft soldier some someone something sometimes son song
soon sorry sort sound south space speak special spend spring stand star start state station stay step still stone
stood stop store story street strong student study stuff such sudden summer sun sure surface system table take talk
tall tea teach teacher team tell ten test than thank thanks that the their them themselves then there these they thick
thin thing things think third this those though thought thousand three through throw time times tire to today together
told tomorrow tonight too took top touch toward town trade train travel tree trip trouble true truth try turn twelve
twenty two type under understand unit until up upon us use used usual very view visit voice wait walk wall want war
warm was wash watch water way we wear weather week weeks weight well went were west what wheel when where whether
which while white who whole whose why wide wife wild will win wind window winter wish with within without woman women
wonder wood word words work worker world worry would write wrong wrote yard yeah year years yellow yes yesterday yet
you young your yours yourself zero
"""
COMMON_WORDS = frozenset(_LISTED.split())


def is_common(words: Sequence[str]) -> bool:
    """Tell whether folded `words` are everyday speech, every one of them."""
    return bool(words) and all(word in COMMON_WORDS for word in words)
