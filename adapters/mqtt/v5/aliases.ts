import { type Code, code } from './packets.ts'

/**
 * Topics a client has given a number, for as long as its connection (§3.3.2.3.4). A number beyond
 * what it was told is its mistake, so it cannot make this grow.
 */
export class Aliases {
  readonly #max: number
  #topics: Map<number, string> | undefined

  constructor(max: number) {
    this.#max = max
  }

  /**
   * @param topic empty: the one that was given this number.
   * @returns the topic meant, or with which reason code to end.
   */
  resolve(topic: string, alias: number | undefined): string | Code {
    if (alias === undefined) return topic
    if (alias > this.#max) return code.topicAliasInvalid // [MQTT-3.3.2-9]
    if (topic === '') return this.#topics?.get(alias) ?? code.protocolError // [MQTT-3.3.2-12]
    this.#topics ??= new Map()
    this.#topics.set(alias, topic)
    return topic
  }
}
