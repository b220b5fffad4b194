import type { Command, KeptCommand } from '../../../src/contract/index.ts'
import { openLevelEngine } from '../../../src/engine/level/index.ts'
import { SystemClock } from '../../../src/node/clock.ts'

/**
 * Accepts, ends and logs at load until it is killed, and says on standard output what was settled:
 * `kept <id>`, `ended <id>`, `event <name>`, one a line, each only after its synced write.
 */
const folder = process.argv[2]!
const round = process.argv[3]!
const clock = new SystemClock()
const engine = await openLevelEngine({ folder, clock })
/** Of 100 commands of a worker, so many are scheduled first; every second of them gets its place. */
const scheduledOf100 = 20
const members = Array.from({ length: 3_000 }, (_, at) => `member-${String(at).padStart(4, '0')}`)
const options = { maxCommands: 1e6, maxBytes: 1e9, overflow: 'reject', intendUpTo: 0 } as const
const say = (line: string) => process.stdout.write(`${line}\n`)

const commandOf = (name: string, at: number): Command => ({
  ...{ name, payload: Buffer.alloc(100, at), askedBy: 'test' },
  ...{ contentType: 'text/plain', delivery: 'queue', expect: 'ack', replyTimeoutMs: 1e4 },
  ...{ acceptedAtMs: clock.nowMs(), expiresAtMs: clock.nowMs() + 1e7 },
})

/** @returns undefined where it waits for its time. */
async function keep(
  channel: string,
  command: Command,
  at: number,
): Promise<KeptCommand | undefined> {
  let given = command
  if (at % 100 < scheduledOf100) {
    const later = { ...command, notBeforeMs: command.acceptedAtMs + 1e6 }
    const bounds = { maxCommands: 1e6, maxTotal: 1e6 }
    const scheduled = await engine.mailbox.schedule(channel, later, bounds)
    if (scheduled.kind !== 'kept') throw new Error(scheduled.kind)
    say(`kept ${scheduled.command.id}`)
    if (at % 2 === 0) return undefined
    given = scheduled.command
  }
  const appended = await engine.mailbox.append(channel, given, options)
  if (appended.kind !== 'kept') throw new Error(appended.kind)
  return appended.command
}

async function work(worker: number): Promise<void> {
  const channel = `shop/locker-${worker}/main`
  for (let at = 0; ; at++) {
    const nowMs = clock.nowMs()
    const kept = await keep(channel, commandOf(`${round}-${worker}-${at}`, at), at)
    if (kept === undefined) continue
    const { id, offset } = kept
    say(`kept ${id}`)
    if (at % 3 === 0) continue
    const name = `event-${round}-${worker}-${at}`
    engine.mailbox.settle(
      channel,
      {
        changes: [{ kind: 'ended', offset, status: 'delivered', atMs: nowMs }],
        uplinks: name,
        events: [
          {
            ...{ kind: 'event', app: 'shop', device: `locker-${worker}`, atMs: nowMs, name },
            ...{ payload: Buffer.alloc(10), contentType: 'text/plain' },
          },
        ],
      },
      (outcome) => {
        if (outcome !== 'kept') throw new Error(outcome)
        say(`ended ${id}`)
        say(`event ${name}`)
      },
    )
  }
}

/** One command for every member, beside the work. */
async function broadcast(): Promise<void> {
  const id = `cast-${round}`
  const { acceptedAtMs: createdAtMs, ...command } = commandOf('update', 7)
  async function* chunks() {
    for (let at = 0; at < members.length; at += 100) yield members.slice(at, at + 100)
  }
  const about = { app: 'shop', id, tag: 'all', askedBy: 'test', createdAtMs }
  const bounds = { maxDevices: 1e5, maxKept: 100 }
  const made = await engine.broadcasts.create(
    { ...about, command: { ...command, channel: 'main' } },
    chunks(),
    bounds,
  )
  if (made.kind !== 'kept') throw new Error(made.kind)
  for (;;) {
    const waiting = await engine.broadcasts.waiting('shop', id, 10)
    if (waiting.length === 0) return
    await Promise.all(
      waiting.map(async (device) => {
        const given = { ...commandOf('update', 7), broadcast: id }
        const appended = await engine.mailbox.append(`shop/${device}/main`, given, options)
        if (appended.kind !== 'kept') throw new Error(appended.kind)
        say(`kept ${appended.command.id}`)
      }),
    )
  }
}

void broadcast()
for (let worker = 0; worker < 20; worker++) void work(worker)
