"""Programs over whole numbers: written in floats, rounded, relaxed, solved. Nothing here knows what they are about."""
