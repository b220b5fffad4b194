import { Listing } from './listing.ts'
import type { CallOptions, Transport } from './transport.ts'
import type { Broadcast, BroadcastDevice } from './types.ts'

const pathOf = (id: string): string => `/v1/broadcasts/${encodeURIComponent(id)}`

/** What became of `pike.broadcast(...)`: `pike.broadcasts`. Needs the scope `commands`. */
export class Broadcasts {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** Undefined: there is none. */
  async get(id: string, options: CallOptions = {}): Promise<Broadcast | undefined> {
    const { status, body } = await this.#transport.call<Broadcast>('GET', pathOf(id), {
      ...options,
      expected: [404],
    })
    return status === 404 ? undefined : body
  }

  /** Newest first. */
  list(options: CallOptions = {}): Listing<Broadcast> {
    return new Listing(this.#transport, '/v1/broadcasts', {}, options)
  }

  /** Each device with its command, in order of name; `status`: only those, e.g. `waiting` or `failed`. */
  devices(
    id: string,
    { status, ...options }: CallOptions & { readonly status?: BroadcastDevice['status'] } = {},
  ): Listing<BroadcastDevice> {
    return new Listing(this.#transport, `${pathOf(id)}/devices`, { status }, options)
  }

  /** Places no more, and takes back what was never sent. Resolves with the report. */
  async stop(id: string, options: CallOptions = {}): Promise<Broadcast> {
    return (await this.#transport.call<Broadcast>('DELETE', pathOf(id), options)).body
  }
}
