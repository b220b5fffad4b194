import { createHmac, randomBytes } from 'node:crypto'
import type {
  AppId,
  Clock,
  Credential,
  DeviceId,
  Limits,
  Names,
  Verifier,
} from '../contract/index.ts'
import { deviceKey } from '../contract/index.ts'

/** Addresses and devices whose wrong secrets are counted at once; beyond, the oldest are forgotten. */
const countersMax = 10_000

/**
 * What devices prove themselves against, without telling who exists: an unknown device gets keys
 * made up from its name, the same each time it asks, and of the kdf it asks for (rule 31).
 */
export class Verifiers {
  readonly #names: Names
  readonly #clock: Clock
  readonly #limits: Limits
  readonly #made = randomBytes(32)
  readonly #wrong = new Map<string, { sinceMs: number; count: number }>()

  constructor(names: Names, clock: Clock, limits: Limits) {
    this.#names = names
    this.#clock = clock
    this.#limits = limits
  }

  async verifier(
    app: AppId,
    device: DeviceId,
    kdf: Credential['kdf'],
    peer: string,
  ): Promise<Verifier> {
    const limited = this.#isLimited(`@${peer}`) || this.#isLimited(deviceKey(app, device))
    const record = await this.#names.device(app, device)
    const credentials = (record?.credentials ?? []).filter((one) => one.kdf === kdf)
    return {
      admits: record !== undefined && !record.disabled && credentials.length > 0,
      limited,
      credentials: credentials.length > 0 ? credentials : [this.#makeUp(app, device, kdf)],
    }
  }

  wrongSecret(app: AppId, device: DeviceId, peer: string): void {
    this.#count(`@${peer}`)
    this.#count(deviceKey(app, device))
  }

  #makeUp(app: AppId, device: DeviceId, kdf: Credential['kdf']): Credential {
    const key = (what: string) =>
      createHmac('sha256', this.#made).update(`${what} ${kdf} ${app}/${device}`).digest('base64')
    return { kdf, storedKey: key('stored'), serverKey: key('server') }
  }

  #isLimited(who: string): boolean {
    const counter = this.#wrong.get(who)
    if (counter === undefined) return false
    if (this.#clock.nowMs() - counter.sinceMs >= 60_000) {
      this.#wrong.delete(who)
      return false
    }
    return counter.count >= this.#limits.wrongSecretsPerMinute
  }

  #count(who: string): void {
    const nowMs = this.#clock.nowMs()
    const counter = this.#wrong.get(who)
    if (counter !== undefined && nowMs - counter.sinceMs < 60_000) {
      counter.count++
      return
    }
    if (this.#wrong.size >= countersMax) {
      for (const oldest of this.#wrong.keys()) {
        this.#wrong.delete(oldest)
        break
      }
    }
    this.#wrong.set(who, { sinceMs: nowMs, count: 1 })
  }
}
