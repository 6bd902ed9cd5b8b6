from models.report import SectionKind
from models.sections import READ, split_sections

REPORT = """CT CHEST WITH CONTRAST

INDICATION: Cough, rule out pneumonia.
TECHNIQUE: 100 mL iohexol.
COMPARISON: None.
FINDINGS: Right lower lobe consolidation.
Liver: normal. IMPRESSION: Pneumonia.
Electronically signed by: someone"""


def kinds(text: str) -> list[SectionKind]:
    return [section.kind for section in split_sections(text)]


def bodies(text: str) -> dict[SectionKind, str]:
    return {s.kind: text[s.span.start : s.span.end] for s in split_sections(text)}


def test_each_heading_opens_its_own_section() -> None:
    assert kinds(REPORT) == [
        SectionKind.EXAM,
        SectionKind.INDICATION,
        SectionKind.TECHNIQUE,
        SectionKind.COMPARISON,
        SectionKind.FINDINGS,
        SectionKind.IMPRESSION,
        SectionKind.SIGNATURE,
    ]


def test_a_heading_inside_a_line_ends_the_section_before_it() -> None:
    assert bodies(REPORT)[SectionKind.FINDINGS] == "Right lower lobe consolidation.\nLiver: normal."
    assert bodies(REPORT)[SectionKind.IMPRESSION] == "Pneumonia."


def test_what_the_indication_asks_for_is_not_read() -> None:
    read = [s for s in split_sections(REPORT) if s.kind in READ]
    assert not any("rule out" in REPORT[s.span.start : s.span.end] for s in read)


def test_a_clinicians_headings_are_not_read_for_findings() -> None:
    text = "Indications for procedure: Stenosis.\nPMH: Stroke.\nLabs: Anemia.\nFindings: Renal cyst."
    assert [s.kind for s in split_sections(text) if s.kind in READ] == [SectionKind.FINDINGS]
    assert bodies(text)[SectionKind.FINDINGS] == "Renal cyst."


def test_an_organ_heading_after_the_technique_opens_the_findings() -> None:
    assert (
        bodies("TECHNIQUE: Portal phase.\nLiver: Cyst in segment IV.")[SectionKind.FINDINGS]
        == "Liver: Cyst in segment IV."
    )


def test_a_report_without_headings_is_narrative() -> None:
    assert kinds("Two views of the chest. The lungs are clear.") == [SectionKind.NARRATIVE]


def test_a_line_after_the_history_of_a_report_without_findings_heading_is_read() -> None:
    text = "HISTORY: Fell.\nFracture of the left radius."
    assert bodies(text)[SectionKind.NARRATIVE] == "Fracture of the left radius."


def test_no_word_of_a_report_is_lost() -> None:
    spans = [(s.span.start, s.span.end) for s in split_sections(REPORT)]
    headings = {s.heading for s in split_sections(REPORT)}
    kept = " ".join(REPORT[a:b] for a, b in spans) + " ".join(headings)
    assert all(word.strip(":") in kept for word in REPORT.split())


def test_an_empty_text_has_no_sections() -> None:
    assert split_sections("  \n ") == ()
