import { createHmac, randomBytes } from 'node:crypto'
import type {
  AppId,
  Clock,
  Credential,
  DeviceId,
  DeviceKey,
  Limits,
  Names,
  Verifier,
} from '../contract/index.ts'
import { deviceKey } from '../contract/index.ts'
import { MinuteCounters } from './minute-counters.ts'
import { ProvedAddresses } from './proved-addresses.ts'
import type { FlightRecorder } from './recorder/recorder.ts'

/**
 * What devices prove themselves against, without telling who exists: an unknown device gets keys
 * made up from its name, the same each time it asks, and of the kdf it asks for (rule 31).
 */
export class Verifiers {
  readonly #names: Names
  readonly #recorder: FlightRecorder
  readonly #made = randomBytes(32)
  /** Wrong secrets, by address and by device. */
  readonly #wrong: MinuteCounters
  readonly #arrivals: MinuteCounters
  readonly #proved: ProvedAddresses

  constructor(names: Names, clock: Clock, limits: Limits, recorder: FlightRecorder) {
    this.#names = names
    this.#recorder = recorder
    this.#wrong = new MinuteCounters(clock, limits.wrongSecretsPerMinute)
    this.#arrivals = new MinuteCounters(clock, limits.arrivalsPerMinute)
    this.#proved = new ProvedAddresses(clock, limits)
  }

  async verifier(
    app: AppId,
    device: DeviceId,
    kdf: Credential['kdf'],
    peer: string,
  ): Promise<Verifier> {
    const key = deviceKey(app, device)
    const limited =
      this.#wrong.isOver(`@${peer}`) ||
      (this.#wrong.isOver(key) && !this.#proved.has(key, peer)) ||
      this.#arrivals.isOver(key)
    const record = await this.#names.device(app, device)
    const credentials = (record?.credentials ?? []).filter((one) => one.kdf === kdf)
    return {
      admits: record !== undefined && !record.disabled && credentials.length > 0,
      limited,
      credentials: credentials.length > 0 ? credentials : [this.#makeUp(app, device, kdf)],
    }
  }

  wrongSecret(app: AppId, device: DeviceId, peer: string): void {
    this.#wrong.count(`@${peer}`)
    this.#wrong.count(deviceKey(app, device))
    // What is not registered has no trace. The answer is on its way, whoever exists (rule 31).
    this.#noted(app, device, peer).catch(() => {})
  }

  /** It has proved itself from there. */
  proved(device: DeviceKey, peer: string): void {
    this.#proved.add(device, peer)
  }

  /** It was let in. Coming and going costs more than staying, and is paid by all. */
  arrived(device: DeviceKey): void {
    this.#arrivals.count(device)
  }

  async #noted(app: AppId, device: DeviceId, peer: string): Promise<void> {
    if ((await this.#names.device(app, device)) === undefined) return
    this.#recorder.stranger(app, device, 'refused', { reason: 'wrong-secret', about: peer })
  }

  #makeUp(app: AppId, device: DeviceId, kdf: Credential['kdf']): Credential {
    const key = (what: string) =>
      createHmac('sha256', this.#made).update(`${what} ${kdf} ${app}/${device}`).digest('base64')
    return { kdf, storedKey: key('stored'), serverKey: key('server') }
  }
}
