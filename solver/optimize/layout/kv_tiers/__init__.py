"""Where idle KV waits, and until which age: decided in the layout program."""

from solver.optimize.layout.kv_tiers.keeping import Keeping, Split
from solver.optimize.layout.kv_tiers.keepings import keepings
from solver.optimize.layout.kv_tiers.places import Place

__all__ = ["Keeping", "Place", "Split", "keepings"]
