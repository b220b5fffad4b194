import { devicePath } from './commands.ts'
import { removeOne } from './devices.ts'
import { Listing } from './listing.ts'
import type { CallOptions, Transport } from './transport.ts'
import type { Alias, AliasPut } from './types.ts'

const aliasPath = (alias: string): string => `/v1/aliases/${encodeURIComponent(alias)}`

/** Other names for devices: `pike.aliases`. Needs the scope `devices`. */
export class Aliases {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** Binds, or binds anew, at one moment; commands sent before stay where they are. */
  async put(alias: string, put: AliasPut, options: CallOptions = {}): Promise<Alias> {
    return (await this.#transport.call<Alias>('PUT', aliasPath(alias), { ...options, body: put }))
      .body
  }

  /** Undefined: nobody has it, or it has expired. */
  async get(alias: string, options: CallOptions = {}): Promise<Alias | undefined> {
    const { status, body } = await this.#transport.call<Alias>('GET', aliasPath(alias), {
      ...options,
      expected: [404],
    })
    return status === 404 ? undefined : body
  }

  list(options: CallOptions = {}): Listing<Alias> {
    return new Listing(this.#transport, '/v1/aliases', {}, options)
  }

  /** @returns false when there was none. */
  remove(alias: string, options: CallOptions = {}): Promise<boolean> {
    return removeOne(this.#transport, aliasPath(alias), options)
  }
}

/** Names for many devices: `pike.tags`. Needs the scope `devices`. */
export class Tags {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  async add(tag: string, device: string, options: CallOptions = {}): Promise<void> {
    await this.#transport.call('PUT', memberPath(tag, device), options)
  }

  async remove(tag: string, device: string, options: CallOptions = {}): Promise<void> {
    await this.#transport.call('DELETE', memberPath(tag, device), options)
  }

  /** Those that have it, in order of name. */
  devices(tag: string, options: CallOptions = {}): Listing<{ readonly device: string }> {
    return new Listing(this.#transport, `/v1/tags/${encodeURIComponent(tag)}`, {}, options)
  }
}

const memberPath = (tag: string, device: string): string =>
  `/v1/tags/${encodeURIComponent(tag)}${devicePath(device).slice('/v1'.length)}`
