"""The local cloud's own page: what runs where, and switches for what can go wrong. Served by the daemon on 127.0.0.1."""
