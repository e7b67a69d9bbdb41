"""Replicas behind one router: queues, batches, the load that keeps a promise, latencies, idle KV and flows."""
