"""Everything that the layout program demands, one function a rule."""

from solver.optimize.program import Rule
from solver.optimize.rules.packing import DEVICE_LIMIT, DISTINCT, FRAGMENTS, HOSTS, JOINT, PACKING, PATTERNS
from solver.optimize.rules.pools import BANDS, ONE_COLUMN, PINS, POOLS
from solver.optimize.rules.service import DEMAND, LEVELS_OF_MODES, MODES, SPLITS
from solver.optimize.rules.survival import SURVIVE_DOMAINS, SURVIVE_HOSTS
from solver.optimize.rules.tiers import KEEPING, LOADS, ROOM

RULES: tuple[Rule, ...] = (
    BANDS,
    ONE_COLUMN,
    POOLS,
    PINS,
    FRAGMENTS,
    DISTINCT,
    PACKING,
    PATTERNS,
    JOINT,
    HOSTS,
    DEVICE_LIMIT,
    MODES,
    LEVELS_OF_MODES,
    SPLITS,
    DEMAND,
    SURVIVE_DOMAINS,
    SURVIVE_HOSTS,
    KEEPING,
    LOADS,
    ROOM,
)
