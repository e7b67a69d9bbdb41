"""One quantity of a scenario varied, every point from the engine, each beside its floor and the lecture's closed form."""
