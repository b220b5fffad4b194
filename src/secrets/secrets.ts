import { createHash, createHmac, hkdfSync, randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import type { AppId, Credential, DeviceId } from '../contract/index.ts'

const scryptAsync = promisify<string, string, number, { N: number; r: number; p: number }, Buffer>(
  scrypt,
)

/**
 * Secrets stretched at once; the others wait in order. Node has four threads for this and for writing
 * to disk: a flood of wrong short secrets must not stand before everybody's commands and events.
 */
const stretchesMax = 2
let stretching = 0
const waiting: (() => void)[] = []

async function stretch(secret: string, salt: string): Promise<Buffer> {
  if (stretching >= stretchesMax) await new Promise<void>((resolve) => waiting.push(resolve))
  else stretching++
  try {
    return await scryptAsync(secret, salt, 32, { N: 16_384, r: 8, p: 1 })
  } finally {
    const next = waiting.shift()
    if (next === undefined) stretching--
    else next()
  }
}

/** Keys both ends make from a device's secret. Source: RFC 5802 §3, without its iterations. */
export interface DeviceKeys {
  readonly kdf: Credential['kdf']
  readonly clientKey: Buffer
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

/** A secret as we make them: 160 bits, 27 letters and digits of base64url. */
export const makeSecret = (): string => randomBytes(20).toString('base64url')

/**
 * Strong enough to need no slow hash: at least 22 characters of base64url or 32 of hex carry 128
 * bits if they are random, which is what the documents ask for. Anything shorter is stretched.
 */
export const kdfFor = (secret: string): Credential['kdf'] =>
  /^[0-9a-fA-F]{32,}$/.test(secret) || (secret.length >= 22 && /^[\w+/=-]+$/.test(secret))
    ? 'hkdf'
    : 'scrypt'

/**
 * Derive both ends' keys. The salt is who the device is, so equal secrets differ. Only scrypt, which
 * is meant to be slow, is worth the way to another thread and back.
 */
export async function deriveKeys(
  secret: string,
  app: AppId,
  device: DeviceId,
  kdf: Credential['kdf'],
): Promise<DeviceKeys> {
  const salt = `pike/1 ${app}/${device}`
  const root =
    kdf === 'hkdf'
      ? Buffer.from(hkdfSync('sha256', secret, salt, 'pike/1 root', 32))
      : await stretch(secret, salt)
  const clientKey = hmac(root, 'client key')
  return {
    kdf,
    clientKey,
    storedKey: createHash('sha256').update(clientKey).digest(),
    serverKey: hmac(root, 'server key'),
  }
}

/** What the store keeps of a secret: enough to check a proof, not enough to make one. */
export async function makeCredential(
  secret: string,
  app: AppId,
  device: DeviceId,
): Promise<Credential> {
  const keys = await deriveKeys(secret, app, device, kdfFor(secret))
  return {
    kdf: keys.kdf,
    storedKey: keys.storedKey.toString('base64'),
    serverKey: keys.serverKey.toString('base64'),
  }
}

/** The device's proof over a transcript: `ClientKey XOR HMAC(StoredKey, transcript)`. */
export const makeProof = (keys: DeviceKeys, transcript: Uint8Array): Buffer =>
  xor(keys.clientKey, hmac(keys.storedKey, transcript))

/**
 * Check a proof against every credential, all of them always, in constant time.
 * @returns the one that fits.
 */
export function checkProof(
  credentials: readonly Credential[],
  transcript: Uint8Array,
  proof: Uint8Array,
): Credential | undefined {
  let fits: Credential | undefined
  if (proof.length !== 32) return undefined
  for (const credential of credentials) {
    const storedKey = Buffer.from(credential.storedKey, 'base64')
    const clientKey = xor(proof, hmac(storedKey, transcript))
    const claimed = createHash('sha256').update(clientKey).digest()
    if (timingSafeEqual(claimed, storedKey) && fits === undefined) fits = credential
  }
  return fits
}

/**
 * Check a bare secret, for protocols that send one. The work depends on the secret alone, not on how
 * many credentials there are and of which kdf (rule 31).
 * @returns the credential that fits.
 */
export async function checkSecret(
  credentials: readonly Credential[],
  app: AppId,
  device: DeviceId,
  secret: string,
): Promise<Credential | undefined> {
  let fits: Credential | undefined
  const keys = await deriveKeys(secret, app, device, kdfFor(secret))
  for (const credential of credentials) {
    const storedKey = Buffer.from(credential.storedKey, 'base64')
    if (timingSafeEqual(keys.storedKey, storedKey) && fits === undefined) fits = credential
  }
  return fits
}

/** The server's proof over a transcript: only who knows the secret's ServerKey can make it. */
export const serverProof = (serverKey: string | Uint8Array, transcript: Uint8Array): Buffer =>
  hmac(typeof serverKey === 'string' ? Buffer.from(serverKey, 'base64') : serverKey, transcript)

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && timingSafeEqual(a, b)

const hmac = (key: Uint8Array, data: string | Uint8Array): Buffer =>
  createHmac('sha256', key).update(data).digest()

function xor(a: Uint8Array, b: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(a.length)
  for (let i = 0; i < a.length; i++) out[i] = a[i]! ^ b[i]!
  return out
}
