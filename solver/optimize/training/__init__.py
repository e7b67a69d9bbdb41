"""Training: which layouts exist, how layers are dealt among their stages, and the search over all of them."""
