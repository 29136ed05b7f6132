"""What is declared at the tip of the tracked branch: followed forward, read once for each content."""
