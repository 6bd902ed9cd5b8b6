"""The codes that our Observations carry, each with the system it is of. Knows no report and builds no resource.

SNOMED CT codes as DICOM uses them (PS3.16 CID 240, 244, 210; pydicom's tables) where DICOM has them; 2931005, 60022001
and 2667000 are SNOMED CT's own qualifiers, which DICOM does not list (its "Absent" is 272519000, Absence findings).
"""

from __future__ import annotations

from connector.fhir import Json
from connector.identity import CODE_SYSTEM
from models.consistency import IssueKind
from models.report import Certainty, Laterality

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
DICOM = "http://dicom.nema.org/resources/ontology/DCM"
UCUM = "http://unitsofmeasure.org"
_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
_INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
_AI_TYPES = "http://hl7.org/fhir/uv/aitransparency/CodeSystem/AIdeviceTypeCS"
_PARTICIPANTS = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_OPERATIONS = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"


def coding(system: str, code: str, display: str | None = None) -> Json:
    """A FHIR Coding."""
    return {"system": system, "code": code} | ({"display": display} if display else {})


def concept(text: str, *codings: Json) -> Json:
    """A FHIR CodeableConcept; without codings it is its words alone."""
    return ({"coding": list(codings)} if codings else {}) | {"text": text}


PRESENCE = {
    Certainty.PRESENT: coding(SNOMED, "52101004", "Present"),
    Certainty.PROBABLE: coding(SNOMED, "2931005", "Probable diagnosis"),
    Certainty.POSSIBLE: coding(SNOMED, "60022001", "Possible diagnosis"),
    Certainty.ABSENT: coding(SNOMED, "2667000", "Absent"),
}
VERIFICATION = {
    Certainty.PRESENT: coding(_VERIFICATION, "confirmed", "Confirmed"),
    Certainty.PROBABLE: coding(_VERIFICATION, "provisional", "Provisional"),
    Certainty.POSSIBLE: coding(_VERIFICATION, "differential", "Differential"),
    Certainty.ABSENT: coding(_VERIFICATION, "refuted", "Refuted"),
}
_POSITIVE = coding(_INTERPRETATION, "POS", "Positive")
_INDETERMINATE = coding(_INTERPRETATION, "IND", "Indeterminate")
_NEGATIVE = coding(_INTERPRETATION, "NEG", "Negative")
INTERPRETATION = {
    Certainty.PRESENT: _POSITIVE,
    Certainty.PROBABLE: _INDETERMINATE,
    Certainty.POSSIBLE: _INDETERMINATE,
    Certainty.ABSENT: _NEGATIVE,
}
SIDE = {
    Laterality.LEFT: coding(SNOMED, "7771000", "Left"),
    Laterality.RIGHT: coding(SNOMED, "24028007", "Right"),
    Laterality.BILATERAL: coding(SNOMED, "51440002", "Bilateral"),
}

IMAGING = concept("Imaging", coding("http://terminology.hl7.org/CodeSystem/observation-category", "imaging", "Imaging"))
IMPRESSION = concept("Draft impression", coding(LOINC, "19005-8", "Radiology Imaging study [Impression] (narrative)"))
DIFFERENTIAL = coding(DICOM, "111023", "Differential Diagnosis/Impression")
DENIED = concept("Denied findings", coding(CODE_SYSTEM, "denied-findings", "Denied findings"))
NOTHING = concept("Reading of the report", coding(CODE_SYSTEM, "nothing-read", "Nothing read"))
RECORD = concept("Record of the reading", coding(CODE_SYSTEM, "record", "Record of the reading"))

VERIFICATION_STATUS = concept("Verification status", coding(CODE_SYSTEM, "verification-status", "Verification status"))
CONFIDENCE = concept(
    "Model's confidence",
    coding(CODE_SYSTEM, "confidence", "Model's confidence"),
    coding(DICOM, "111012", "Certainty of Finding"),
)
CODES_FOUND = concept("How the codes were found", coding(CODE_SYSTEM, "codes-found", "How the codes were found"))
DISAGREEMENT = {
    kind: concept(f"Impression and findings disagree: {kind}", coding(CODE_SYSTEM, kind.replace(" ", "-"), str(kind)))
    for kind in IssueKind
}
DRAFT_CHECK = concept("Check against the findings", coding(CODE_SYSTEM, "draft-check", "Check against the findings"))
LATERALITY = concept("Laterality", coding(SNOMED, "272741003", "Laterality"))
MODALITY = concept("Modality", coding(DICOM, "121139", "Modality"))
BODY_PART = concept("Body part examined", coding(DICOM, "123014", "Target Region"))
CONTRAST = concept("Contrast agent given", coding(CODE_SYSTEM, "contrast", "Contrast agent given"))

AI_DEVICE = concept(
    "Language model", coding(_AI_TYPES, "Artificial-Intelligence", "All kinds of Artificial Intelligence")
)
AUTHOR = concept("Author", coding(_PARTICIPANTS, "author", "Author"))
VERIFIER = "verifier"
CREATE = coding(_OPERATIONS, "CREATE", "create")
NULLIFY = coding(_OPERATIONS, "NULLIFY", "nullify")
