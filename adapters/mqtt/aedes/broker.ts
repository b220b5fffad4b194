import { Aedes } from 'aedes'
import type { Connection, Dialect } from '../connection.ts'
import { wordsFor } from '../reasons.ts'
import type { Sessions } from '../v5/sessions.ts'
import { AedesDialect } from './dialect.ts'
import { NothingKept, NothingSent, type Subscribed } from './nothing.ts'
import { slim } from './slim.ts'
import { AedesStream } from './stream.ts'

/** What its hooks are called with. aedes makes no promises about these in its types. */
interface AedesClient {
  readonly conn: object
}
interface AedesPublish {
  readonly topic: string
  readonly payload: Uint8Array | string
  readonly qos: 0 | 1 | 2
  readonly messageId?: number
  readonly dup: boolean
}
interface AedesConnect {
  clientId: string
  clean: boolean
  keepalive: number
  password?: Uint8Array | undefined
  will?: { topic: string; payload: Uint8Array; qos: 0 | 1 | 2 } | undefined
}
type Done = (error?: Error | null) => void

/** A hundred levels are refused long before. */
const heartbeatMs = 24 * 3_600_000

const dialectOf = (client: object | null): AedesDialect | undefined => {
  const conn = (client as AedesClient | null)?.conn
  return conn instanceof AedesStream && conn.owner instanceof AedesDialect ? conn.owner : undefined
}

/**
 * aedes with nothing of its own: no store, no bus, no session table, no timers. It parses, keeps the
 * order of the handshakes and writes the answers; its hooks ask the core.
 *
 *     authenticate ─▶ log in, enter        authorizeSubscribe ─▶ attach
 *     published ─▶ QoS 2: kept, then PUBREC; what is below that it does not get to see
 */
export class Broker {
  readonly #aedes: Aedes

  private constructor(aedes: Aedes) {
    this.#aedes = aedes
  }

  static async start(maxInflight: number): Promise<Broker> {
    /** Let in, and asked for what they were subscribed to in the next moment. */
    const restoring = new Map<string, readonly Subscribed[]>()
    const options = {
      mq: new NothingSent(),
      persistence: new NothingKept(
        async (client, messageId) => {
          await dialectOf(client)?.release(messageId)
        },
        (id) => {
          const subscriptions = restoring.get(id) ?? []
          restoring.delete(id)
          return subscriptions
        },
      ),
      // Ours run in the core's time.
      connectTimeout: 2 ** 31 - 1,
      drainTimeout: 0,
      heartbeatInterval: heartbeatMs,
      maxInflightInbound: maxInflight,
      // Of those that have been looked at; our names for clients are longer than MQTT 3.1 allows.
      maxClientsIdLength: 65_535,
      queueLimit: 1_024,
      preConnect,
      authenticate: authenticate(restoring),
      // Topics are looked at where it is kept.
      authorizePublish: (_client: object | null, _packet: AedesPublish, done: Done) => done(null),
      authorizeSubscribe,
      published,
    }
    const aedes = await Aedes.createBroker(options as never)
    aedes.on('clientReady', (client) => {
      const { conn } = client
      if (conn instanceof AedesStream && slim(client)) conn.slimmed = client
      dialectOf(client)?.ready()
    })
    aedes.on('subscribe', (_subscriptions, client) => dialectOf(client)?.subscribed())
    aedes.on('unsubscribe', (filters, client) => {
      // It says so of a client that is gone too; that one did not ask for it.
      if (!client.closed) dialectOf(client)?.unsubscribed(filters)
    })
    // What ends a client ends its stream, and is counted there.
    aedes.on('clientError', () => {})
    aedes.on('connectionError', () => {})
    return new Broker(aedes)
  }

  dialect(connection: Connection, level: 3 | 4, sessions: Sessions): Dialect {
    return new AedesDialect(connection, level, sessions, (stream) => this.#aedes.handle(stream))
  }

  stop(): Promise<void> {
    return new Promise((resolve) => this.#aedes.close(() => resolve()))
  }
}

/** Keep-alive and will are ours, and no two connections are one client to aedes. */
function preConnect(
  client: object,
  packet: AedesConnect,
  done: (error: Error | null, go: boolean) => void,
): void {
  const dialect = dialectOf(client)
  if (dialect === undefined) {
    done(new Error('no stream of ours'), false)
    return
  }
  const { clientId, clean, keepalive, will } = packet
  dialect.connects({
    clientId,
    clean,
    keepalive,
    will,
    // aedes keeps the packet for as long as the connection: the secret goes at once.
    forget: () => {
      packet.password = undefined
    },
  })
  packet.clientId = dialect.token
  packet.keepalive = 0
  packet.will = undefined
  done(null, true)
}

const authenticate =
  (restoring: Map<string, readonly Subscribed[]>) =>
  (
    client: object,
    username: string | undefined,
    password: Uint8Array | undefined,
    done: (error: Error | null, go: boolean) => void,
  ): void => {
    const dialect = dialectOf(client)
    const answer = (code: number): void => {
      if (code === 0) {
        const restored = dialect?.restored ?? []
        if (dialect !== undefined && restored.length > 0) restoring.set(dialect.token, restored)
        done(null, true)
      } else done(Object.assign(new Error('refused'), { returnCode: code }), false)
    }
    const { connack3 } = wordsFor.unavailable
    const asked = dialect?.authenticate(username, password)
    if (asked === undefined) answer(connack3)
    // The store is away.
    else asked.then(answer, () => answer(connack3))
  }

/** Called once for each publish at QoS 2 that arrives, before its PUBREC. */
function published(packet: AedesPublish, client: object | null, done: Done): void {
  const dialect = dialectOf(client)
  if (dialect === undefined) {
    done(null)
    return
  }
  const { topic, payload, qos, messageId = 0, dup } = packet
  const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload
  dialect.incoming({ topic, payload: bytes, qos, messageId, dup }, (ends) => {
    if (ends === undefined) done(null)
    else done(new Error(ends))
  })
}

function authorizeSubscribe(
  client: object,
  subscription: { readonly topic: string; readonly qos: 0 | 1 | 2 },
  done: (error: Error | null, subscription: object | null) => void,
): void {
  const asked = dialectOf(client)?.subscribe(subscription.topic, subscription.qos)
  const no = (): void => done(null, null)
  if (asked === undefined) no()
  else asked.then((granted) => done(null, granted ? subscription : null), no)
}
