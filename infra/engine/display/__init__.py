"""What an update tells: events, and how people and programs read them."""
