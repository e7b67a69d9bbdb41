"""Search for one load profile, all layers at once: how many copies, on which ranks."""
