"""Paragraphs to sentences, by rule, in four languages."""

import re
from dataclasses import dataclass

# A stop with what closes after it (French puts a space before »), at a space that something follows.
_STOP = re.compile(r"""([.!?…]+)((?:\ »|["'”’»«“)\]_*])*)\ (?=\S)""", re.VERBOSE)
# What opens a sentence, then its first word, and the stop that would make that word an initial.
_NEXT = re.compile(r"""(?:["'“”‘’„‚«»(\[¿¡_*]|[—–-]+|(?<=[«»—–-])\ )*([^\W\d_]+|\d|)(\.?)""", re.VERBOSE)
_OPENERS = "\"'“‘„‚«»([¿¡_*—–-"
_INITIALS = re.compile(r"(?:[^\W\d_]\.-?)*[^\W\d_]$")
_ROMAN = re.compile(r"[IVXLCDM]+$")


@dataclass(frozen=True)
class _Rules:
    """What a full stop after these words means.

    never: an abbreviation that needs the next word; the sentence goes on.
    seldom: one that can also end a sentence; it does if a starter follows.
    numbered: one that goes on before a number only ("No. 5" is not "No.").
    starters: words that, with a capital, are hardly names: they begin a sentence.
    letters: may a small single letter be part of an abbreviation ("z. B.")?
    ordinals: does a stop make a number an ordinal ("3. Mai")?
    """

    never: frozenset[str]
    seldom: frozenset[str]
    numbered: frozenset[str]
    starters: frozenset[str]
    letters: bool = True
    ordinals: bool = False


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_RULES = {
    "en": _Rules(
        never=_words(
            """Mr Mrs Ms Mx Messrs Dr Drs Prof Rev Hon Gen Col Capt Lt Lieut Sgt Cpl Maj Brig Cmdr Adm Gov Sen Rep
            Pres Supt Insp Fr Mme Mlle Mgr Mt Ft vs cf viz i.e e.g al approx"""
        ),
        seldom=_words("St Ave Rd Blvd etc Inc Co Corp Ltd Bros Jr Sr Esq Ph.D M.D Dept Univ"),
        numbered=_words(
            """No Nos no nos p pp P vol Vol vols ch Ch chap Chap fig Fig figs Figs eq Eq sec Sec art Art bk Bk c ca
            Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec"""
        ),
        starters=_words(
            """The A An He She It They We You This That These Those There Here In On At To From By With When While
            But And Or If As So For His Her Its Their My Our Your What Who How Why Where Which Then Now Not No Yes
            After Before Because Although Though Since Until Once All Some Many Most Every Each Both Such Only Even
            Thus Therefore However Perhaps Oh Well I"""
        ),
        letters=False,
    ),
    "de": _Rules(
        never=_words(
            """Dr Prof Hr Hrn Fr Frl St Dipl Ing Mag Hl hl geb Ew k.k bzw vgl Vgl ca sog evtl ggf inkl exkl bes insb
            zzgl Gebr z.B d.h z. d. u. Z. D. i.d v.a u.U"""
        ),
        seldom=_words("usw etc Chr Co Jh Jhdt Jr Str Mio Mrd Tsd Std u.a o.Ä u.ä v.Chr n.Chr ff"),
        numbered=_words("Nr Nrn S Bd Bde Kap Art Abb Tab Aufl Tel Abs § Zi Anm Sp"),
        starters=_words(
            """Der Die Das Den Dem Des Ein Eine Einen Einem Einer Er Sie Es Wir Ihr Ich Du Man Und Aber Doch Oder Da
            Dann Dort Hier So Als Wenn Weil Im In Am An Auf Aus Bei Beim Mit Nach Von Vom Zu Zum Zur Für Was Wer Wie Wo
            Warum Wann Diese Dieser Dieses Diesen Dies Sein Seine Ihre Mein Meine Unser Unsere Nun Jetzt Nur Auch Ja
            Nein Kein Keine Nicht Denn Darum Vor Über Unter Um Durch Ohne Bis Noch Schon Alle Jeder Jede Daher Deshalb
            Damals Heute Gestern Morgen Später Trotzdem Während Nachdem Seit Obwohl"""
        ),
        ordinals=True,
    ),
    "fr": _Rules(
        never=_words("M MM Mr Mme Mmes Mlle Mlles Mgr Dr Drs Pr Me Mes St Ste Vve cf Cf av apr env ex p.ex c.-à-d"),
        seldom=_words("etc J.-C Cie Jr Ste bd Bd boul"),
        numbered=_words("n no nos N No p pp P vol t T chap ch art Art fig Fig liv tél éd"),
        starters=_words(
            """Le La Les L Un Une Des Du De D Il Elle Ils Elles On Je J Tu Nous Vous Ce Cet Cette Ces C Cela Ça Et Mais
            Ou Où Or Donc Car Puis Alors Ainsi En Dans À A Au Aux Avec Sans Sous Sur Par Pour Quand Lorsque Comme Si S
            Qui Que Qu Quel Quelle Quoi Comment Pourquoi Son Sa Ses Leur Leurs Mon Ma Mes Notre Votre Non Oui Tout Tous
            Toute Toutes Après Avant Pendant Depuis Bien Plus Jamais Enfin Cependant Pourtant Ne N Y Même Voilà Voici"""
        ),
    ),
    "es": _Rules(
        never=_words(
            """Sr Sra Srta Sres Sras D Dn Dña Dr Dra Dres Lic Ing Prof Profa Gral Cnel Cap Tte Excmo Excma Ilmo Ilma
            Mons Fr Sto Sta S Rvdo EE p.ej ej Ej cf aprox"""
        ),
        seldom=_words("etc Ud Uds Vd Vds V UU EE.UU C Cía Av Avda Jr S.A a.C d.C"),
        numbered=_words("núm Núm núms pág Pág págs p pp P art Art cap vol Vol t T fig Fig tel Tel n N No"),
        starters=_words(
            """El La Los Las Lo Un Una Unos Unas Él Ella Ellos Ellas Yo Tú Nosotros Usted Ustedes Este Esta Estos Estas
            Esto Ese Esa Eso Aquel Aquella Y E O Pero Mas Sino Porque Pues Si Sí No Ni Que Qué Quien Quién Cuando Cuándo
            Como Cómo Donde Dónde Entonces Luego Así En De Del Al A Con Sin Por Para Sobre Desde Hasta Entre Según Tras
            Su Sus Mi Mis Nuestro Nuestra Todo Todos Toda Todas Ya Ahora Hoy Ayer Aquí Allí Después Antes También
            Tampoco Nunca Siempre Nada Nadie Algo Se Le Les Me Te Nos Aunque Mientras Hay Era Fue Es"""
        ),
    ),
}
LANGUAGES = tuple(_RULES)


def split_sentences(paragraph: str, language: str = "en") -> list[str]:
    """Cut a paragraph into its sentences.

    A sentence ends after a stop and what closes behind it (quotes, brackets) at a space, if the next word does not
    begin with a small letter and the stop is not that of an abbreviation, an initial or an ordinal. Only single spaces
    are cut out, so `" ".join` of the sentences of a clean paragraph gives it back.

    Args:
        paragraph: text on one line, as `paragraphs` gives it.
        language: one of `LANGUAGES`.
    Returns:
        The sentences in order.
    Raises:
        ValueError: there are no rules for the language.
    Example:
        >>> split_sentences("'Really?' he said. Mr. J. K. Smith left the U.S. in May.")
        ["'Really?' he said.", 'Mr. J. K. Smith left the U.S. in May.']
    """
    rules = _RULES.get(language)
    if rules is None:
        raise ValueError(
            f"Sentences can be split in {', '.join(LANGUAGES)}, but {language!r} came; choose one of these."
        )
    sentences, start = [], 0
    for stop in _STOP.finditer(paragraph):
        if _ends_sentence(paragraph, start, stop, rules):
            sentences.append(paragraph[start : stop.end() - 1])
            start = stop.end()
    return [*sentences, paragraph[start:]] if paragraph else []


def _ends_sentence(text: str, start: int, stop: re.Match[str], rules: _Rules) -> bool:
    after = _NEXT.match(text, stop.end())
    assert after is not None  # it can match nothing
    word, dotted = after.groups()
    if word[:1].islower() or (not word and dotted):  # reads on; the next dot of a spaced ellipsis
        return False
    if stop[1] != "." or stop[2]:
        return True
    token = text[max(text.rfind(" ", start, stop.start()) + 1, start) : stop.start()].lstrip(_OPENERS)
    first = stop.start() - len(token) <= start + 1
    starter = word in rules.starters and not dotted
    if token in rules.never:
        return False
    if token in rules.numbered and (word.isdecimal() or _ROMAN.match(word)):
        return False
    if token in rules.seldom:
        return starter
    if token.isdecimal():
        return not first and (not rules.ordinals or len(token) > 2 or starter)
    if rules.ordinals and _ROMAN.match(token):
        return starter
    if _INITIALS.match(token) and (rules.letters or len(token) > 1 or token.isupper()):
        return starter or (token == "I" and not first and not dotted)
    return True
