"""The part of Supabase's Management API that a stack needs, over the local world."""
