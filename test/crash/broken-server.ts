/**
 * The same gateway, wired the same way, broken on purpose, so that the judge can be
 * shown to notice. The product has no switch for this: it is broken from outside, at its ports.
 *
 *     node --import tsx test/crash/broken-server.ts answers-before-write[,forgets-stamp…]
 */
import { Level } from 'level'
import { partsFor } from '../../cli/wire.ts'
import type {
  Broadcasts,
  ChannelId,
  Engine,
  Events,
  KeptEvent,
  Mailbox,
  OpenCommand,
  Reading,
} from '../../src/contract/index.ts'
import { loadConfig } from '../../src/node/config.ts'
import { createLog } from '../../src/node/log.ts'
import { Node } from '../../src/node/node.ts'
import {
  type AdapterSabotage,
  acknowledgesUnasked,
  answersEarly,
  countsUnacknowledged,
  forgetsMark,
} from './broken-adapters.ts'
import { over } from './over.ts'
import type { Sabotage } from './server.ts'

/** How long what was promised is only promised. */
const lagMs = 250

/** Batches say that they are written at once, and are written later, if there is a later. */
function answerBeforeWrite(): void {
  const batch = Level.prototype.batch
  Object.assign(Level.prototype, {
    batch(this: unknown, ...given: unknown[]): unknown {
      const made = Reflect.apply(batch, this, given) as { write?: (options: object) => unknown }
      if (given.length > 0 || made.write === undefined) return made
      const write = made.write.bind(made)
      made.write = (options) => {
        setTimeout(() => void Promise.resolve(write(options)).catch(() => {}), lagMs)
        return Promise.resolve()
      }
      return made
    },
  })
}

/** The dedupe state of a channel is never kept: after every attach each stamp is new again. */
const forgetStamps = (mailbox: Mailbox): Partial<Mailbox> => ({
  settle: (channel, { uplinks: _, ...rest }, settled) => mailbox.settle(channel, rest, settled),
})

/** Of what waits, the second comes first. */
const reorder = (mailbox: Mailbox): Partial<Mailbox> => ({
  read(channel, after, max) {
    const swap = (reading: Reading): Reading => {
      const [first, second, ...rest] = reading.commands
      if (first === undefined || second === undefined) return reading
      return { ...reading, commands: [second, first, ...rest] }
    }
    const read = mailbox.read(channel, after, max)
    return read instanceof Promise ? read.then(swap) : swap(read)
  },
})

/** What is canceled, and told so, comes back to who reads the mailbox. */
function handOverCanceled(mailbox: Mailbox): Partial<Mailbox> {
  const back = new Map<ChannelId, OpenCommand[]>()
  return {
    settle(channel, settlement, settled) {
      const [change] = settlement.changes
      if (change?.kind !== 'ended' || change.status !== 'canceled') {
        mailbox.settle(channel, settlement, settled)
        return
      }
      void Promise.resolve(mailbox.read(channel, change.offset - 1, 1)).then(({ commands }) => {
        const [command] = commands
        if (command?.offset === change.offset) {
          back.set(channel, [...(back.get(channel) ?? []), command])
        }
        mailbox.settle(channel, settlement, settled)
      })
    },
    read(channel, after, max) {
      const add = (reading: Reading): Reading => {
        const canceled = (back.get(channel) ?? []).filter(
          ({ offset }) => offset > after && offset <= reading.lookedUpTo,
        )
        if (canceled.length === 0) return reading
        const commands = [...reading.commands, ...canceled]
        return { ...reading, commands: commands.sort((a, b) => a.offset - b.offset) }
      }
      const read = mailbox.read(channel, after, max)
      return read instanceof Promise ? read.then(add) : add(read)
    },
  }
}

/** Of every broadcast that was under way at the start, the next member is never placed. */
function forgetMember(broadcasts: Broadcasts): Partial<Broadcasts> {
  const forgotten = new Map<string, string>()
  const before = new Set(broadcasts.running().map(({ id }) => id))
  return {
    async waiting(app, id, max) {
      const members = await broadcasts.waiting(app, id, max)
      if (!before.has(id)) return members
      const [first] = members
      if (first !== undefined && !forgotten.has(id)) forgotten.set(id, first)
      return members.filter((device) => device !== forgotten.get(id))
    },
  }
}

/** One event in so many is never heard of by those who push events, nor found by them in the log. */
const skipped = ({ id }: KeptEvent): boolean => Number.parseInt(id.slice(-4), 36) % 41 === 7

const skipEvents = (events: Events): Partial<Events> => ({
  listen: (heard) =>
    events.listen((all) => {
      const some = all.filter((event) => !skipped(event))
      if (some.length > 0) heard(some)
    }),
  async read(app, query) {
    const page = await events.read(app, query)
    return page.kind === 'gone'
      ? page
      : { ...page, items: page.items.filter((event) => !skipped(event)) }
  },
})

/** The engine with some methods of its mailbox replaced; private fields stay with their owners. */
function withMailbox(engine: Engine, change: (mailbox: Mailbox) => Partial<Mailbox>): Engine {
  const { mailbox } = engine
  const changed = change(mailbox)
  const broken = over(mailbox, changed)
  return over(engine, { mailbox: broken })
}

const sabotages = new Set(process.argv[2]?.split(','))
const has = (sabotage: Sabotage): boolean => sabotages.has(sabotage)

/** By the adapter that commits it; `forgets-mark`: all. */
const adapterSabotages: readonly [Sabotage, string | undefined, AdapterSabotage][] = [
  ['mqtt-answers-early', 'mqtt', answersEarly],
  ['coap-counts-unacknowledged', 'coap', countsUnacknowledged],
  ['http-acknowledges-unasked', 'http', acknowledgesUnasked],
  ['forgets-mark', undefined, forgetsMark],
]

const loaded = loadConfig({ flags: {}, env: process.env })
if (!loaded.ok) throw new Error(loaded.problem)
const { log } = createLog({ level: loaded.config.logLevel, human: false })
if (has('answers-before-write')) answerBeforeWrite()

const parts = partsFor(loaded.config, log)
const node = new Node({
  ...parts,
  adapters: parts.adapters.map((adapter) =>
    adapterSabotages
      .filter(([name, of]) => has(name) && (of === undefined || of === adapter.name))
      .reduce((whole, [, , sabotage]) => sabotage(whole), adapter),
  ),
  openEngine: async (folder, clock) => {
    let engine = await parts.openEngine(folder, clock)
    if (has('forgets-stamp')) engine = withMailbox(engine, forgetStamps)
    if (has('reorders')) engine = withMailbox(engine, reorder)
    if (has('hands-over-canceled')) engine = withMailbox(engine, handOverCanceled)
    if (!has('forgets-member')) return engine
    return over(engine, { broadcasts: over(engine.broadcasts, forgetMember(engine.broadcasts)) })
  },
  makeWebhooks: (ports) => {
    if (!has('skips-event')) return parts.makeWebhooks(ports)
    const events = over(ports.engine.events, skipEvents(ports.engine.events))
    return parts.makeWebhooks({ ...ports, engine: over(ports.engine, { events }) })
  },
})
process.on('SIGTERM', () => void node.stop().then(() => process.exit(0)))
const { listeners } = await node.start()
console.log(JSON.stringify({ event: 'gateway.ready', listeners }))
