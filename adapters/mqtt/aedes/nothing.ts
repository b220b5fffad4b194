import { Readable } from 'node:stream'

/** To what a client was subscribed. */
export interface Subscribed {
  readonly topic: string
  readonly qos: 0 | 1 | 2
}

/**
 * What aedes is given instead of a store and a bus: commands and events are kept by the core, and
 * nothing is kept or sent twice. Methods are those of aedes-persistence 11 and mqemitter 7.
 */
export class NothingKept {
  readonly #release: (client: object, messageId: number) => Promise<void>
  readonly #subscriptions: (id: string) => readonly Subscribed[]

  /**
   * @param release of a PUBREL: resolves once its packet id may be used anew.
   * @param subscriptions of a session that goes on, asked for once.
   */
  constructor(
    release: (client: object, messageId: number) => Promise<void>,
    subscriptions: (id: string) => readonly Subscribed[],
  ) {
    this.#release = release
    this.#subscriptions = subscriptions
  }

  // aedes asks that it be an async function.
  async setup(): Promise<void> {}
  async destroy(): Promise<void> {}

  async addSubscriptions(): Promise<void> {}
  async removeSubscriptions(): Promise<void> {}
  async cleanSubscriptions(): Promise<void> {}
  async subscriptionsByClient({ id }: { readonly id: string }): Promise<readonly Subscribed[]> {
    return this.#subscriptions(id)
  }
  async subscriptionsByTopic(): Promise<readonly never[]> {
    return none
  }
  async countOffline(): Promise<{ subsCount: number; clientsCount: number }> {
    return { subsCount: 0, clientsCount: 0 }
  }

  /** There are no retained messages. */
  async storeRetained(): Promise<void> {}
  createRetainedStream(): Readable {
    return Readable.from([])
  }
  createRetainedStreamCombi(): { pipe(): void } {
    return noStream
  }

  async outgoingEnqueue(): Promise<void> {}
  async outgoingEnqueueCombi(): Promise<void> {}
  async outgoingUpdate(): Promise<void> {}
  async outgoingClearMessageId(_client: object, packet: object): Promise<object> {
    return packet
  }
  outgoingStream(): Iterable<never> {
    return none
  }

  /**
   * Whether a publish at QoS 2 is new, the core knows by its name: so each is published, and each
   * PUBREL is said to belong to one, also those of a connection or a process before.
   */
  async incomingGetPacket(_client: object, packet: { readonly cmd: string }): Promise<object> {
    if (packet.cmd === 'publish') throw notKept
    return packet
  }
  async incomingStorePacket(): Promise<void> {}
  incomingDelPacket(client: object, packet: { readonly messageId: number }): Promise<void> {
    return this.#release(client, packet.messageId)
  }
  async cleanIncoming(): Promise<void> {}

  async putWill(): Promise<void> {}
  async getWill(): Promise<undefined> {
    return undefined
  }
  async delWill(): Promise<undefined> {
    return undefined
  }
  streamWill(): Readable {
    return Readable.from([])
  }
  getClientList(): Readable {
    return Readable.from([])
  }
}

const none: readonly never[] = []
/** All that aedes does with it at each SUBSCRIBE; a stream that says nothing costs 3 KB. */
const noStream = { pipe: () => {} }
const notKept = new Error('not kept here')

type Done = () => void

/**
 * Nothing fans out. Its callbacks come at once: between a client's end and the next one's beginning
 * aedes must not have to wait.
 */
export class NothingSent {
  on(_topic: string, _listener: unknown, done?: Done): this {
    done?.()
    return this
  }
  removeListener(_topic: string, _listener: unknown, done?: Done): this {
    done?.()
    return this
  }
  removeAllListeners(_topic: string, done?: Done): this {
    done?.()
    return this
  }
  emit(_packet: unknown, done?: Done): this {
    done?.()
    return this
  }
  close(done: Done): void {
    setImmediate(done)
  }
}
