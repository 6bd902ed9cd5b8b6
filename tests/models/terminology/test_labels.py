"""Label sets stand on codes and what they are kinds of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import TerminologyError
from models.report import Certainty, StudyContext
from models.terminology import Terminology
from models.terminology.labels import LabelSet

CHEST = StudyContext(modality="CR", body_part="chest")


@pytest.fixture(scope="module")
def terminology() -> Iterator[Terminology]:
    opened = Terminology.open()
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("mention", "label"),
    [
        ("cardiomegaly", "Cardiomegaly"),
        ("right basal atelectasis", "Atelectasis"),
        ("left pneumothorax", "Pneumothorax"),
        ("small right pleural effusion", "Pleural Effusion"),
        ("interstitial edema", "Edema"),
        ("right lower lobe consolidation", "Consolidation"),
        ("bacterial pneumonia", "Pneumonia"),
        ("left upper lobe nodule", "Lung Lesion"),
        ("old rib fracture", "Fracture"),
        ("acute rib fracture", "Fracture"),
        ("apical pleural thickening", "Pleural Other"),
        ("dual chamber pacemaker", "Support Devices"),
        ("patchy opacity", "Lung Opacity"),
    ],
)
def test_a_finding_has_its_chexpert_label(terminology: Terminology, mention: str, label: str) -> None:
    labels = LabelSet.read()
    assert label in labels.labels(terminology, terminology.code(mention, CHEST))


def test_a_code_stands_for_what_is_below_it(terminology: Terminology, tmp_path: Path) -> None:
    own = tmp_path / "labels.csv"
    own.write_text("label,system,code\nlung disease,doid,DOID:850\n")
    assert LabelSet.read(own).labels(terminology, terminology.code("pneumonia")) == {"lung disease"}


def test_the_surest_finding_decides_a_reports_label(terminology: Terminology) -> None:
    effusion = terminology.code("pleural effusion", CHEST)
    found = LabelSet.read().of_report(terminology, [(Certainty.ABSENT, effusion), (Certainty.PROBABLE, effusion)])
    assert found["Pleural Effusion"] is Certainty.PROBABLE
    assert "Pneumothorax" not in found


def test_a_broken_label_file_names_its_line(tmp_path: Path) -> None:
    own = tmp_path / "labels.csv"
    own.write_text("label,system,code\nlung disease,doid,\n")
    with pytest.raises(TerminologyError, match="line 2"):
        LabelSet.read(own)


def test_a_finding_has_its_finding_model_ids(terminology: Terminology) -> None:
    assert "OIFM_OIDM_590312" in LabelSet.ids(terminology, terminology.code("nasogastric tube", CHEST))
    assert LabelSet.ids(terminology, ()) == set()
