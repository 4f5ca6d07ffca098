"""PostgreSQL: the pools, and the migrations' runner."""
