"""Supabase projects and read replicas as a native Pulumi provider, over Supabase's Management API.

Programs import `infra.supabase.resources` only; the rest is the plugin's side (see infra.railway, which is built alike).
"""
