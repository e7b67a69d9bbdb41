"""Lower bounds on the hottest rank of one layer, each with a proof that plain arithmetic can check."""
