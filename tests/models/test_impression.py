from dataclasses import replace

from models.impression import choose, draft_impression, word_impression
from models.report import Certainty, DifferentialGroup, Finding, SectionKind, Span
from models.sections import split_sections


def finding(quote: str, certainty: Certainty) -> Finding:
    return Finding(certainty, quote, Span(0, len(quote)), SectionKind.FINDINGS, 1.0)


FINDINGS = [
    finding("Right lower lobe consolidation", Certainty.PRESENT),
    finding("pneumonia", Certainty.PROBABLE),
    finding("COVID-19", Certainty.POSSIBLE),
    finding("pleural effusion", Certainty.ABSENT),
    finding("Pneumothorax", Certainty.ABSENT),
]
GROUPS = [DifferentialGroup(0, (1, 2))]


def test_a_finding_is_said_with_its_candidates_and_what_is_denied_comes_last() -> None:
    draft = word_impression(FINDINGS, GROUPS, [3, 0, 1, 2, 4])
    assert draft is not None
    assert draft.text.splitlines() == [
        "1. Right lower lobe consolidation, probably pneumonia; possibly COVID-19.",
        "2. No pleural effusion or pneumothorax.",
    ]
    assert draft.evidence == ((0, 1, 2), (3, 4))


def test_a_candidate_is_never_said_without_the_finding_that_it_may_explain() -> None:
    draft = word_impression(FINDINGS, GROUPS, [2])
    assert draft is not None
    assert draft.statements == ("Right lower lobe consolidation, probably pneumonia; possibly COVID-19.",)


def test_an_alternative_is_never_said_without_what_the_report_favours() -> None:
    draft = word_impression(FINDINGS[1:3], [DifferentialGroup(None, (0, 1))], [1])
    assert draft is not None
    assert draft.statements == ("Probable pneumonia.", "Possible COVID-19.")
    text = "FINDINGS: Endometrium 16 mm, most likely polyp; carcinoma is possible."
    polyp, carcinoma = read(text, ("polyp", Certainty.PROBABLE), ("carcinoma", Certainty.POSSIBLE))
    sections, group = split_sections(text), [DifferentialGroup(None, (0, 1))]
    assert draft_impression(text, sections, [polyp, carcinoma], group) is not None
    assert draft_impression(text, sections, [replace(polyp, confidence=0.0), carcinoma], group) is None


def test_no_statement_is_surer_than_its_finding() -> None:
    draft = word_impression(FINDINGS, [], [1, 2])
    assert draft is not None
    assert draft.statements == ("Probable pneumonia.", "Possible COVID-19.")


def test_nothing_chosen_is_no_draft() -> None:
    assert word_impression(FINDINGS, GROUPS, []) is None


def test_a_finding_is_said_once() -> None:
    draft = word_impression(FINDINGS, [], [0, 0])
    assert draft is not None
    assert len(draft.statements) == 1


def read(text: str, *quotes: tuple[str, Certainty]) -> list[Finding]:
    """The first places of these quotes in a report, as findings of the section that they stand in."""
    sections = split_sections(text)
    found = []
    for quote, certainty in quotes:
        span = Span(text.index(quote), text.index(quote) + len(quote))
        kind = next(s.kind for s in sections if s.span.start <= span.start < s.span.end)
        found.append(Finding(certainty, quote, span, kind, 1.0))
    return found


def drafted(text: str, *quotes: tuple[str, Certainty]) -> str:
    draft = draft_impression(text, split_sections(text), read(text, *quotes), [])
    return draft.text if draft else ""


def test_the_radiologists_impression_is_no_source_of_a_draft() -> None:
    text = "FINDINGS: Left renal cyst.\nIMPRESSION: Appendicitis."
    assert drafted(text, ("Left renal cyst", Certainty.PRESENT), ("Appendicitis", Certainty.PRESENT)) == (
        "1. Left renal cyst."
    )


def test_what_the_report_takes_back_later_is_not_drafted() -> None:
    text = "FINDINGS: Fracture of the rib.\nADDENDUM: No rib fracture."
    assert drafted(text, ("Fracture of the rib", Certainty.PRESENT), ("rib fracture", Certainty.ABSENT)) != ""
    text = "FINDINGS: Acute rib fracture.\nADDENDUM: No acute rib fracture."
    quotes = ("Acute rib fracture", Certainty.PRESENT), ("acute rib fracture", Certainty.ABSENT)
    assert drafted(text, *quotes) == ""


def test_a_critical_finding_is_named_however_little_salience_it_has() -> None:
    findings = [
        finding(quote, Certainty.PRESENT) for quote in ("hepatic cyst", "small right pneumothorax", "renal cyst")
    ]
    assert choose(findings, [0.9, 0.0, 0.0]) == (0, 1)


def test_of_two_findings_that_say_the_same_the_one_in_more_words_is_named() -> None:
    findings = [finding(quote, Certainty.PRESENT) for quote in ("cysts", "hepatic cysts")]
    assert choose(findings, [0.9, 0.8]) == (1,)


def test_a_side_is_never_merged_into_the_other_one() -> None:
    findings = [finding(quote, Certainty.PRESENT) for quote in ("left renal cyst", "right renal cyst")]
    assert choose(findings, [0.9, 0.8]) == (0, 1)


def test_something_is_named_where_nothing_is_salient() -> None:
    assert choose([finding("renal cyst", Certainty.PRESENT)], [0.0]) == (0,)


def test_what_another_finding_denies_is_struck_and_told() -> None:
    text = "FINDINGS: Pulmonary embolism. Hepatic cyst. The pulmonary arteries show no pulmonary embolism."
    findings = read(text, ("Pulmonary embolism", Certainty.PRESENT), ("Hepatic cyst", Certainty.PRESENT))
    findings += read(text, ("pulmonary embolism", Certainty.ABSENT))
    sections = split_sections(text)
    draft = draft_impression(text, sections, findings[:2], [])
    assert draft is not None
    assert "embolism" in draft.text
    assert draft.struck == ()
    draft = draft_impression(text, sections, findings, [])
    assert draft is not None
    assert "embolism" not in draft.text
    assert draft.struck == ("contradiction",)
    assert draft_impression(text, sections, findings, [], "withhold") is None


def test_a_candidate_is_not_joined_to_a_finding_of_another_sentence() -> None:
    text = "FINDINGS: Synovial herniation pit. Fraying, probably ligament tear."
    quotes = ("Synovial herniation pit", Certainty.PRESENT), ("ligament tear", Certainty.PROBABLE)
    draft = draft_impression(text, split_sections(text), read(text, *quotes), [DifferentialGroup(0, (1,))])
    assert draft is not None
    assert set(draft.statements) == {"Synovial herniation pit.", "Probable ligament tear."}
    together = text.replace("pit. Fraying", "pit with fraying")
    draft = draft_impression(together, split_sections(together), read(together, *quotes), [DifferentialGroup(0, (1,))])
    assert draft is not None
    assert draft.statements == ("Synovial herniation pit, probably ligament tear.",)


def test_less_belief_is_enough_for_a_critical_finding() -> None:
    text = "FINDINGS: Acute appendicitis. Hepatic cyst."
    quotes = ("Acute appendicitis", Certainty.PRESENT), ("Hepatic cyst", Certainty.PRESENT)
    doubtful = [replace(f, confidence=0.45) for f in read(text, *quotes)]
    draft = draft_impression(text, split_sections(text), doubtful, [])
    assert draft is not None
    assert draft.statements == ("Acute appendicitis.",)
