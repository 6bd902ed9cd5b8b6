from models.impression import draft_impression
from models.report import Certainty, DifferentialGroup, Finding, SectionKind, Span


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
    draft = draft_impression(FINDINGS, GROUPS, [3, 0, 1, 2, 4])
    assert draft is not None
    assert draft.text.splitlines() == [
        "1. Right lower lobe consolidation, probably pneumonia; possibly COVID-19.",
        "2. No pleural effusion or pneumothorax.",
    ]
    assert draft.evidence == ((0, 1, 2), (3, 4))


def test_a_candidate_is_never_said_without_the_finding_that_it_may_explain() -> None:
    draft = draft_impression(FINDINGS, GROUPS, [2])
    assert draft is not None
    assert draft.statements == ("Right lower lobe consolidation, possibly COVID-19.",)


def test_no_statement_is_surer_than_its_finding() -> None:
    draft = draft_impression(FINDINGS, [], [1, 2])
    assert draft is not None
    assert draft.statements == ("Probable pneumonia.", "Possible COVID-19.")


def test_nothing_chosen_is_no_draft() -> None:
    assert draft_impression(FINDINGS, GROUPS, []) is None


def test_a_finding_is_said_once() -> None:
    draft = draft_impression(FINDINGS, [], [0, 0])
    assert draft is not None
    assert len(draft.statements) == 1
