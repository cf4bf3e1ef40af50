from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_dagster.model import Term, Word
from transcription_dagster.transcripts.plain_text import join_words
from transcription_dagster.transcripts.word_edits import correct_words
from transcription_dagster.vocabulary.variants import correct_variants, problems
from transcription_dagster_tests.sample_transcripts import spoken

TERMS = (
    Term("Kubernetes", ("cooper netties", "kubernetes")),
    Term("Cooper Netties Band"),
    Term("stop lamp", ("stop lemp",)),
    Term("AWS", ("a w s",)),
    Term("Grafana", ("graph ana", "grafhana")),
    Term("Meier", ("mayr",)),
    Term("Maier", ("mayr",)),
    Term("Tú", ("to",)),
    Term("naïve", ("nigh eve",)),
)


def corrected(text: str, terms: tuple[Term, ...] = TERMS) -> str:
    words = spoken(text)
    return join_words(correct_words(words, correct_variants(words, terms)))


@pytest.mark.parametrize(
    ("misheard", "written"),
    [
        ("the cooper netties cluster", "the Kubernetes cluster"),
        ("the Cooper Netties cluster", "the Kubernetes cluster"),
        ("the cooper-netties cluster", "the Kubernetes cluster"),
        ('say "cooper netties".', 'say "Kubernetes".'),
        ("(cooper netties), or", "(Kubernetes), or"),
        ("cooper netties's pods", "Kubernetes's pods"),
        ("cooper netties’s pods", "Kubernetes’s pods"),
        ("we use kubernetes and Kubernetes", "we use Kubernetes and Kubernetes"),
        ("an a w s account", "an AWS account"),
        ("graph ana and grafhana", "Grafana and Grafana"),
        ("a nigh eve idea", "a naïve idea"),
    ],
)
def test_variants_become_their_term_and_keep_punctuation(misheard: str, written: str) -> None:
    assert corrected(misheard) == written


@pytest.mark.parametrize(
    ("misheard", "written"),
    [
        ("a stop lemp here", "a stop lamp here"),
        ("Stop lemp on.", "Stop lamp on."),
        ("STOP LEMP ON", "STOP LAMP ON"),
        ("COOPER NETTIES", "Kubernetes"),
    ],
)
def test_the_case_of_the_text_is_kept_where_the_term_has_none(misheard: str, written: str) -> None:
    assert corrected(misheard) == written


@pytest.mark.parametrize(
    "text",
    [
        "cooper nettiest cluster",
        "mini-cooper netties",
        "cooper-netties-like",
        "cooper, netties",
        'cooper "netties',
        "The Cooper Netties Band plays",
        "Mister mayr came",
        "we go to town",
        "biography and graphs",
        "",
    ],
)
def test_ambiguous_variants_are_not_corrected(text: str) -> None:
    assert corrected(text) == text


CHINESE = (
    Term("Kubernetes", ("库伯内提斯",)),
    Term("Claude", ("クロード製", "公司", "在家里", "云")),
    Term("สมหญิง", ("สมยิ่ง", "ดีมากครับ")),
)


@pytest.mark.parametrize(
    ("misheard", "written"),
    [
        (["我们用", "库伯", "内提斯部署", "。"], "我们用Kubernetes部署。"),
        (["库", "伯", "内", "提", "斯，", "好"], "Kubernetes，好"),
        (["库伯，", "内提斯"], "库伯，内提斯"),
        (["库伯，内提斯"], "库伯，内提斯"),
        (["公司", "在", "家里", "的", "云"], "公司在家里的云"),
        (["ชื่อ", "สมยิ่ง", "นะ"], "ชื่อสมหญิงนะ"),
    ],
)
def test_in_a_script_without_spaces_a_variant_is_found_anywhere(misheard: list[str], written: str) -> None:
    words = [Word(text, index, index + 1, glued=index > 0) for index, text in enumerate(misheard)]
    assert join_words(correct_words(words, correct_variants(words, CHINESE))) == written


def test_many_terms_with_a_common_prefix_are_found_quickly() -> None:
    terms = tuple(Term(f"Term{number}", (f"the x{number}q",)) for number in range(3000))
    words = spoken("the cat " * 3000 + "the x7q sat")
    assert [edit.new for edit in correct_variants(words, terms)] == ["Term7"]


def test_the_longest_phrase_wins_wherever_it_begins() -> None:
    terms = (Term("X", ("aa bb",)), Term("Y", ("bb cc dd",)))
    assert corrected("aa bb cc dd", terms) == "aa Y"


def test_an_edit_echoes_the_words_it_replaces() -> None:
    [edit] = correct_variants(spoken("the cooper netties, yes"), TERMS)
    assert (edit.first, edit.last, edit.old, edit.new, edit.kind) == (
        1,
        2,
        "cooper netties,",
        "Kubernetes,",
        "vocabulary",
    )


def test_words_written_together_are_matched_as_they_are_spoken() -> None:
    words = [Word("a", 0, 1), Word("stop", 1, 2), Word("-lemp", 2, 3, glued=True), Word("x", 3, 4)]
    assert join_words(correct_words(words, correct_variants(words, TERMS))) == "a stop lamp x"


HEARD = ["cooper", "netties", "Cooper", "band", "graph", "ana,", "stop", "lemp.", "mayr", "to", "x"]


@given(st.lists(st.sampled_from(HEARD), max_size=20))
def test_corrections_change_nothing_but_variants_and_nothing_twice(texts: list[str]) -> None:
    once = corrected(" ".join(texts))
    assert corrected(once) == once
    words = spoken(" ".join(texts))
    edits = correct_variants(words, TERMS)
    assert all(before.last < after.first for before, after in pairwise(edits))
    touched = {index for edit in edits for index in range(edit.first, edit.last + 1)}
    untouched = [word for index, word in enumerate(words) if index not in touched]
    assert [word for word in correct_words(words, edits) if word in untouched] == untouched


RISKY = (
    Term("Claude", ("cloud", "clod")),
    Term("JSON", ("jason",)),
    Term("SQL", ("sequel",)),
    Term("cache", ("cash",)),
    Term("Polish", ("polish",)),
    Term("byte", ("bite",)),
    Term("Bayes", ("bays",)),
    Term("Go", ("go",)),
    Term("Mark", ("marc",)),
    Term("Wien", ("wine", "vin")),
    Term("Gut", ("gut", "gute")),
    Term("GitHub", ("get up",)),
    Term("III", ("3",)),
    Term("Um", ("o",)),
)


@pytest.mark.parametrize(
    "text",
    [
        "The cloud above the harbor was dark, so Jason paid cash for the sequel. A clod of earth.",
        "She will polish the silver and take a bite. Ships lie in the bays. Let it go. Marc has to get up.",
        "Gute Leute haben es gut, sagte er.",
        "Le vin est bon.",
        "Item 3 of 12.",
        "O barco e o porto.",
    ],
)
def test_ordinary_words_and_names_are_left_to_the_refinement(text: str) -> None:
    assert corrected(text, RISKY) == text


@pytest.mark.parametrize(
    ("misheard", "written"),
    [
        ("a w s and aws", "AWS and AWS"),
        ("wifi and why fi", "Wi-Fi and Wi-Fi"),
        ("shivon's dog and obrien's cat", "Siobhan's dog and O'Brien's cat"),
        ("he was naive", "he was naïve"),
        ("my i phone", "my iPhone"),
    ],
)
def test_unambiguous_variants_are_corrected(misheard: str, written: str) -> None:
    terms = (
        Term("AWS", ("a w s", "aws")),
        Term("Wi-Fi", ("wifi", "why fi")),
        Term("Siobhan", ("shivon",)),
        Term("O'Brien", ("obrien",)),
        Term("naïve", ("naive",)),
        Term("iPhone", ("i phone",)),
    )
    assert corrected(misheard, terms) == written


@pytest.mark.parametrize(
    ("misheard", "written"),
    [
        ("deploy it with terror form", "deploy it with terror form"),
        ("we write java script", "we write JavaScript"),
        ("we write see plus plus in u t f 8", "we write C++ in UTF-8"),
        ("I phone the office from the I phone", "I phone the office from the iPhone"),
        ("every sales force needs Salesforce", "every sales force needs Salesforce"),
        ("we resume after a naive question", "we resume after a naïve question"),
    ],
)
def test_a_phrase_is_corrected_only_if_its_words_never_occur_together_otherwise(misheard: str, written: str) -> None:
    assert corrected(misheard, TRICKY) == written


TRICKY = (
    *RISKY,
    Term("Terraform", ("terror form", "terra firma")),
    Term("Kubernetes", ("cooper netties",)),
    Term("iPhone", ("i phone",)),
    Term("Salesforce", ("sales force",)),
    Term("Influx", ("in flux",)),
    Term("C#", ("see sharp",)),
    Term("C++", ("see plus plus",)),
    Term("UTF-8", ("u t f 8",)),
    Term("JavaScript", ("java script",)),
    Term("OneDrive", ("one drive",)),
    Term("Postgres", ("post grass", "post")),
    Term("Redis", ("read this", "red is")),
    Term("Wi-Fi", ("why fi", "wifi")),
    Term("naïve", ("naive",)),
    Term("résumé", ("resume",)),
    Term("rosé", ("rose",)),
    Term("Llama", ("la ma", "lama")),
    Term("schön", ("schon",)),
    Term("Müller", ("mueller", "mahler")),
    Term("Rust", ("rost", "rast")),
    Term("Dagster", ("das ist er", "dachs")),
    Term("où", ("ou",)),
    Term("Sûreté", ("sur the", "sur")),
    Term("Vercel", ("versailles", "vers elle")),
    Term("sí", ("si",)),
    Term("Año", ("ano", "a no")),
    Term("Kafka", ("casa", "que falta")),
    Term("Perù", ("però", "peru")),
    Term("Azure", ("a sure", "azzurro", "azul")),
    Term("Meta", ("metà", "me ta")),
)
#: Ordinary prose full of the variants above, each in its ordinary meaning.
PROSE = {
    "en": """The cloud above the harbor was dark, so Jason paid cash for the sequel and left. In terror form a line,
    they said, and the crowd obeyed. I phone my mother every day and she tells me what has changed. Our sales force
    is small, prices are in flux, and nobody can see sharp corners in this light. He took one drive along the coast
    to post a letter. Read this before you sign: the light that is red is broken. We resume at nine. A rose stood on
    the table beside a clod of earth. The post grass grows around was painted white. Please polish the silver,
    take a bite and look across the bays. Let it go, said Marc, and get up. You may plus one guest. After this I
    phone the police. A sure sign of spring is the first lama on the hill. He would post the parcel, then see plus
    points everywhere. Peru is high, and Versailles is far. Mahler wrote nine symphonies.""",
    "de": """Das ist er, sagte die alte Frau und zeigte auf den Mann mit dem Hut. Es war schon spät, der Rost saß tief
    im Eisen, und auf der Rast am See sahen wir einen Dachs. Gute Leute haben es gut. Die Post kam an, als Frau
    Mueller gerade ein Stück von Mahler hörte. Der Wein war gut, die Rose rot, und das Lama im Tierpark spuckte. Ohne
    ihn wäre alles anders gekommen. Wir gehen schon wieder los, weil die Zeit es verlangt. Ein naiver Gedanke, aber
    er war nicht falsch. Im Hafen lagen Boote, und am Ufer stand ein Haus, das casa hieß.""",
    "fr": """Le vin est bon, ou du moins il le fut. Elle marche vers elle sans parler, sur le pont de Versailles, et
    ma sœur me dit que la ma foi est une drôle de façon de parler. Je résume la réunion, puis on resume tout. Une rose
    sur la table, un post sur le mur, et le lama du zoo regarde les passants. Tu viens ou tu restes ? Il faut choisir
    entre la mer ou la montagne. On a marché sur la plage, si longtemps que le soleil tombait. Les amis de Marc
    arrivent demain. Le ciel est azur et la ville est calme.""",
    "es": """Si quieres, voy a la casa de mi hermana. No sé que falta en la mesa, pero si llueve nos quedamos. El cielo
    azul no cambia, y a no ser que venga Marc, comemos sin él. En Perú hay una llama, en el zoo un lama. La rosa es
    roja. Vino el año pasado y dijo que no. Te doy las gracias si me ayudas con la meta. Hay un cash machine al lado.
    Dice que la ma no existe. Así que salimos a la calle y vimos el post de la esquina.""",
    "it": """La casa è grande, però il giardino è piccolo. Abbiamo mangiato metà della torta e poi siamo andati al mare.
    Il cielo è azzurro, la meta è lontana, ma si cammina bene. Lama e forchetta stanno sul tavolo. La ma non è una
    parola. Non so se il Perù sia più bello, però ci andrei. Le rose sono nel vaso, il vino è pronto, e si parla fino
    a tardi. Marc dice di no, ma ci pensa su. Il post è stato letto da tutti.""",
}


@pytest.mark.parametrize("language", PROSE)
def test_ordinary_prose_is_never_corrected(language: str) -> None:
    text = " ".join(PROSE[language].split())
    assert [(edit.old, edit.new) for edit in correct_variants(spoken(text), TRICKY)] == []


def test_a_variant_is_in_one_language() -> None:
    words = spoken("the cooper netties museum")
    languages = ("en", "en", "de", "de")
    mixed = [replace(word, language=language) for word, language in zip(words, languages, strict=True)]
    assert len(correct_variants(words, TERMS)) == 1
    assert correct_variants(mixed, TERMS) == []


def test_a_valid_vocabulary_has_no_problems() -> None:
    assert problems([Term("Kubernetes", ("cooper netties",)), Term("Grafana", ("grifana", "graph ana"))]) == []


@pytest.mark.parametrize(
    ("terms", "problem"),
    [
        ([Term("Grafana"), Term("grafana")], "'Grafana' is listed 2 times"),
        ([Term("Grafana", ("grifana", "Grifana"))], "the variant 'grifana' of 'Grafana' is listed 2 times"),
        ([Term("Meier", ("mayr",)), Term("Maier", ("Mayr",))], "'mayr' belongs to 'Meier' and 'Maier'"),
        ([Term("Meier", ("maier",)), Term("Maier", ("meier",))], "'maier' of 'Meier' is a term itself"),
        ([Term("Claude", ("cloud",))], "'cloud' of 'Claude' is risky: an ordinary word or name"),
        ([Term("Polish", ("polish",))], "'polish' of 'Polish' is risky: an ordinary word"),
        ([Term("The Band")], None),
        ([Term("Time")], "the term 'Time' is a common word"),
        ([Term("Terraform", ("terror form",))], "'terror form' of 'Terraform' is risky: an ordinary phrase"),
        ([Term("résumé", ("resume",))], "'resume' of 'résumé' is risky: an ordinary word"),
        ([Term("Tú", ("to",))], "the variant 'to' of 'Tú' is risky"),
        ([Term("GitHub", ("get up",))], "the variant 'get up' of 'GitHub' is risky"),
        ([Term("Grafana", ("--",))], "a variant of 'Grafana' holds no word"),
    ],
)
def test_problems_are_named(terms: list[Term], problem: str | None) -> None:
    named = problems(terms)
    assert (named == []) if problem is None else any(problem in report for report in named)
