"""The local cloud's state: plain data, and pure transitions `(world, command) -> change`. No I/O, no clock, no randomness."""
