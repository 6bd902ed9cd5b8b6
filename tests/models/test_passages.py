"""What may be quoted of a report: nothing that reads surer than it was read, and nothing in another place."""

import pytest

from models.passages import Passages
from models.report import Certainty, Finding, SectionKind, Span
from models.sections import split_sections

P, PROBABLE, POSSIBLE, ABSENT = Certainty.PRESENT, Certainty.PROBABLE, Certainty.POSSIBLE, Certainty.ABSENT


def quoted(text: str, *quotes: tuple[str, Certainty]) -> list[str]:
    """The statements for these quotes, each where it can be quoted."""
    findings = []
    for quote, certainty in quotes:
        span = Span(text.index(quote), text.index(quote) + len(quote))
        findings.append(Finding(certainty, quote, span, SectionKind.FINDINGS, 1.0))
    passages = Passages.of(text, split_sections(text), findings, [])
    chosen = [i for i in range(len(findings)) if passages.can_quote(i, frozenset())]
    return [words for words, _ in passages.quoting(chosen)]


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("FINDINGS: There is no evidence of:\n- pneumothorax\n- pleural effusion\n- rib fracture", "pleural effusion"),
        ("FINDINGS: No tumor in the lobes, incl. Pancoast tumor.", "Pancoast tumor"),
        ("FINDINGS: No tear of the lat. meniscus, no joint effusion.", "joint effusion"),
        ("FINDINGS: No signs of St. Jude valve thrombosis.", "valve thrombosis"),
        ("FINDINGS: No evidence of pulmonary\nEmbolism.", "Embolism"),
        ("FINDINGS: Pneumothorax, pleural effusion, pulmonary oedema\nNone seen.", "pleural effusion"),
        ("FINDINGS: Aortic dissection? No.", "Aortic dissection"),
        ("FINDINGS: There is no\r\nPneumothorax or effusion.", "Pneumothorax"),
    ],
)
def test_what_is_denied_is_quoted_with_its_denial_or_not_at_all(text: str, quote: str) -> None:
    assert all("no" in words.casefold() for words in quoted(text, (quote, ABSENT)))


def test_what_is_only_possible_is_quoted_with_its_hedge_or_not_at_all() -> None:
    text = "FINDINGS: Differential includes:\n- Abscess\n- Lymphoma\nThe liver is normal."
    (statement,) = quoted(text, ("Lymphoma", POSSIBLE))
    assert statement == "Differential includes: - Abscess - Lymphoma."
    assert quoted("FINDINGS: Probably benign. Adenoma.", ("Adenoma", PROBABLE)) == []


def test_a_list_under_a_denial_is_quoted_whole() -> None:
    text = "FINDINGS: There is no evidence of:\n- pneumothorax\n- rib fracture\nHeart normal."
    assert quoted(text, ("rib fracture", ABSENT)) == ["There is no evidence of: - pneumothorax - rib fracture."]


def test_a_heading_alone_on_its_line_holds_until_the_next_one() -> None:
    text = "FINDINGS:\nRIGHT HIP:\nFracture.\nJoint effusion.\nLEFT HIP\nDislocation.\nAvascular necrosis."
    wanted = ["RIGHT HIP: Joint effusion.", "LEFT HIP: Avascular necrosis."]
    assert quoted(text, ("Joint effusion", P), ("Avascular necrosis", P)) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "FINDINGS:\nPneumothorax: None. Small pleural effusion.",
        "FINDINGS:\nNo change: Lungs clear. Small pleural effusion.",
        "FINDINGS:\nNo fracture or dislocation: Alignment normal. Small pleural effusion.",
    ],
)
def test_a_denial_or_a_finding_is_no_heading(text: str) -> None:
    quotes = [("Pneumothorax", ABSENT)] if "Pneumothorax" in text else []
    assert quoted(text, *quotes, ("Small pleural effusion", P))[0] == "Small pleural effusion."


def test_a_heading_is_no_end_of_the_line_before_it() -> None:
    text = "FINDINGS:\nLiver: normal in size and density without a focal lesion\nPancreas: Mass of the head."
    assert quoted(text, ("Mass of the head", P)) == ["Pancreas: Mass of the head."]


def test_passages_that_meet_are_one_statement() -> None:
    text = "FINDINGS: Mass. It is calcified. It has a cyst. Its wall is thick. This is a teratoma."
    statements = quoted(text, ("Mass", P), ("teratoma", P), ("cyst", P))
    assert statements == ["Mass. It is calcified. It has a cyst. Its wall is thick. This is a teratoma."]


def test_what_is_critical_is_quoted_however_its_sentence_begins() -> None:
    text = "FINDINGS: Comparison with 2019 shows a new acute aortic dissection."
    assert quoted(text, ("acute aortic dissection", P)) == ["Comparison with 2019 shows a new acute aortic dissection."]
    assert quoted("FINDINGS: Comparison with 2019 shows a renal cyst.", ("renal cyst", P)) == []


def test_a_passage_that_holds_what_is_barred_is_not_quoted() -> None:
    text = "FINDINGS: Acute appendicitis with appendicolith."
    spans = [Span(text.index(q), text.index(q) + len(q)) for q in ("Acute appendicitis", "appendicolith")]
    findings = [Finding(P, text[s.start : s.end], s, SectionKind.FINDINGS, 1.0) for s in spans]
    passages = Passages.of(text, split_sections(text), findings, [])
    assert passages.can_quote(0, frozenset())
    assert not passages.can_quote(0, frozenset([1]))
