"""Model families: the reader of each, by the ``model_type`` that configs state.

To add a family, write its reader beside its relatives; the decorator registers it.
"""

from scaleplan.models.families import gpt, llama, mixture  # noqa: F401  they register their families
from scaleplan.models.families.base import FAMILIES, architecture_of, text_part, tie_conflict

__all__ = ["FAMILIES", "architecture_of", "text_part", "tie_conflict"]
