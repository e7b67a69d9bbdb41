"""The sections of the page, each a function of a scene that gives its markup."""
