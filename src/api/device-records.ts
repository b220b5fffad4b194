import { setImmediate } from 'node:timers/promises'
import type { AppId, Credential, DeviceId, DeviceRecord, KeyRecord } from '../contract/index.ts'
import { kdfFor, makeCredential, makeSecret } from '../secrets/secrets.ts'
import { apiBounds } from './bounds.ts'
import type { ApiContext } from './context.ts'
import type { DevicePut } from './device-schemas.ts'
import { Gate } from './gate.ts'
import type { Tenants } from './tenants.ts'
import { Turns } from './turns.ts'

/** A PUT that has been checked, with what its secret is kept as. */
export interface WantedDevice {
  readonly device: DeviceId
  readonly body: DevicePut
  readonly credential: Credential | undefined
}

export interface ChangedDevice {
  readonly record: DeviceRecord
  readonly isNew: boolean
  /** Where we made one; nobody can show it again. */
  readonly secret: string | undefined
}

/**
 * The one place that changes records of devices, for every resource that does: two calls for one
 * device come one after the other, so that neither loses the other's change.
 */
export class DeviceRecords {
  readonly #context: Pick<ApiContext, 'names' | 'gateway' | 'clock'>
  readonly #tenants: Tenants
  readonly #turns = new Turns()
  /** scrypt is slow and takes threads and memory; the store needs the threads too. */
  readonly #slow = new Gate(apiBounds.slowSecretsMax)

  constructor(context: Pick<ApiContext, 'names' | 'gateway' | 'clock'>, tenants: Tenants) {
    this.#context = context
    this.#tenants = tenants
  }

  /** What can be done of a PUT before its turn comes. */
  async prepare(app: AppId, device: DeviceId, body: DevicePut): Promise<WantedDevice> {
    const { secret } = body
    if (secret === undefined) return { device, body, credential: undefined }
    const make = () => makeCredential(secret, app, device)
    const credential = kdfFor(secret) === 'scrypt' ? await this.#slow.run(make) : await make()
    return { device, body, credential }
  }

  /**
   * Register or change them, all in one batch; where two are of one device, the later changes what
   * the earlier made.
   * @throws StoreUnavailable, Refused
   */
  async put(key: KeyRecord, wanted: readonly WantedDevice[]): Promise<readonly ChangedDevice[]> {
    const { app } = key
    const { names, gateway, clock } = this.#context
    const write = async () => {
      const current = new Map<DeviceId, DeviceRecord | undefined>()
      for (const { device } of wanted) current.set(device, undefined)
      const devices = [...current.keys()]
      const before = await Promise.all(devices.map((device) => names.device(app, device)))
      for (const [index, device] of devices.entries()) current.set(device, before[index])
      const changed: ChangedDevice[] = []
      for (const { device, body, credential } of wanted) {
        const known = current.get(device)
        const secret = known === undefined && credential === undefined ? makeSecret() : undefined
        const made = secret === undefined ? credential : await makeCredential(secret, app, device)
        const record = changedBy(app, device, known, body, made, clock.nowMs())
        current.set(device, record)
        changed.push({ record, isNew: known === undefined, secret })
        if (changed.length % apiBounds.linesPerTurn === 0) await setImmediate()
      }
      const records = [...current.values()] as DeviceRecord[]
      if (records.length === 1) await names.putDevice(records[0]!)
      else await names.putDevices(records)
      for (const [index, device] of devices.entries()) {
        const record = current.get(device)!
        if (record.disabled) gateway.refuseDevice(app, device)
        else if (before[index] !== undefined) gateway.deviceChanged(before[index], record)
      }
      return changed
    }
    return this.#tenants.write(app, key, () =>
      this.#turns.takeAll(
        wanted.map(({ device }) => `${app}/${device}`),
        write,
      ),
    )
  }

  /**
   * Change one that exists; what `edit` leaves as it is is not written again.
   * @returns undefined when there is none.
   * @throws StoreUnavailable, Refused
   */
  async change(
    key: KeyRecord,
    device: DeviceId,
    edit: (before: DeviceRecord) => DeviceRecord | Promise<DeviceRecord>,
  ): Promise<DeviceRecord | undefined> {
    const { app } = key
    const { names, clock } = this.#context
    return this.#tenants.write(app, key, () =>
      this.#turns.take(`${app}/${device}`, async () => {
        const before = await names.device(app, device)
        if (before === undefined) return undefined
        const edited = await edit(before)
        if (edited === before) return before
        const record = { ...edited, changedAtMs: clock.nowMs() }
        await names.putDevice(record)
        return record
      }),
    )
  }

  /** @returns false when there was none. */
  remove(app: AppId, device: DeviceId): Promise<boolean> {
    return this.#turns.take(`${app}/${device}`, () =>
      this.#context.gateway.removeDevice(app, device),
    )
  }
}

/** The record after a PUT. One that is new comes with a credential. */
function changedBy(
  app: AppId,
  device: DeviceId,
  before: DeviceRecord | undefined,
  body: DevicePut,
  credential: Credential | undefined,
  nowMs: number,
): DeviceRecord {
  const credentials = before?.credentials ?? []
  return {
    app,
    device,
    disabled: body.disabled ?? before?.disabled ?? false,
    tags: body.tags ?? before?.tags ?? [],
    attributes: body.attributes ?? before?.attributes ?? {},
    channels: body.channels ?? before?.channels ?? {},
    ...gatewaysOf(body.gateways ?? before?.gateways),
    credentials: credential === undefined ? credentials : rotated(credentials, credential),
    createdAtMs: before?.createdAtMs ?? nowMs,
    changedAtMs: nowMs,
  }
}

const gatewaysOf = (gateways: readonly DeviceId[] | undefined): Pick<DeviceRecord, 'gateways'> =>
  gateways === undefined || gateways.length === 0 ? {} : { gateways }

/** Rule 31: the new one first, the one before beside it; giving the same again changes nothing. */
export const rotated = (before: readonly Credential[], next: Credential): readonly Credential[] =>
  [next, ...before.filter(({ storedKey }) => storedKey !== next.storedKey)].slice(0, 2)
