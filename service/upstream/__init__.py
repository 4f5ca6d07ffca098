"""Supabase over HTTP: Auth (GoTrue) and Storage, as far as this service uses them."""
