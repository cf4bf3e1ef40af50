"""Numbers and addresses, spoken or written: what is detected and what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from transcription_dagster.model import Word
from transcription_dagster.redaction.numbers import number_runs
from transcription_dagster.redaction.patterns import KINDS, find_patterns, is_card, is_iban

#: Test numbers published by the card schemes.
VISA, AMEX = "4111 1111 1111 1111", "3782 822463 10005"


def words(text: str) -> list[Word]:
    return [Word(part, float(number), number + 0.9) for number, part in enumerate(text.split())]


def detected(text: str, language: str = "en", kinds: tuple[str, ...] = KINDS) -> list[tuple[str, str]]:
    spoken = words(text)
    return [
        (detection.kind, " ".join(word.text for word in spoken[detection.first : detection.stop]))
        for detection in find_patterns(spoken, kinds, language)
    ]


@pytest.mark.parametrize(
    ("digits", "valid"),
    [
        ("4111111111111111", True),
        ("378282246310005", True),
        ("5555555555554444", True),
        ("4111111111111112", False),
        ("0000000000000000", False),
        ("9111111111111111", False),
        ("411111", False),
        ("6666666666666", False),
    ],
)
def test_cards_are_checked_by_luhn(digits, valid):
    assert is_card(digits) is valid


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("GB82WEST12345698765432", True),
        ("DE89370400440532013000", True),
        ("NO9386011117947", True),
        ("DE89370400440532013001", False),
        ("DE8937040044053201300", False),
        ("XX89370400440532013000", False),
        ("", False),
    ],
)
def test_ibans_are_checked_by_length_and_mod_97(text, valid):
    assert is_iban(text) is valid


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"My card is {VISA}, thanks.", ("card", "4111 1111 1111 1111,")),
        (f"My card is {VISA.replace(' ', '-')}.", ("card", f"{VISA.replace(' ', '-')}.")),
        (f"It is an Amex, {AMEX}.", ("card", "3782 822463 10005.")),
        ("four one one one one one one one uh one one one one one one one one please", ("card", None)),
        ("forty-one eleven eleven eleven eleven eleven eleven eleven", ("card", None)),
        ("my IBAN is DE89 3704 0044 0532 0130 00.", ("iban", "DE89 3704 0044 0532 0130 00.")),
        ("It is D E eight nine 3704 0044 0532 0130 double zero, right?", ("iban", None)),
        ("Write to jane.doe@example.org.", ("email", "jane.doe@example.org.")),
        ("It's john dot smith at example dot com, thank you", ("email", "john dot smith at example dot com,")),
        ("Mail me at jane at example.org please", ("email", "jane at example.org")),
        ("Call me on 020 7946 0958.", ("phone", "020 7946 0958.")),
        ("The number is +1 (415) 555-0132.", ("phone", "+1 (415) 555-0132.")),
        ("oh seven seven double oh nine oh oh one two three", ("phone", None)),
        ("My social security number is 536 22 8726.", ("ssn", "536 22 8726.")),
        ("It is 536-22-8726.", ("ssn", "536-22-8726.")),
        ("Call 555 0132.", ("phone", "555 0132.")),
        ("It is 0 123 456.", ("phone", "0 123 456.")),
        ("It is 01 02 03 04.", ("phone", "01 02 03 04.")),
        ("one one one one one one one", ("phone", None)),
        ("The account is gb29nwbk60161331926819.", ("iban", "gb29nwbk60161331926819.")),
        # Digits within a longer number are no card.
        ("It is 411111111111111192.", ("phone", "411111111111111192.")),
        ("It is 924111111111111111.", ("phone", "924111111111111111.")),
        ("The code is four five double two.", ("digits", "four five double two.")),
        ("The IBAN is GB29 NWBK 6016 1331 9268 19.", ("iban", "GB29 NWBK 6016 1331 9268 19.")),
        # Groups that look like years.
        ("My card is 4012 2001 1999 1880.", ("card", "4012 2001 1999 1880.")),
        ("It is FR14 2004 1010 0505 0001 3M02 606.", ("iban", "FR14 2004 1010 0505 0001 3M02 606.")),
        # A digit is misheard, but the number is named.
        ("My card is 4111 1111 1111 1112.", ("card", "4111 1111 1111 1112.")),
        ("The IBAN is DE89 3704 0044 0532 0130 01.", ("iban", "DE89 3704 0044 0532 0130 01.")),
        ("Call 555.123.4567 now.", ("phone", "555.123.4567")),
        ("oh eight hundred, five five five, one two three", ("phone", None)),
        ("forty five eighty one twenty two ninety nine", ("phone", None)),
        ("j smith forty two at example dot com", ("email", "j smith forty two at example dot com")),
        ("It's J O H N at example dot org", ("email", "J O H N at example dot org")),
        ("mail john underscore smith at my dash site dot com now", ("email", None)),
        ("mail john.smith@ example.com now", ("email", "john.smith@ example.com")),
        ("mail john @ example . com now", ("email", "john @ example . com")),
    ],
)
def test_english_numbers_and_addresses(text, expected):
    kind, value = expected
    ((found_kind, found_value),) = detected(text)
    assert found_kind == kind
    assert value is None or found_value == value


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de", "Die Nummer ist vier eins eins eins eins eins eins eins eins eins eins eins eins eins eins eins bitte"),
        ("fr", "quatre un un un un un un un un un un un un un un un"),
        ("es", "cuatro uno uno uno uno uno uno uno uno uno uno uno uno uno uno uno"),
        ("it", "quattro uno uno uno uno uno uno uno uno uno uno uno uno uno uno uno"),
        ("pt", "quatro um um um um um um um um um um um um um um um"),
        ("nl-BE", "vier een een een een een een een een een een een een een een een"),
    ],
)
def test_card_numbers_spoken_in_other_languages(language, text):
    assert [kind for kind, _ in detected(text, language)] == ["card"]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("fr", "zéro six douze trente-quatre cinquante-six soixante-dix-huit"),
        ("fr", "zéro un quarante-deux vingt et un quatre-vingt-dix-sept quatre-vingts"),
        ("es", "seis doce treinta y cuatro cincuenta y seis setenta y ocho"),
        ("pt", "vinte e um trinta e quatro cinquenta e seis setenta e oito"),
        ("it", "ventuno trentotto quarantatré cinquantasei"),
        ("de", "null eins einundzwanzig fünfunddreißig achtzig"),
        ("nl", "nul zes tweeëntwintig vijfendertig tachtig"),
    ],
)
def test_telephone_numbers_spoken_in_pairs(language, text):
    assert detected(text, language) == [("phone", text)]


@pytest.mark.parametrize(
    ("language", "text", "digits"),
    [
        ("fr", "quatre-vingt-dix-sept soixante et onze dix-huit", "977118"),
        ("fr", "soixante-dix quatre-vingts vingt et un", "708021"),
        ("es", "treinta y cuatro veintidós", "3422"),
        ("de", "neunundneunzig zwoundvierzig", "9942"),
        ("en", "forty five twenty-one ten seven", "4521107"),
        ("en", "double 7 five", "775"),
    ],
)
def test_number_words_are_joined_as_they_are_counted(language, text, digits):
    (run,) = number_runs(words(text), language)
    assert "".join(sign.character for sign in run) == digits


def test_each_word_is_read_in_its_own_language():
    spoken = [replace(word, language="de") for word in words("null eins zwo drei vier fünf sechs sieben")]
    assert [detection.kind for detection in find_patterns(spoken, KINDS, "en")] == ["phone"]


def test_what_follows_a_card_number_is_detected_too():
    text = "4111 1111 1111 1111 1234"
    assert detected(text) == [("card", VISA), ("digits", "1234")]


def test_addresses_spoken_in_other_languages():
    for language, address in {
        "de": "max Unterstrich muster ät web Punkt de",
        "fr": "jean tiret dupont arobase orange point fr",
        "es": "juan guion bajo perez arroba gmail punto com",
        "it": "mario trattino rossi chiocciola gmail punto com",
        "nl": "jan punt jansen apenstaartje voorbeeld punt nl",
    }.items():
        assert detected(address, language) == [("email", address)]
    assert detected("das ist anna punkt meier at beispiel punkt de", "de")[0][0] == "email"
    assert detected("escriba a ana arroba ejemplo punto es", "es")[0] == ("email", "ana arroba ejemplo punto es")


DICTATED = [
    # Hesitations, self-corrections and the other speaker's "okay".
    ("en", "phone", "oh seven seven, hmm, nine oh oh, let me see, one two three four five six"),
    ("en", "phone", "oh seven seven nine oh oh... wait, one two three four five six"),
    ("en", "phone", "oh seven seven yep nine double oh got it one two three okay four five six"),
    ("en", "card", "four one one one, uh, one one one one, let me see, one one one one, and one one one one."),
    ("en", "card", "4111 1111 1111 then 1111"),
    ("de", "phone", "null eins sieben eins, ähm, zwo drei, Moment, vier fünf sechs sieben acht"),
    ("fr", "phone", "zéro six, douze, trente-quatre, euh, cinquante-six, soixante-dix-huit"),
    ("es", "phone", "seis uno dos, eh, tres cuatro cinco, vale, seis siete ocho"),
    # Read back by the other speaker.
    (
        "en",
        "phone",
        "oh seven seven oh oh nine two nine one four one, oh seven seven oh oh nine two nine one four one",
    ),
    # Hundreds.
    ("en", "card", "fifty-five hundred, zero zero zero zero, zero zero zero zero, zero zero zero four"),
    ("de", "phone", "null hunderteinundsiebzig dreiundzwanzig fünfundvierzig achtundsechzig"),
    ("de", "phone", "null einhunderteinundsiebzig dreiundzwanzig fünfundvierzig achtundsechzig"),
    ("it", "phone", "trecentotrentatré quarantacinque sessantasette ottantanove zero"),
    ("es", "phone", "seiscientos doce, trescientos cuarenta y cinco, seiscientos setenta y ocho"),
    # Spelling.
    ("en", "phone", "zero-seven-seven-double-nine four five six seven eight nine"),
    ("en", "card", "4111,1111,1111,1111"),
    (
        "en",
        "iban",
        "G for golf B for bravo two nine N W B K six zero one six one three three one nine two six eight one nine",
    ),
    ("de", "phone", "null eins sieben eins zweimal die zwei drei vier fünf sechs"),
    ("fr", "phone", "zéro six douze trente quatre cinquante six soixante dix huit"),
    (
        "fr",
        "iban",
        "FR quatorze, vingt zéro quatre, dix dix, zéro cinq zéro cinq, zéro zéro zéro un, trois M zéro deux, "
        "six zéro six",
    ),
    (
        "es",
        "iban",
        "E S noventa y uno veintiuno cero cero cero cuatro dieciocho cuarenta y cinco cero dos cero cero cero cinco "
        "trece treinta y dos",
    ),
]


@pytest.mark.parametrize(("language", "kind", "text"), DICTATED)
def test_numbers_are_detected_as_people_dictate_them(language: str, kind: str, text: str) -> None:
    assert detected(text, language, ("card", "iban", "phone")) == [(kind, text)]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "one two three four five six seven eight nine ten"),
        ("en", "counting down ten nine eight seven six five four three two one zero"),
        ("en", "It's 10 9 8 7 6 5 4 3 2 1 lift off."),
        ("en", "Two four six eight ten twelve fourteen."),
        ("en", "seven six five four three two one"),
        ("en", "four five six seven eight nine ten"),
        ("en", "page 12, 13, 14, 15 and 16"),
        ("en", "1 000 000 people in 2004 and 250 000 000 in 2010."),
        ("en", "The bill is 1 234 567 dollars."),
        ("de", "einundzwanzig, zweiundzwanzig, dreiundzwanzig, vierundzwanzig"),
        ("de", "Es waren zweihundert Leute und dreihundertfünfzig Gäste."),
        ("fr", "En 1998, il y avait 1 234 567 habitants."),
        ("es", "uno dos tres cuatro cinco seis siete ocho nueve diez"),
        ("es", "doscientos treinta y cinco euros"),
    ],
)
def test_counting_and_amounts_are_left_alone(language: str, text: str) -> None:
    assert detected(text, language, ("card", "iban", "phone", "ssn", "email")) == []


@pytest.mark.parametrize(
    "text",
    [
        "We meet at nine at the office.",
        "In 2019, 2020 and 2021 it was £2,400,000 or 3.50 a head.",
        "One or two of us, maybe three.",
        "Look at me. The dot is red.",
        "It has 12 rooms, 340 seats and 99%.",
        "Oh, I see.",
        "I'm at home. Dot is my friend.",
        "On 12/05/2023, 2023-05-12 and 12.05.23 we met.",
        "Version 3.11.7 and 2.13.0 are out.",
        "From 10,000 and up to 20,000 in 2004 and 2005.",
        "One hundred and twenty three people, two hundred dogs.",
    ],
)
def test_ordinary_speech_is_left_alone(text):
    assert detected(text) == []


def test_only_requested_kinds_are_detected_and_a_card_is_never_a_telephone_number():
    text = f"card {VISA} phone 020 7946 0958"
    assert detected(text, kinds=("phone",)) == [("phone", "020 7946 0958")]
    assert detected(text, kinds=("card",)) == [("card", VISA)]
