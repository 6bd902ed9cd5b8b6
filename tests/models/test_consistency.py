import pytest

from models.consistency import IssueKind, check_report
from models.report import Finding, SectionKind
from models.sections import split_sections
from training.corpus import load_corpus, parse_marked
from training.impressions import marked_findings


def issues(findings: str, impression: str) -> list[tuple[IssueKind, str | None, str | None]]:
    """What is wrong with a marked-up impression beside marked-up findings: kind, statement, finding."""
    report = parse_marked(f"CT | chest | F | 60\nFINDINGS: {findings}\nIMPRESSION: {impression}", "x.txt")
    found = check_report(report.text, split_sections(report.text), marked_findings(report))
    return [(i.kind, i.statement and i.statement.quote, i.against and i.against.quote) for i in found]


@pytest.mark.parametrize(
    ("findings", "impression", "kind"),
    [
        ("[Right hilar mass]+.", "No [right hilar mass]-.", IssueKind.CONTRADICTION),
        ("No [pulmonary embolism]-.", "[Pulmonary embolism]+.", IssueKind.CONTRADICTION),
        ("[Left renal mass]+.", "[Right renal mass]+.", IssueKind.WRONG_SIDE),
        ("[Left renal mass]+, 3.1 cm.", "[Left renal mass]+, 5.1 cm.", IssueKind.WRONG_SIZE),
        ("Possible [hepatocellular carcinoma]?.", "[Hepatocellular carcinoma]+.", IssueKind.CERTAINTY_RAISED),
        ("[Hepatic cyst]+.", "[Splenic infarct]+.", IssueKind.ADDED),
    ],
)
def test_what_the_findings_dispute_is_named(findings: str, impression: str, kind: IssueKind) -> None:
    assert [issue[0] for issue in issues(findings, impression)] == [kind]


@pytest.mark.parametrize(
    ("findings", "impression"),
    [
        ("[Rib fracture]+. No [displaced rib fracture]-.", "[Rib fracture]+."),
        ("[Right pleural effusion]+. No [left pleural effusion]-.", "[Right pleural effusion]+."),
        ("[Left renal mass]+. [Right renal mass]+.", "[Right renal mass]+."),
        ("[Bilateral pleural effusions]+.", "[Left pleural effusion]+."),
        ("[Left renal mass]+, 3.1 x 2.8 cm.", "3 cm [left renal mass]+."),
        ("[Left renal mass]+, 0.6 cm.", "6 mm [left renal mass]+."),
        ("[Subdural haematoma]+.", "[Subdural hematoma]+."),
        ("[Pneumonia]~.", "Possible [pneumonia]?."),
    ],
)
def test_what_the_findings_bear_is_left_in_peace(findings: str, impression: str) -> None:
    assert not issues(findings, impression)


def test_a_critical_finding_that_the_impression_does_not_name_is_left_out() -> None:
    said = issues("[Pneumoperitoneum]+. [Hepatic cyst]+.", "[Hepatic cyst]+.")
    assert said == [(IssueKind.LEFT_OUT, None, "Pneumoperitoneum")]


def test_radiologists_who_were_right_are_not_accused() -> None:
    """Precision before recall: of the impressions of the train and dev reports at most 3 in 1000 are disputed."""
    accused, reports = 0, (*load_corpus("train"), *load_corpus("dev"))
    disputes = (IssueKind.CONTRADICTION, IssueKind.WRONG_SIDE, IssueKind.WRONG_SIZE)
    for report in reports:
        found = check_report(report.text, split_sections(report.text), marked_findings(report))
        accused += any(issue.kind in disputes for issue in found)
    assert accused <= 0.003 * len(reports)


def test_a_report_without_findings_or_impression_is_not_checked() -> None:
    (alone,) = marked_findings(parse_marked("CT | chest | F | 60\nIMPRESSION: [Mass]+.", "x.txt"))
    assert isinstance(alone, Finding)
    assert alone.section is SectionKind.IMPRESSION
    assert check_report("IMPRESSION: Mass.", split_sections("IMPRESSION: Mass."), [alone]) == ()
