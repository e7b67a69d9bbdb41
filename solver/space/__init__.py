"""The space of layouts: every replica shape that an engine would start, priced, with the dropped ones counted by reason."""
