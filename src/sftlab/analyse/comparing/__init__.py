"""Two models beside each other, and all siblings of a base against one another."""
