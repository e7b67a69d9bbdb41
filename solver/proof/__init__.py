"""A second proof of a plan's bound, by rows of its own and another solver.

Enumeration and physics are shared with the search: what is checked is that no combination of what they allow undercuts
the bound. Columns are priced anew, the rows are written here, and HiGHS solves them (extra ``proof``).

>>> from solver.proof import prove  # prove(plan) -> Proof: follows, refuted or undecided
"""

from solver.proof.prove import Proof, prove

__all__ = ["Proof", "prove"]
