"""The vocabulary: every finding to the codes of open tables, or honestly to none."""

from models.terminology.terminology import Terminology

__all__ = ["Terminology"]
