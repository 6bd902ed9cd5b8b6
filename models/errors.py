"""Everything that can go wrong on the ground floor, and the one mark that decides a retry.

    GamutError                    what every deliberate error of the project is
    |-- Transient                 mixin: the same call may succeed later; anything else is final
    |-- ReportError               this report cannot be read
    |   |-- EmptyReport           no text in it
    |   `-- ReportTooLong         more text than the limit
    |-- ModelError                the language model cannot serve
    |   |-- ModelNotFound         no file at the configured path
    |   |-- ModelUnusable         truncated, not a GGUF, unknown architecture, out of memory
    |   |-- AdapterUnusable       an adapter that is missing, damaged, or of another model
    |   |-- PromptTooLong         a prompt does not fit the context
    |   `-- DeadlineExceeded      the engine ran out of the time it was given (Transient)
    `-- TerminologyError          the tables are missing or of another version

Messages hold ids, codes and lengths; never a word of a report.
"""

from __future__ import annotations


class GamutError(Exception):
    """A deliberate error of this project; its message says what to do and holds no patient data."""


class Transient:
    """Mixin: the failure may pass by itself, so the same work may be tried again."""


class ReportError(GamutError):
    """A report that cannot be read as it stands."""


class EmptyReport(ReportError):
    """A report without any text."""


class ReportTooLong(ReportError):
    """A report with more text than the configured limit."""


class ModelError(GamutError):
    """The language model cannot serve."""


class ModelNotFound(ModelError):
    """No file at the configured model path."""


class ModelUnusable(ModelError):
    """A model file that llama.cpp cannot load."""


class AdapterUnusable(ModelError):
    """A LoRA adapter that the model cannot carry."""


class PromptTooLong(ModelError):
    """A prompt with more tokens than the model's context holds."""


class DeadlineExceeded(ModelError, Transient):
    """The engine was stopped at its deadline."""


class TerminologyError(GamutError):
    """The terminology tables are missing, damaged or of another version."""
