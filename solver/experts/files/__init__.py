"""Files: recorded loads in, expert maps out and in again."""
