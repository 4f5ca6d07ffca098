// npm's @supabase/auth-js against the address in argv[2]; ends with 0 when every answer is as on Supabase itself.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'

const [, , url, anonKey, serviceKey, packages] = process.argv
const { GoTrueClient, GoTrueAdminApi } = createRequire(`${packages}/`)('@supabase/auth-js')
const password = 'correct horse battery'
const email = 'ada@example.com'

function store() {
  const values = new Map()
  return { getItem: (k) => values.get(k) ?? null, setItem: (k, v) => void values.set(k, v), removeItem: (k) => void values.delete(k) }
}
const headers = (key) => ({ apikey: key, Authorization: `Bearer ${key}` })
const client = () => new GoTrueClient({ url, headers: headers(anonKey), autoRefreshToken: false, storage: store() })
const admin = new GoTrueAdminApi({ url, headers: headers(serviceKey) })

function works({ data, error }) {
  assert.equal(error, null)
  return data
}
function refused({ error }, status, code) {
  assert.deepEqual([error?.status, error?.code], [status, code])
}

const first = client()
assert.equal(works(await first.signUp({ email, password, options: { data: { a: 1 } } })).user.user_metadata.a, 1)
refused(await client().signUp({ email, password }), 422, 'user_already_exists')
refused(await client().signUp({ email: 'eve@example.com', password: 'x' }), 422, 'weak_password')
refused(await client().signInWithPassword({ email, password: 'wrong' }), 400, 'invalid_credentials')

const second = client()
works(await second.signInWithPassword({ email, password }))
works(await second.refreshSession())
assert.equal(works(await second.getClaims()).header.alg, 'ES256')
assert.equal(works(await second.updateUser({ data: { b: 2 } })).user.user_metadata.b, 2)
const identities = works(await second.getUserIdentities()).identities
refused(await second.unlinkIdentity(identities[0]), 404, 'manual_linking_disabled')
refused(await client().signInWithIdToken({ provider: 'google', token: 'a.b.c' }), 400, 'provider_disabled')
refused(await client().signInAnonymously(), 422, 'anonymous_provider_disabled')

const factor = works(await second.mfa.enroll({ factorType: 'totp', friendlyName: 'phone' }))
assert.match(factor.totp.qr_code, /^data:image\/svg\+xml/)
refused(await second.mfa.challengeAndVerify({ factorId: factor.id, code: '000000x' }), 422, 'mfa_verification_failed')
const level = works(await second.mfa.getAuthenticatorAssuranceLevel())
assert.deepEqual([level.currentLevel, level.nextLevel], ['aal1', 'aal1'])
works(await second.mfa.unenroll({ factorId: factor.id }))

works(await client().resetPasswordForEmail(email))
refused(await client().verifyOtp({ email, token: '000000x', type: 'recovery' }), 403, 'otp_expired')
const link = works(await admin.generateLink({ type: 'magiclink', email }))
const third = client()
assert.equal(works(await third.verifyOtp({ token_hash: link.properties.hashed_token, type: 'magiclink' })).user.email, email)
works(await third.signOut({ scope: 'others' }))
assert.equal((await first.getUser()).error.name, 'AuthSessionMissingError')

const made = works(await admin.createUser({ email: 'bob@example.com', password, email_confirm: true })).user
works(await admin.updateUserById(made.id, { ban_duration: '1h' }))
refused(await client().signInWithPassword({ email: 'bob@example.com', password }), 400, 'user_banned')
assert.equal(works(await admin.listUsers({ page: 1, perPage: 10 })).total, 2)
works(await admin.deleteUser(made.id))
refused(await admin.getUserById(made.id), 404, 'user_not_found')
