import { type App, createApi } from '../../src/api/index.ts'
import type { Clock, Engine, Gateway, KeptEvent, Limits } from '../../src/contract/index.ts'
import { FakeWebhooks } from '../api/world.ts'

/** What an API talks to. */
export interface Behind {
  readonly engine: Engine
  readonly gateway: Gateway
  readonly clock: Clock
}

/**
 * An API whose ports can be turned to another engine and hub. Making one takes a third of a second,
 * most of it compiling schemas; one on which no call is under way has nothing in memory that a new
 * one would not have.
 */
export class SwitchedApi {
  readonly app: App
  readonly webhooks: FakeWebhooks
  readonly failures: object[]
  readonly #behind: { now: Behind | undefined }
  readonly #turned: (() => void)[]

  private constructor(
    app: App,
    behind: { now: Behind | undefined },
    turned: (() => void)[],
    webhooks: FakeWebhooks,
    failures: object[],
  ) {
    this.app = app
    this.#behind = behind
    this.#turned = turned
    this.webhooks = webhooks
    this.failures = failures
  }

  static async make(first: Behind, limits: Limits): Promise<SwitchedApi> {
    const behind: { now: Behind | undefined } = { now: first }
    const turned: (() => void)[] = []
    const failures: object[] = []
    const webhooks = new FakeWebhooks()
    const now = () => behind.now!
    const port = <T extends object>(get: () => T): T =>
      new Proxy({} as T, {
        get(_, name) {
          const value: unknown = Reflect.get(get(), name)
          return typeof value === 'function' ? value.bind(get()) : value
        },
      })
    const events = new Proxy(first.engine.events, {
      get(_, name) {
        const { events } = now().engine
        if (name !== 'listen') {
          const value: unknown = Reflect.get(events, name)
          return typeof value === 'function' ? value.bind(events) : value
        }
        return (heard: (events: readonly KeptEvent[]) => void) => {
          let stop = events.listen(heard)
          turned.push(() => {
            stop = now().engine.events.listen(heard)
          })
          return () => stop()
        }
      },
    })
    const app = await createApi({
      gateway: port(() => now().gateway),
      names: port(() => now().engine.names),
      events,
      mailbox: port(() => now().engine.mailbox),
      broadcasts: port(() => now().engine.broadcasts),
      clock: port(() => now().clock),
      webhooks,
      backup: first.engine.backup === undefined ? undefined : () => now().engine.backup!(),
      limits,
      version: '0.0.0',
      metrics: async () => ({ contentType: 'text/plain; version=0.0.4', body: 'pike_up 1\n' }),
      log: { error: (about) => failures.push(about), warn: () => {} },
    })
    return new SwitchedApi(app, behind, turned, webhooks, failures)
  }

  turn(behind: Behind): void {
    this.#behind.now = behind
    for (const turned of this.#turned) turned()
  }
}
