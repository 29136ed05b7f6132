"""The memory: attempts, states and the audit chain. Losing it loses no deployment."""
