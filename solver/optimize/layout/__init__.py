"""The layout program: what is decided, everything that is demanded, how it is searched and mapped onto devices."""
