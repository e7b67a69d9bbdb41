"""What serving costs and what its prices imply: pure arithmetic over plans and physics."""
