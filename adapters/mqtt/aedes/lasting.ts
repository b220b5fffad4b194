import type { MqttClient } from '../client.ts'
import type { Sessions } from '../v5/sessions.ts'
import type { Subscribed } from './nothing.ts'

/** What lasts of a client's session beyond its connection: to what it is subscribed. */
export class Lasting {
  readonly #sessions: Sessions
  readonly #client: MqttClient
  /** undefined: a clean session. */
  readonly #filters: Map<string, { readonly qos: 0 | 1 | 2; readonly id: undefined }> | undefined

  /** It is here: what was before goes on, or is over. */
  constructor(sessions: Sessions, client: MqttClient) {
    this.#sessions = sessions
    this.#client = client
    if (client.who.isClean) sessions.end(client)
    else {
      this.#filters = new Map()
      for (const [filter, { qos }] of sessions.resume(client)?.filters ?? []) this.add(filter, qos)
    }
  }

  get all(): readonly Subscribed[] {
    const filters = this.#filters ?? []
    return Array.from(filters, ([topic, { qos }]) => ({ topic, qos }))
  }

  add(filter: string, qos: 0 | 1 | 2): void {
    this.#filters?.set(filter, { qos, id: undefined })
  }

  remove(filter: string): void {
    this.#filters?.delete(filter)
  }

  /** Its client went, and may come back. */
  keep(): void {
    const filters = this.#filters
    if (filters === undefined || filters.size === 0) return
    const { clock, limits } = this.#client.house.core
    const endsAtMs = clock.nowMs() + limits.mqttSessionMaxMs
    this.#sessions.keep(this.#client, { filters, will: undefined, endsAtMs })
  }
}
