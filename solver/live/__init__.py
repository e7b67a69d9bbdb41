"""The live page: a plan with a form beside it, served on this machine to its own browser."""
