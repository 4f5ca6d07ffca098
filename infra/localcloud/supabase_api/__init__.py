"""Stand-in for one Supabase project's API: Auth (GoTrue), JWKS and Storage, over the project's real PostgreSQL.

Theory of operation. One process serves one project, on the project's own address. `gateway` plays Supabase's edge: the
`apikey` check, the request deadline, CORS. `auth_routes` and `admin_routes` parse a request, call one function of `users`,
`sessions` or `passwords`, and render. Every decision that has no I/O in it (which refresh token may be exchanged, which
error body a client of which API version gets, which object key is acceptable) is a pure function in `refresh`, `errors` and
`object_keys`. Tables, indexes and names are GoTrue's, so triggers and queries written against Supabase's schema `auth` work
here unchanged.

Behaviour follows supabase/auth at commit bc32168e (August 2026). Known differences, all on purpose:
- An unknown e-mail address costs a bcrypt comparison, as a known one does. GoTrue answers at once, which tells them apart.
- A second sign-up for an address that an administrator created unconfirmed is refused; GoTrue with autoconfirm would hand out
  a session without the password.
- One-time codes lie in auth.one_time_tokens alone, not in auth.users as well.
- Refresh tokens are rows (GoTrue's algorithm 1), but a stolen one ends the whole session (as in algorithm 2), so that
  access tokens of that session die too.
- Not here: limits per address of the caller, phones, OAuth, SSO, passkeys, Web3, the audit log, multipart uploads.
"""
