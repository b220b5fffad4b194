/**
 * The same gateway, wired the same way, broken on purpose in one place, so that the judge can be
 * shown to notice. The product has no switch for this: it is broken from outside, at its ports.
 *
 *     node --import tsx test/crash/broken-server.ts answers-before-write|forgets-stamp|reorders
 */
import { Level } from 'level'
import { partsFor } from '../../cli/wire.ts'
import type { Engine, Mailbox, Reading } from '../../src/contract/index.ts'
import { loadConfig } from '../../src/node/config.ts'
import { createLog } from '../../src/node/log.ts'
import { Node } from '../../src/node/node.ts'

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

/** The engine with some methods of its mailbox replaced; private fields stay with their owners. */
function withMailbox(engine: Engine, change: (mailbox: Mailbox) => Partial<Mailbox>): Engine {
  const { mailbox } = engine
  const changed = change(mailbox)
  const broken = over(mailbox, changed)
  return over(engine, { mailbox: broken })
}

function over<T extends object>(whole: T, changed: Partial<T>): T {
  return new Proxy(whole, {
    get(target, name) {
      if (Object.hasOwn(changed, name)) return Reflect.get(changed, name)
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

const sabotage = process.argv[2]
const loaded = loadConfig({ flags: {}, env: process.env })
if (!loaded.ok) throw new Error(loaded.problem)
const { log } = createLog({ level: loaded.config.logLevel, human: false })
if (sabotage === 'answers-before-write') answerBeforeWrite()

const parts = partsFor(loaded.config, log)
const node = new Node({
  ...parts,
  openEngine: async (folder, clock) => {
    const engine = await parts.openEngine(folder, clock)
    if (sabotage === 'forgets-stamp') return withMailbox(engine, forgetStamps)
    if (sabotage === 'reorders') return withMailbox(engine, reorder)
    return engine
  },
})
process.on('SIGTERM', () => void node.stop().then(() => process.exit(0)))
const { listeners } = await node.start()
console.log(JSON.stringify({ event: 'gateway.ready', listeners }))
