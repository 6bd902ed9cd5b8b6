"""Augmented reports keep true labels: the property that everything in augment.py is held to."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.report import Certainty, Span
from models.sections import READ, split_sections
from training.augment import Rates, augment
from training.corpus import MarkedMention, MarkedReport, load_corpus, mark_up, parse_marked
from training.lexicon import Lexicon, kind_of, region, wording
from training.rewrite import Edit, rewritten


def only(**rates: float) -> Rates:
    """These changes and no others."""
    return Rates(**{name: rates.get(name, 0.0) for name in Rates.__slots__})


NONE = only()
WORDS = only(swap=1, other_certainty=0.3, term=0.3, cue=1, sides=1, sites=1, sizes=1, headings=1, casing=0.3, slips=1)
ALL = replace(WORDS, sentences=1)
TRAIN = load_corpus("train")
LEXICON = Lexicon.build(TRAIN, terms=("sarcoidosis", "ependymoma"))

# A second opinion on how sure a sentence is, written apart from wording.toml.
SAYS = {
    Certainty.ABSENT: r"\bno\b|without|negative for|free of|resolved|cleared|disappeared|is not|is absent",
    Certainty.PROBABLE: r"likely|probabl|presum|suspected|suspicious|consist|compat|keeping|suggest|favo|c/w|concern",
    Certainty.POSSIBLE: r"may|might|could|possib|questionable|query|exclude|rule|versus|vs|look for|unlikely|less",
    Certainty.PRESENT: r"^(?!.*(?:\bno\b|\bnot\b|without|likely|probabl|may |might|could|possib|suspe|exclu|versus))",
}

reports = st.sampled_from(TRAIN)
seeds = st.integers(0, 2**32)
many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def quote(report: MarkedReport, mention: MarkedMention) -> str:
    return report.text[mention.span.start : mention.span.end]


def misplaced(report: MarkedReport) -> int:
    """Labels whose words stand earlier, after the label before them, so that a label line would mean that place."""
    ends = [0, *(m.span.end for m in report.mentions)]
    return sum(
        report.text.find(quote(report, m), end) != m.span.start for m, end in zip(report.mentions, ends, strict=False)
    )


def outside(report: MarkedReport) -> int:
    read = [s.span for s in split_sections(report.text) if s.kind in READ]
    return sum(not any(r.start <= m.span.start and m.span.end <= r.end for r in read) for m in report.mentions)


@many
@given(reports, seeds)
def test_every_label_still_marks_a_piece_of_the_report_in_reading_order(report: MarkedReport, seed: int) -> None:
    other = augment(report, Random(seed), LEXICON, ALL)
    at = 0
    for mention in other.mentions:
        assert at <= mention.span.start < mention.span.end <= len(other.text)
        assert quote(other, mention) == quote(other, mention).strip()
        assert re.search(r"[A-Za-z]", quote(other, mention))
        at = mention.span.end
    assert not re.search(r"[\[\]]", other.text)
    assert (other.modality, other.body_part, other.sex, other.age) == (
        report.modality,
        report.body_part,
        report.sex,
        report.age,
    )


@many
@given(reports, seeds)
def test_no_label_gets_into_a_part_that_is_not_read(report: MarkedReport, seed: int) -> None:
    assert outside(augment(report, Random(seed), LEXICON, replace(ALL, casing=0))) <= outside(report)


@many
@given(reports, seeds)
def test_without_new_sentences_the_certainties_stay_in_their_order(report: MarkedReport, seed: int) -> None:
    other = augment(report, Random(seed), LEXICON, WORDS)
    assert [m.certainty for m in other.mentions] == [m.certainty for m in report.mentions]
    assert misplaced(other) <= misplaced(report)


@many
@given(reports, seeds)
def test_a_mention_is_exchanged_for_one_of_its_kind_and_side(report: MarkedReport, seed: int) -> None:
    other = augment(report, Random(seed), LEXICON, only(swap=1, other_certainty=0.5))
    where = region(report.body_part)
    for old, new in zip(report.mentions, other.mentions, strict=True):
        was, now = quote(report, old), quote(other, new)
        before, after = kind_of(was, where), kind_of(now, where)
        assert now == was or (before and after and before.sided == after.sided)
        if before and before.sided == "one":
            assert ("left" in was.lower()) == ("left" in now.lower())


@many
@given(reports, seeds)
def test_what_is_said_twice_is_exchanged_alike(report: MarkedReport, seed: int) -> None:
    other = augment(report, Random(seed), LEXICON, only(swap=1))
    became: dict[str, set[str]] = {}
    for old, new in zip(report.mentions, other.mentions, strict=True):
        became.setdefault(quote(report, old).lower(), set()).add(quote(other, new).lower())
    assert all(len(new - {old}) <= 1 for old, new in became.items())


@many
@given(reports, seeds)
def test_mirroring_turns_every_side_and_no_other_word(report: MarkedReport, seed: int) -> None:
    other = augment(report, Random(seed), LEXICON, only(sides=1))
    side = r"(?i)\b(left|right|[lr]t)(?=\b|ward)"
    assert re.sub(side, "", other.text) == re.sub(side, "", report.text)


@many
@given(reports, seeds)
def test_the_same_seed_gives_the_same_report(report: MarkedReport, seed: int) -> None:
    assert augment(report, Random(seed), LEXICON) == augment(report, Random(seed), LEXICON)


@given(reports, seeds)
def test_without_any_rate_nothing_changes(report: MarkedReport, seed: int) -> None:
    assert augment(report, Random(seed), LEXICON, NONE) == report


@pytest.mark.parametrize(
    ("certainty", "place", "phrase"),
    [(certainty, place, phrase) for (certainty, place), cues in wording()[0].items() for phrase in cues.same],
)
def test_a_cue_gives_way_only_to_one_that_says_the_same(certainty: Certainty, place: str, phrase: str) -> None:
    said = f"Lucency {phrase} [abscess]" if place == "before" else f"An [abscess]+ {phrase}"
    sign = {"present": "+", "probable": "~", "possible": "?", "absent": "-"}[certainty]
    lead = "No " if certainty is Certainty.ABSENT and place == "after" and phrase in ("is seen", "is present") else ""
    raw = f"CT | liver | F | 50\nFINDINGS: {lead}{said.replace(']+', ']').replace(']', ']' + sign)}."
    report = parse_marked(raw, "made.txt")
    seen = set()
    for seed in range(40):
        other = augment(report, Random(seed), LEXICON, only(cue=1))
        seen.add(other.text)
        assert other.mentions[0].certainty is certainty
        assert quote(other, other.mentions[0]) == "abscess"
        said_plainly = certainty is Certainty.ABSENT and place == "after" and not lead and phrase.startswith("is ")
        if not said_plainly:
            assert re.search(SAYS[certainty], other.text.removeprefix("FINDINGS: "), re.IGNORECASE)
    assert len(seen) > 1


@pytest.mark.parametrize("seed", range(20))
def test_a_slip_never_touches_a_word_that_carries_certainty_or_side(seed: int) -> None:
    body = (
        "There is no convincing evidence of [effusion]- without probable suspicion, right or left, cannot be excluded."
    )
    report = parse_marked(f"CT | chest | F | 50\nFINDINGS: {body}", "made.txt")
    other = augment(report, Random(seed), LEXICON, only(slips=1))
    for word in ("no", "convincing", "evidence", "without", "probable", "suspicion", "right", "left", "excluded"):
        assert re.search(rf"\b{word}\b", other.text)


def test_an_article_fits_the_mention_that_comes_after_it() -> None:
    report = parse_marked("CT | liver | F | 50\nFINDINGS: There is a [liver cyst]+.", "made.txt")
    texts = {augment(report, Random(s), LEXICON, only(swap=1)).text for s in range(60)}
    assert any(" an " in text for text in texts)
    assert not any(re.search(r"\ba [aeio]", text) for text in texts)


def test_a_report_in_capitals_stays_in_capitals() -> None:
    report = parse_marked("CT | LIVER | F | 50\nFINDINGS: THERE IS A [CYST]+. NO [ASCITES]-. NO [MASS]-.", "made.txt")
    assert all(augment(report, Random(seed), LEXICON).text.isupper() for seed in range(40) if seed % 8)


def test_a_term_of_the_terminologies_can_stand_for_a_mention() -> None:
    report = parse_marked("CT | liver | F | 50\nFINDINGS: Likely [abscess]~.", "made.txt")
    said = {augment(report, Random(s), LEXICON, only(swap=1, term=1)).labels[0].quote for s in range(20)}
    assert said == {"sarcoidosis", "ependymoma"}


def test_the_lexicon_holds_nothing_of_a_held_out_report() -> None:
    held = {
        sentence for r in load_corpus("held_out") for sentence in re.split(r"(?<=\.)\s+", r.text) if len(sentence) > 60
    }
    spoken = {sentence.text for said in LEXICON.sentences.values() for sentence in said}
    assert not held & spoken


def test_an_edit_that_crosses_the_edge_of_a_mention_is_left_out() -> None:
    mentions = (MarkedMention(Certainty.ABSENT, Span(3, 11)),)
    text, moved = rewritten("No effusion seen.", mentions, [Edit(0, 5, "Any ef"), Edit(12, 16, "found now")])
    assert (text, moved) == ("No effusion found now.", mentions)


def test_spans_move_with_edits_before_and_inside_them() -> None:
    mentions = (MarkedMention(Certainty.ABSENT, Span(3, 16)), MarkedMention(Certainty.PRESENT, Span(18, 22)))
    text, moved = rewritten("No left effusion; cyst.", mentions, [Edit(3, 7, "right"), Edit(0, 2, "Without")])
    assert text == "Without right effusion; cyst."
    assert [text[m.span.start : m.span.end] for m in moved] == ["right effusion", "cyst"]


def test_an_augmented_report_can_be_written_and_read_again() -> None:
    rng = Random(3)
    for report in TRAIN[::40]:
        other = augment(report, rng, LEXICON, replace(ALL, casing=0, headings=0))
        assert parse_marked(mark_up(other).removeprefix("### "), other.file, other.index) == other
