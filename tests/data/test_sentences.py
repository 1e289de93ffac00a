"""Hard cases of sentence ends, marked with `|`, and laws that hold for any text."""

import random
import string

import pytest

from selfsup.data.sentences import LANGUAGES, split_sentences

CASES = {
    "en": """
Mr. and Mrs. Smith met Dr. Jones on Main St. in London.|He was late.
'Really?' he said.|'Yes,' she said.
"Stop!" cried the man.|"Never!"|"Then go."
J. K. Rowling wrote it.|J. R. R. Tolkien did not.
He left the U.S. Army in May.|She stayed in the U.S.|They wrote.
It cost $3.50 in 1914.|It was a fortune.
She came at 5 p.m.|He came at 6 p.m. on the dot.
Bring pens, paper, etc.|The rest is here.|Bring pens, etc. to class.
See Fig. 3 and p. 12 of vol. II for this.|No.|He won't.
Was it No. 5?|No.|It was 6.
Well ... perhaps.|I waited...|Nothing came.
"I know."|(He did not.)|"Do you?"
I said it was I.|Nobody heard.|So we chose plan B.|It failed.
He stopped. . . .|Then he went on.
(See above.)|Next came e.g. London, i.e. the city.
Prof. A. B. Cook vs. St. John's.|They drew.
Oh! how I ran!|What fun!
“Yes.”|“No.”|‘Why?’ asked Tom.
1. First wash the dish.|2. Then dry it.
The firm of Dombey & Co. has closed.|It was Smith Jr. who paid.
""",
    "de": """
Er kam am 3. Mai an.|Sie kam später.
Das ist z. B. Hunden bekannt, d. h. Tieren.|Gut.
Dr. Müller und Prof. Schmidt wohnen in St. Blasien.|Wirklich?
»Wirklich?« fragte er.|»Ja.«|»Gut!«
„Geh!“ rief sie.|„Nein.“
Im 19. Jahrhundert lebte Wilhelm II. in Berlin.
Das war 1914.|Dann kam der Krieg.
Kapital usw.|Das reicht.|Obst usw. ist da.
Siehe Nr. 5 und S. 12 im Bd. III davon.
Es kostet 3.50 Mark oder 1.000 Taler.|Teuer!
Caesar starb 44 v. Chr. in Rom.|Er war alt.
E. T. A. Hoffmann schrieb.|Wer noch?
Ach ... na ja.|Er ging...|Niemand kam.
Er wohnt in der Berliner Str. 5.|Sie auch.
""",
    "fr": """
M. Dupont et Mme. Durand sont là.|MM. Luys et Burq aussi.
« Vraiment ? » dit-il.|« Oui. »|Elle sortit.
J.-J. Rousseau écrivit.|Il mourut.
Il est né en 52 av. J.-C. à Rome.|Il y vécut.
Des pommes, etc.|Les autres aussi.
Voir p. 12, vol. II et art. 5 du code.
Ah ! vous voilà !|Enfin !
Le Dr. Martin habite bd. Voltaire.|Non ?
Cela coûte 3.50 francs.|C'est cher.
– Oui...|– Non.|– Si !
Mgr. Dupanloup et St. Louis.|Qui ?
C'était en 1914.|La guerre vint.
""",
    "es": """
El Sr. Pérez y la Sra. López vinieron.|Se fueron.
¿Quién es Ud. en verdad?|¡Nadie!
Se lo dije a Ud.|Pero no oyó.
D. Juan y Dña. Inés salieron.|Bien.
¡Hola! ¿qué tal?|Bien.
—¿De veras? —dijo él.|—Sí.
Llegó a los EE. UU. en mayo.|Allí vive.
Pan, vino, etc.|El resto no.
Véase pág. 12, núm. 5 y cap. IV del libro.
Fue en 44 a. C. en Roma.|Murió.
Cuesta 3.50 pesetas.|Es caro.
«Sí.»|«No.»|Luego calló...|Y se fue.
S. A. el príncipe llegó.|¡Viva!
""",
}


def _cases() -> list[tuple[str, list[str]]]:
    return [(language, line.split("|")) for language in CASES for line in CASES[language].strip().split("\n")]


@pytest.mark.parametrize(("language", "sentences"), _cases(), ids=lambda value: value if isinstance(value, str) else "")
def test_hard_cases(language: str, sentences: list[str]) -> None:
    assert split_sentences(" ".join(sentences), language) == sentences


@pytest.mark.parametrize("language", LANGUAGES)
def test_joining_gives_the_paragraph_back(language: str) -> None:
    rng = random.Random(0)
    marks = [*string.ascii_letters, *' .!?…"»«)(-—0123456789', " ", ". ", "Mr. ", " A. ", "Die ", "Él "]
    for _ in range(300):
        text = "".join(rng.choices(marks, k=rng.randrange(200)))
        assert " ".join(split_sentences(text, language)) == text
        clean = " ".join(text.split())
        assert all(split_sentences(clean, language)) or not clean


def test_nothing_has_no_sentences() -> None:
    assert split_sentences("") == []


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ValueError, match="en, de, fr, es, but 'xx' came"):
        split_sentences("Hello.", "xx")
