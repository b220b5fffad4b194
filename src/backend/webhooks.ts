import { removeOne } from './devices.ts'
import { Listing } from './listing.ts'
import type { CallOptions, Transport } from './transport.ts'
import type { DeadLetter, Webhook, WebhookPut, WebhookSecret } from './types.ts'

const pathOf = (webhook: string): string => `/v1/webhooks/${encodeURIComponent(webhook)}`

/**
 * Events pushed to you: `pike.webhooks`. Needs the scope `events`. The webhook `callbacks` is that
 * of commands sent with `callback`; it has a secret once `rotateSecret('callbacks')` was called.
 */
export class Webhooks {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** A new one gets its secret in this answer and never again; so it is not repeated when that is lost. */
  async put(webhook: string, put: WebhookPut, options: CallOptions = {}): Promise<Webhook> {
    const { body } = await this.#transport.call<Webhook>('PUT', pathOf(webhook), {
      ...options,
      body: put,
      repeat: 'if-undone',
    })
    return body
  }

  /** Undefined: there is none. */
  async get(webhook: string, options: CallOptions = {}): Promise<Webhook | undefined> {
    const { status, body } = await this.#transport.call<Webhook>('GET', pathOf(webhook), {
      ...options,
      expected: [404],
    })
    return status === 404 ? undefined : body
  }

  list(options: CallOptions = {}): Listing<Webhook> {
    return new Listing(this.#transport, '/v1/webhooks', {}, options)
  }

  /** @returns false when there was none. */
  remove(webhook: string, options: CallOptions = {}): Promise<boolean> {
    return removeOne(this.#transport, pathOf(webhook), options)
  }

  /** A new secret; the one before signs too, until `dropOlderSecret`. */
  async rotateSecret(webhook: string, options: CallOptions = {}): Promise<WebhookSecret> {
    const { body } = await this.#transport.call<WebhookSecret>(
      'POST',
      `${pathOf(webhook)}/secrets`,
      { ...options, repeat: 'if-undone' },
    )
    return body
  }

  async dropOlderSecret(webhook: string, options: CallOptions = {}): Promise<Webhook> {
    const path = `${pathOf(webhook)}/secrets/older`
    return (await this.#transport.call<Webhook>('DELETE', path, options)).body
  }

  /** Events that were not taken within a day. */
  deadLetters(webhook: string, options: CallOptions = {}): Listing<DeadLetter> {
    return new Listing(this.#transport, `${pathOf(webhook)}/dead-letters`, {}, options)
  }

  /** Sends one again, or all. Resolves with how many are on their way. */
  async sendAgain(webhook: string, event?: string, options: CallOptions = {}): Promise<number> {
    const { body } = await this.#transport.call<{ sending: number }>(
      'POST',
      `${pathOf(webhook)}/dead-letters`,
      { ...options, body: event === undefined ? {} : { event } },
    )
    return body.sending
  }

  /** Forgets one, or all. Resolves with how many went. */
  async discard(webhook: string, event?: string, options: CallOptions = {}): Promise<number> {
    const { body } = await this.#transport.call<{ discarded: number }>(
      'DELETE',
      `${pathOf(webhook)}/dead-letters`,
      { ...options, query: { event } },
    )
    return body.discarded
  }
}
