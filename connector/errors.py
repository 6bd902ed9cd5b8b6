"""Everything that can go wrong on the hospital's side: FHIR, documents, notifications, queue, DICOMweb, write-back.

    GamutError
    |-- FhirError                     .status: HTTP status or None; .issues: what the OperationOutcome named
    |   |-- FhirUnreachable           no answer: name, connection, TLS, time-out (Transient)
    |   |-- FhirBusy                  408, 425, 429, 5xx; .retry_after in seconds or None (Transient)
    |   |-- FhirConflict              409, 412: somebody else wrote; read again (Transient)
    |   |-- FhirNotFound              404
    |   |-- FhirGone                  410
    |   |-- FhirUnauthorized          401, 403, or the token endpoint refused us
    |   |-- FhirRefused               any other 4xx, 501, or a redirect away from the configured base
    |   |-- FhirMalformed             an answer, an id or a reference that is not FHIR
    |   `-- ForeignReference          a reference outside of the configured base: never followed
    |-- ReportError
    |   |-- SubjectMissing            a report of nobody: a patient is never guessed
    |   |-- ReportRetracted           a report that was cancelled or entered in error
    |   `-- DocumentError             a piece of the report that cannot be read
    |       |-- DocumentEncrypted     a PDF behind a password
    |       |-- DocumentScanned       a PDF of images, without text
    |       |   `-- DocumentPartlyScanned   some of its pages are; the text of the others can be read
    |       |-- DocumentEmpty         no text in it
    |       |-- DocumentTooLarge      more bytes, pages or parts than the limit
    |       |-- DocumentBroken        wrong base64, damaged file, hostile zip or XML
    |       |-- DocumentEncoding      characters that do not decode
    |       `-- DocumentUnsupported   a content type that is not read
    |-- NotificationError
    |   |-- NotificationUnsigned      without a valid secret, token or signature
    |   `-- NotificationMalformed     none of the shapes that servers send
    |-- QueueUnavailable              the broker did not take it (Transient)
    |-- DicomError
    |   |-- DicomUnreachable          no answer of the DICOMweb server (Transient)
    |   `-- DicomMalformed            an answer or a file that is not DICOM
    `-- WriteError
        |-- PartialWrite              some entries of the set stand, some do not (Transient)
        |-- ReportMoved               the report is of another version than the one that was read (Transient)
        |-- SubjectChanged            what stands of the report is in another patient's chart
        `-- Unbuildable               a resource of ours is not of the server's FHIR release

Knows no remedy: whether to try again is said by `Transient`, and decided by who calls. Messages hold ids, codes and
lengths; never a word of a resource, and never an OperationOutcome's diagnostics, which quote what was sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import GamutError, ReportError, Transient


@dataclass(frozen=True, slots=True)
class Issue:
    """One issue of an OperationOutcome: its code of the IssueType value set, and the elements it points at."""

    code: str
    expressions: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " at ".join([self.code, ", ".join(self.expressions)]) if self.expressions else self.code


class FhirError(GamutError):
    """The FHIR server did not do what was asked. status: HTTP status, None without an answer."""

    def __init__(self, message: str, *, status: int | None = None, issues: tuple[Issue, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.issues = issues


class FhirUnreachable(FhirError, Transient):
    """No answer at all."""


class FhirBusy(FhirError, Transient):
    """The server cannot serve now. retry_after: seconds it asked us to wait, None when it said nothing."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        issues: tuple[Issue, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, status=status, issues=issues)
        self.retry_after = retry_after


class FhirConflict(FhirError, Transient):
    """Somebody else wrote in between: read again, then try again."""


class FhirNotFound(FhirError):
    """The server never had it, or does not show it to us."""


class FhirGone(FhirError):
    """It was deleted."""


class FhirUnauthorized(FhirError):
    """Our credentials or our scopes do not suffice."""


class FhirRefused(FhirError):
    """The server understood and refuses; the same request will be refused again."""


class FhirMalformed(FhirError):
    """What came is not FHIR."""


class ForeignReference(FhirError):
    """A reference outside of the configured server; it is never followed."""


class SubjectMissing(ReportError):
    """A report without a patient."""


class ReportRetracted(ReportError):
    """A report whose status says that it no longer holds."""


class DocumentError(ReportError):
    """A piece of the report that cannot be read as it stands."""


class DocumentEncrypted(DocumentError):
    """A document behind a password."""


class DocumentScanned(DocumentError):
    """Pages of images without text."""


class DocumentPartlyScanned(DocumentScanned):
    """Pages of images without text among pages of text."""


class DocumentEmpty(DocumentError):
    """A document without text."""


class DocumentTooLarge(DocumentError):
    """More bytes, pages or parts than the limit."""


class DocumentBroken(DocumentError):
    """A damaged or hostile document."""


class DocumentEncoding(DocumentError):
    """Characters that do not decode."""


class DocumentUnsupported(DocumentError):
    """A content type that is not read."""


class NotificationError(GamutError):
    """A notification that is not taken."""


class NotificationUnsigned(NotificationError):
    """A notification without a valid secret, token or signature."""


class NotificationMalformed(NotificationError):
    """A notification in none of the shapes that servers send."""


class QueueUnavailable(GamutError, Transient):
    """The broker did not take the reference."""


class DicomError(GamutError):
    """The imaging side did not answer as DICOM says."""


class DicomUnreachable(DicomError, Transient):
    """No answer of the DICOMweb server."""


class DicomMalformed(DicomError):
    """An answer or a file that is not DICOM."""


class WriteError(GamutError):
    """The set of a report could not be written."""


class PartialWrite(WriteError, Transient):
    """Some entries of the set stand and some do not; writing again completes it."""


class ReportMoved(WriteError, Transient):
    """The report changed, or went, while it was read: read it again."""


class SubjectChanged(WriteError):
    """What stands of the report is in another patient's chart; nothing of it is written over."""


class Unbuildable(WriteError):
    """A resource of ours that is not of the shape of the server's FHIR release."""
