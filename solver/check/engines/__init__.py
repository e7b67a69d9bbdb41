"""What engines demand, stated by hand: a second statement of the rules that the search reads as data.

:func:`solver.check.engines.start.refusals` judges one replica, :func:`solver.check.engines.handover.refusals` a prefill
and a decode replica that meet.
"""
