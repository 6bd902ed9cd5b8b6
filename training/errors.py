"""What can go wrong while models are made; every message names the file, the place and the cure.

    TrainingError (GamutError)
    |-- CorpusError      a marked-up file or its held-out list is wrong
    |-- RecipeError      a recipe has an unknown key, a wrong value, or belongs to another stage
    |-- LabelsError      a file of label lines cannot be scored
    |-- TeacherError     an endpoint that labels reports cannot be reached, or answers with no labels
    |-- MetricMissing    a metric whose package or weights are not installed
    |-- BaseUnusable     a base model, tokenizer or adapter that cannot be trained or joined
    `-- ExportError      the converter is missing, refuses, or its GGUF answers differently

Messages hold file names, line numbers and lengths; a hospital's own reports come this way too, so never their words.
"""

from __future__ import annotations

from models.errors import GamutError


class TrainingError(GamutError):
    """A stage of training that was stopped on purpose."""


class CorpusError(TrainingError):
    """A marked-up report, or the list of held-out ones, is not as it must be."""


class RecipeError(TrainingError):
    """A recipe that no stage can run."""


class LabelsError(TrainingError):
    """Label lines or their reports cannot be read."""


class TeacherError(TrainingError):
    """A teacher that does not answer as one."""


class MetricMissing(TrainingError):
    """A further metric cannot be computed on this machine."""


class BaseUnusable(TrainingError):
    """A base model that cannot be fine-tuned as it stands."""


class ExportError(TrainingError):
    """A model that did not become a GGUF, or became another one."""
