import { devicePath } from './commands.ts'
import {
  type ImportAnswer,
  type ImportLine,
  type ImportOptions,
  importCsv,
  importDevices,
} from './import.ts'
import { Listing } from './listing.ts'
import type { CallOptions, Transport } from './transport.ts'
import type { Device, DevicePut, DeviceSecret } from './types.ts'

/** Which devices to list. */
export interface DeviceFilter {
  readonly tag?: string
  readonly presence?: Device['presence']['state']
}

/** Who exists: `pike.devices`. Needs the scope `devices`. */
export class Devices {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /**
   * Registers, or changes what is given. A new device without `secret` is given one, in this answer
   * and never again; so such a call is not repeated when its answer is lost.
   */
  async put(device: string, put: DevicePut = {}, options: CallOptions = {}): Promise<Device> {
    const { body } = await this.#transport.call<Device>('PUT', devicePath(device), {
      ...options,
      body: put,
      repeat: put.secret === undefined ? 'if-undone' : 'always',
    })
    return body
  }

  /** Undefined: there is none. */
  async get(device: string, options: CallOptions = {}): Promise<Device | undefined> {
    const { status, body } = await this.#transport.call<Device>('GET', devicePath(device), {
      ...options,
      expected: [404],
    })
    return status === 404 ? undefined : body
  }

  /** In order of name; with `tag` only those that have it, with `presence` only those that are so now. */
  list({ tag, presence, ...options }: CallOptions & DeviceFilter = {}): Listing<Device> {
    return new Listing(this.#transport, '/v1/devices', { tag, presence }, options)
  }

  /** @returns false when there was none. */
  remove(device: string, options: CallOptions = {}): Promise<boolean> {
    return removeOne(this.#transport, devicePath(device), options)
  }

  /** Makes a new secret; the one before stays valid until `dropOlderSecret` or the next rotation. */
  async rotateSecret(device: string, options: CallOptions = {}): Promise<DeviceSecret> {
    const { body } = await this.#transport.call<DeviceSecret>(
      'POST',
      `${devicePath(device)}/secrets`,
      { ...options, repeat: 'if-undone' },
    )
    return body
  }

  /** Only the newest secret stays valid. */
  async dropOlderSecret(device: string, options: CallOptions = {}): Promise<Device> {
    const path = `${devicePath(device)}/secrets/older`
    return (await this.#transport.call<Device>('DELETE', path, options)).body
  }

  /**
   * Registers or changes many. Answers come in the order of the lines, while they are read; a bad
   * line fails alone. A string is a line of NDJSON as it stands.
   */
  import(
    lines: Iterable<ImportLine | string> | AsyncIterable<ImportLine | string>,
    options: ImportOptions = {},
  ): AsyncGenerator<ImportAnswer> {
    return importDevices(this.#transport, lines, options)
  }

  /** The same from CSV: `device,secret,disabled,tags,attributes.NAME`, tags separated by `;`. */
  importCsv(
    chunks: Iterable<Uint8Array | string> | AsyncIterable<Uint8Array | string>,
    options: Omit<ImportOptions, 'makeSecrets'> = {},
  ): AsyncGenerator<ImportAnswer> {
    return importCsv(this.#transport, chunks, options)
  }
}

/** After a try whose answer was lost, nothing there means that it was done. */
export async function removeOne(
  transport: Transport,
  path: string,
  options: CallOptions,
): Promise<boolean> {
  const { status, repeated } = await transport.call('DELETE', path, { ...options, expected: [404] })
  return status !== 404 || repeated
}
