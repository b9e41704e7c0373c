"""How a strategy becomes something the core can call."""
