"""The marketplace: people sell to people, and the platform takes its commission."""
