"""Free names as ids of a catalogue: what a model, a supplier or a person calls a category or a brand, and which one is meant.

`Names` compares a name with those of a table: as it stands, folded (case, accents, width, plural, order of words), by words
(BM25), by meaning (vectors) and by letters (typos), and says which id it is and how sure that is, or that it is none.
"""

from easyrec.llm.naming.config import NamesConfig
from easyrec.llm.naming.names import Mapped, Names, Reason
from easyrec.llm.naming.scoring import Calibration

__all__ = ["Calibration", "Mapped", "Names", "NamesConfig", "Reason"]
