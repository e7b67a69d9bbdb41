"""What lies between devices: bandwidths of a cluster's kinds of device, collectives over them, and contention."""
