import { removeOne } from './devices.ts'
import { Listing } from './listing.ts'
import type { CallOptions, Transport } from './transport.ts'
import type { App, AppPut, Key, KeyPut } from './types.ts'

const appPath = (app: string): string => `/v1/apps/${encodeURIComponent(app)}`

/** Tenants: `pike.apps`. Needs the scope `admin`. */
export class Apps {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  async put(app: string, put: AppPut = {}, options: CallOptions = {}): Promise<App> {
    return (await this.#transport.call<App>('PUT', appPath(app), { ...options, body: put })).body
  }

  /** Undefined: there is none. */
  async get(app: string, options: CallOptions = {}): Promise<App | undefined> {
    const { status, body } = await this.#transport.call<App>('GET', appPath(app), {
      ...options,
      expected: [404],
    })
    return status === 404 ? undefined : body
  }

  list(options: CallOptions = {}): Listing<App> {
    return new Listing(this.#transport, '/v1/apps', {}, options)
  }

  /** Only one without devices. @returns false when there was none. */
  remove(app: string, options: CallOptions = {}): Promise<boolean> {
    return removeOne(this.#transport, appPath(app), options)
  }
}

/** API keys of an app: `pike.keys`. Needs the scope `admin`. */
export class Keys {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /**
   * Makes a key, shown in this answer and never again, or changes the scopes of one that exists. So
   * it is not repeated when its answer is lost.
   */
  async put(app: string, name: string, put: KeyPut, options: CallOptions = {}): Promise<Key> {
    const { body } = await this.#transport.call<Key>('PUT', keyPath(app, name), {
      ...options,
      body: put,
      repeat: 'if-undone',
    })
    return body
  }

  /** Undefined: there is none. */
  async get(app: string, name: string, options: CallOptions = {}): Promise<Key | undefined> {
    const { status, body } = await this.#transport.call<Key>('GET', keyPath(app, name), {
      ...options,
      expected: [404],
    })
    return status === 404 ? undefined : body
  }

  list(app: string, options: CallOptions = {}): Listing<Key> {
    return new Listing(this.#transport, `${appPath(app)}/keys`, {}, options)
  }

  /** Revokes it, at once. @returns false when there was none. */
  remove(app: string, name: string, options: CallOptions = {}): Promise<boolean> {
    return removeOne(this.#transport, keyPath(app, name), options)
  }
}

const keyPath = (app: string, name: string): string =>
  `${appPath(app)}/keys/${encodeURIComponent(name)}`
