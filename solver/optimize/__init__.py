"""From a scenario to the best plan: ``solve -> feedback -> assembly -> layout -> arithmetic``."""
