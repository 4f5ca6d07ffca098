"""One update at work: gRPC services, registrations, steps, deletes."""
