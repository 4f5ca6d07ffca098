"""Rate limits and lock-outs: pure arithmetic, one store in Redis for the whole cell, one in memory for when Redis is away."""
