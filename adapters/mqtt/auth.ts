import type { AppId, DeviceId, Reason } from '../../src/contract/index.ts'
import { defaultApp, isIdentifier } from '../../src/contract/index.ts'
import { checkSecret, kdfFor } from '../../src/secrets/secrets.ts'
import type { House } from './house.ts'

export type LoggedIn =
  | { readonly kind: 'device'; readonly app: AppId; readonly device: DeviceId }
  | { readonly kind: 'refused'; readonly reason: Reason }

const unauthorized: LoggedIn = { kind: 'refused', reason: 'unauthorized' }
/** No secret is longer, and deriving keys takes time. */
const passwordMaxBytes = 1024

/** `device`, or `app/device` outside the default app. */
function named(username: string): { app: AppId; device: DeviceId } | undefined {
  const slash = username.indexOf('/')
  const app = slash < 0 ? defaultApp : username.slice(0, slash)
  const device = username.slice(slash + 1)
  return isIdentifier(app) && isIdentifier(device) ? { app, device } : undefined
}

/**
 * Who is it, by user name and password? An unknown device, a disabled one and a wrong secret take
 * the same path and get the same answer (rule 31).
 */
export async function logIn(
  house: House,
  peer: string,
  username: string | undefined,
  password: Uint8Array | undefined,
): Promise<LoggedIn> {
  const who = username === undefined ? undefined : named(username)
  if (who === undefined || password === undefined || password.length > passwordMaxBytes) {
    return unauthorized
  }
  const { core } = house
  const secret = Buffer.from(password).toString('utf8')
  const { app, device } = who
  const verifier = await core.verifier(app, device, kdfFor(secret), peer)
  if (verifier.limited) return limited(house)
  const fits = await checkSecret(verifier.credentials, app, device, secret)
  // Judging takes a while, in which others were judged.
  const later = await core.verifier(app, device, kdfFor(secret), peer)
  if (later.limited) return limited(house)
  if (fits === undefined || !verifier.admits) {
    core.wrongSecret(app, device, peer)
    return unauthorized
  }
  return { kind: 'device', app, device }
}

async function limited(house: House): Promise<LoggedIn> {
  await house.pause()
  return { kind: 'refused', reason: 'rate-limited' }
}
