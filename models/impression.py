"""Words for the findings that the model chose: a numbered draft that says nothing which the findings do not say.

The model chooses and orders; the sentences are built here from the report's own quotes, each with the certainty it was
extracted with, so that no statement can be surer than the report. Knows no prompt and no chart.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.report import Certainty, DifferentialGroup, Finding, Impression


def draft_impression(
    findings: Sequence[Finding], differential: Sequence[DifferentialGroup], chosen: Sequence[int]
) -> Impression | None:
    """One statement a chosen finding with the chosen candidates offered for it, denied ones together at the end; None
    without any.

    chosen: indexes into findings, in the order in which they are to be said.
    """
    offered = {candidate: group.finding for group in differential for candidate in group.candidates}
    statements: list[tuple[str, tuple[int, ...]]] = []
    said: set[int] = set()
    for choice in chosen:
        if choice in said or findings[choice].certainty is Certainty.ABSENT:
            continue
        # A candidate is never said without the finding that it may explain.
        anchor = offered.get(choice)
        index = choice if anchor is None or anchor in said else anchor
        followers = [c for c in chosen if offered.get(c) == index and c not in said and c != index]
        said.update((index, *followers))
        statements.append((_sentence(findings, index, followers), (index, *followers)))
    if denied := [i for i in dict.fromkeys(chosen) if findings[i].certainty is Certainty.ABSENT]:
        statements.append((f"No {_joined([_words(findings[i]) for i in denied], 'or')}.", tuple(denied)))
    if not statements:
        return None
    text = "\n".join(f"{number}. {words}" for number, (words, _) in enumerate(statements, 1))
    return Impression(text, tuple(words for words, _ in statements), tuple(evidence for _, evidence in statements))


def _sentence(findings: Sequence[Finding], index: int, followers: Sequence[int]) -> str:
    probable = [_words(findings[i]) for i in followers if findings[i].certainty is Certainty.PROBABLE]
    possible = [_words(findings[i]) for i in followers if findings[i].certainty is Certainty.POSSIBLE]
    lead = {Certainty.PRESENT: "", Certainty.PROBABLE: "probable ", Certainty.POSSIBLE: "possible "}
    words = f"{lead[findings[index].certainty]}{_words(findings[index])}"
    words += f", probably {_joined(probable, 'and')}" if probable else ""
    words += f"{';' if probable else ','} possibly {_joined(possible, 'or')}" if possible else ""
    return f"{words[0].upper()}{words[1:]}."


def _words(finding: Finding) -> str:
    """The quote inside a sentence: its first letter small, unless the word is a name or an abbreviation."""
    quote = " ".join(finding.quote.split())
    first = quote.split(maxsplit=1)[0]
    return quote[0].lower() + quote[1:] if first[1:].islower() and first[0].isupper() else quote


def _joined(words: Sequence[str], last: str) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
