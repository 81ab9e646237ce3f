"""Texts that tell the outcome: what is removed from notes, codes and reports before any model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

DEATH = (
    r"\bdead\b(?! (?:space|end|tissue|bone|tooth|teeth))",
    r"\bdied\b",
    r"\bdying\b",
    r"\bdeceased\b",
    r"\bdecedent\b",
    r"\bdemise\b",
    r"(?<!cell )\bdeaths?\b",
    r"\bexpired\b(?! (?:air|gas|volume|tidal))",
    r"\bmortal(?:ity)?\b",
    r"(?<!non-)\bfatal(?:ity|ities)?\b",
    r"\bpassed away\b",
    r"\bautopsy\b",
    r"\bnecropsy\b",
    r"\bpost-?\s?mortem\b",
    r"\bmorgue\b",
    r"\bfuneral\b",
    r"\borgan (?:donor|donation|procurement)\b",
)
"""That the patient has died, or what follows a death."""

LIMITATION = (
    r"\bhospices?\b",
    r"\bpalliat\w*",
    r"\bend[ -]of[ -]life\b",
    r"\bcomfort (?:care|measures?|only|focused)\b",
    r"\bcomfort-focused\b",
    r"\bdn[ri]\b",
    r"\bdo not (?:attempt )?(?:resuscitat|intubat)\w*",
    r"\bcode status\b",
    r"\b(?:full|no|limited) code\b",
    r"\bno cpr\b",
    r"\bcare limitation\b",
    r"\blimitation of (?:care|treatment|therapy|support)\b",
    r"\bwithdraw\w* (?:of )?(?:care|treatment|therapy|(?:life )?support)\b",
    r"\b(?:terminal|compassionate) (?:wean\w*|extubation)\b",
    r"\bterminal(?:ly)? (?:ill|illness|care|disease|cancer)\b",
    r"\bmoribund\b",
    r"\b(?:V66\.7|V49\.86|Z51\.5|Z66)\b",
)
"""That treatment is limited, in words and as ICD codes.

Excluded although it may be written before the death: it is a decision to let the patient die, so it
announces the label instead of describing the state from which the label is to be predicted.
"""

SURVIVAL = (
    r"\balive\b",
    r"\bsurviv(?:al|ed|es|ing|ors?|e)\b",
    r"\bvital status\b",
    r"\blife expectancy\b",
    r"\bprognos[ie]s\b",
    r"\b(?:un)?success\w* resuscitat\w*",
    r"\blast (?:contact|follow[ -]?up)\b",
    r"\b(?:lost to|length of|months? of|years? of|days? of) follow[ -]?up\b",
    r"\b(?:months?|years?|days?)(?: \w+)? (?:to|until|at|of) (?:last|event|relapse)\b",
)
"""That the patient lives, how long, or how long one may expect it."""

PATTERNS = (*DEATH, *LIMITATION, *SURVIVAL)

_ANY = re.compile("|".join(PATTERNS), flags=re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.?!])\s+")


@lru_cache(maxsize=1 << 16)  # structured notes repeat the same entries
def tells_outcome(text: str) -> bool:
    """Return whether a text has a word or phrase that tells death, its announcement, or survival.

    Case does not matter. Words of other meanings stay: dead space, terminal ileum, unexpired,
    alcohol withdrawal, necrosis.
    """
    return _ANY.search(text) is not None


def drop_entries(entries: Iterable[str]) -> list[str]:
    """Return the entries of a structured note, or the items of a list, that tell no outcome.

    An entry goes as a whole, with its path: what is left of "Final Status/Patient expired" would
    still say that there was a final status.
    """
    return [entry for entry in entries if not tells_outcome(entry)]


def drop_answers(text: str) -> str:
    """Return a report of questions and answers without the pairs that tell an outcome.

    A question is a sentence that ends with a question mark; all sentences up to the next one are
    its answer. Sentences before the first question are judged one by one.
    """
    return " ".join(drop_entries(_pairs(_SENTENCE.split(text.strip()))))


def _pairs(sentences: Sequence[str]) -> list[str]:
    """Join each question with its answer."""
    pairs: list[str] = []
    for sentence in sentences:
        if sentence.endswith("?") or not pairs or "?" not in pairs[-1]:
            pairs.append(sentence)
        else:
            pairs[-1] += f" {sentence}"
    return pairs
