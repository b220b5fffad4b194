import type {
  Engine,
  Events,
  KeptEvent,
  Mailbox,
  Names,
  Reading,
} from '../../src/contract/index.ts'
import { scopes } from '../../src/contract/index.ts'
import { MemoryEngine } from '../../src/engine/memory/index.ts'
import type { Sabotage } from './system.ts'

/** The same object with some of its methods replaced; private fields stay with their owner. */
function over<T extends object>(whole: T, changed: Partial<T>): T {
  return new Proxy(whole, {
    get(target, name) {
      if (Object.hasOwn(changed, name)) return Reflect.get(changed, name)
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

const mailbox =
  (change: (mailbox: Mailbox, engine: Engine) => Partial<Mailbox>) =>
  (engine: Engine): Engine =>
    over(engine, { mailbox: over(engine.mailbox, change(engine.mailbox, engine)) })

const names =
  (change: (names: Names) => Partial<Names>) =>
  (engine: Engine): Engine =>
    over(engine, { names: over(engine.names, change(engine.names)) })

const events =
  (change: (events: Events) => Partial<Events>) =>
  (engine: Engine): Engine =>
    over(engine, { events: over(engine.events, change(engine.events)) })

/** What is read for a link, changed on its way. */
const reading = (change: (found: Reading) => Reading) =>
  mailbox((box) => ({
    read(channel, after, max) {
      const found = box.read(channel, after, max)
      return found instanceof Promise ? found.then(change) : change(found)
    },
  }))

const outcomeOf = (event: KeptEvent): number =>
  event.kind === 'command.ended' ? event.ended.offset : 1

const hourMs = 3_600_000

/** Gateways that break one promise each, at a port; the model must notice all of them. */
export const mutants: Readonly<Record<string, () => Sabotage>> = {
  'forgets what an Idempotency-Key stands for': () => ({
    engine: mailbox((box) => ({
      append: (channel, command, { idempotency: _, ...options }) =>
        box.append(channel, command, options),
      schedule: (channel, command, { idempotency: _, ...options }) =>
        box.schedule(channel, command, options),
      asked: async () => undefined,
    })),
  }),

  'loses an outcome event now and then': () => ({
    engine: events((log) => ({
      async read(app, query) {
        const page = await log.read(app, query)
        if (page.kind === 'gone') return page
        return { ...page, items: page.items.filter((event) => outcomeOf(event) % 3 !== 0) }
      },
    })),
  }),

  'tells an outcome event twice': () => ({
    engine: events((log) => ({
      async read(app, query) {
        const page = await log.read(app, query)
        if (page.kind === 'gone') return page
        const twice = page.items.flatMap((event) =>
          outcomeOf(event) % 3 === 0 ? [event, event] : [event],
        )
        return { ...page, items: twice }
      },
    })),
  }),

  'changes an outcome after proof that came late': () => ({
    gateway: (gateway) =>
      over(gateway, {
        async status(app, id) {
          const status = await gateway.status(app, id)
          if (status?.kind !== 'ended' || status.command.status !== 'delivered') return status
          return { kind: 'ended', command: { ...status.command, status: 'done' } }
        },
      }),
  }),

  'counts a command twice': () => ({
    engine: mailbox((box) => ({
      async counts(app) {
        const { accepted, open, ended } = await box.counts(app)
        const { delivered } = ended
        if (delivered === undefined || delivered === 0) return { accepted, open, ended }
        return { accepted: accepted + 1, open, ended: { ...ended, delivered: delivered + 1 } }
      },
    })),
  }),

  'hands over after the deadline': () => ({
    engine: mailbox((box) => ({
      due: (nowMs, max) => box.due(nowMs - hourMs, max),
      read(channel, after, max) {
        const later = ({ commands, lookedUpTo }: Reading): Reading => ({
          lookedUpTo,
          commands: commands.map((one) => ({ ...one, expiresAtMs: one.expiresAtMs + hourMs })),
        })
        const found = box.read(channel, after, max)
        return found instanceof Promise ? found.then(later) : later(found)
      },
    })),
  }),

  'does not look at scopes': () => ({
    engine: names((all) => ({
      keyByHash(hash) {
        const key = all.keyByHash(hash)
        return key && { ...key, scopes }
      },
    })),
  }),

  "shows another app's device": () => ({
    engine: names((all) => ({
      async device(app, device) {
        return (await all.device(app, device)) ?? (await all.device('default', device))
      },
    })),
  }),

  'writes a "now" again': () => ({
    engine: mailbox((box) => ({
      async open(channel, renumber) {
        const head = await box.open(channel, renumber)
        const open = head.open.map((one) =>
          one.delivery === 'now' ? { ...one, maybeSent: false } : one,
        )
        return { ...head, open }
      },
      read(channel, after, max) {
        const forget = ({ commands, lookedUpTo }: Reading): Reading => ({
          lookedUpTo,
          commands: commands.map((one) =>
            one.delivery === 'now' ? { ...one, maybeSent: false } : one,
          ),
        })
        const found = box.read(channel, after, max)
        return found instanceof Promise ? found.then(forget) : forget(found)
      },
    })),
  }),

  'lets the second overtake the first': () => ({
    engine: reading(({ commands, lookedUpTo }) => {
      const [first, second, ...rest] = commands
      if (first === undefined || second === undefined) return { commands, lookedUpTo }
      return { commands: [second, first, ...rest], lookedUpTo }
    }),
  }),

  'loses the last command at a crash': () => {
    let starts = 0
    return {
      engine(engine) {
        if (starts++ === 0 || !(engine instanceof MemoryEngine)) return engine
        for (const box of engine.disk.boxes.values()) {
          const last = [...box.open.keys()].at(-1)
          if (last !== undefined) box.open.delete(last)
        }
        return engine
      },
    }
  },

  'takes an acknowledgement for a reply': () => ({
    engine: mailbox((box) => ({
      settle(channel, settlement, settled) {
        const changes = settlement.changes.map((change) =>
          change.kind === 'delivered'
            ? { ...change, kind: 'ended' as const, status: 'done' as const }
            : change,
        )
        box.settle(channel, { ...settlement, changes }, settled)
      },
    })),
  }),
}
