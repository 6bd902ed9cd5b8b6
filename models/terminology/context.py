"""What a study says of an ambiguous word: regions of the body, modality and sex, and whether a condition holds.

A condition is alternatives parted by spaces, each of parts joined by `+`: `chest US+heart F`. Without a study, no
condition holds.
"""

from __future__ import annotations

import re
from functools import lru_cache

from models.report import StudyContext

_REGIONS = {
    "chest": "chest thorax lung pulmonary cxr rib ribs sternum mediastinum ctpa",
    "heart": "heart cardiac coronary echo echocardiogram",
    "abdomen": "abdomen abdominal kub liver kidney renal kidneys biliary hepatobiliary pancreas spleen "
    "bowel urogram enterography",
    "pelvis": "pelvis pelvic obstetric obstetrics ob fetal uterus ovary prostate bladder "
    "scrotum testis rectum gynecologic",
    "brain": "brain head skull cranial neuro pituitary stroke",
    "neck": "neck thyroid carotid larynx pharynx cervical soft parotid",
    "face": "face facial sinus sinuses orbit orbits temporal mandible ear iac",
    "spine": "spine cervical thoracic lumbar sacrum lumbosacral spinal "
    "cspine lspine tspine c-spine l-spine t-spine whole",
    "breast": "breast mammogram mammography breasts",
    "limb": "shoulder humerus elbow forearm wrist hand finger hip femur knee tibia "
    "fibula leg ankle foot toe extremity arm limb thigh calf clavicle scapula joint bone bones thumb skeletal heel "
    "calcaneus",
    "vessel": "vascular aorta angiography venous arterial doppler vein artery veins cta mra runoff",
    "fetus": "fetal fetus obstetric obstetrics ob pregnancy",
    "whole": "whole-body body pet wholebody",
}
_BY_WORD: dict[str, set[str]] = {}
for _region, _words in _REGIONS.items():
    for _word in _words.split():
        _BY_WORD.setdefault(_word, set()).add(_region)
_MODALITIES = {"DX": "CR", "RG": "CR", "RF": "RF", "MRI": "MR", "PET": "PT"}


@lru_cache(maxsize=1024)
def facts(study: StudyContext) -> frozenset[str]:
    """What is known of the study, as words of conditions: regions, modality (CR for every plain film), sex."""
    known: set[str] = set()
    for word in re.findall(r"[a-z]+(?:-[a-z]+)?", (study.body_part or "").casefold()):
        known |= _BY_WORD.get(word, set()) | {word}
    if study.modality:
        modality = study.modality.strip().upper()
        known.add(_MODALITIES.get(modality, modality))
    if study.sex in ("M", "F"):
        known.add(study.sex)
    if study.age is not None:
        known.add("child" if study.age < 18 else "adult")
    return frozenset(known)


def holds(condition: str, known: frozenset[str]) -> bool:
    """Whether one of the condition's alternatives is wholly known; an empty condition always holds."""
    return not condition or any(set(option.split("+")) <= known for option in condition.split())
