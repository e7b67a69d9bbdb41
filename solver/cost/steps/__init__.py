"""One engine step of one rank: its work, its speeds, its seconds, its memory."""
