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
const say = (line: string) => process.stdout.write(`${line}\n`)

async function work(worker: number): Promise<void> {
  const channel = `shop/locker-${worker}/main`
  for (let at = 0; ; at++) {
    const nowMs = clock.nowMs()
    const appended = await engine.mailbox.append(
      channel,
      {
        ...{ name: `${round}-${worker}-${at}`, payload: Buffer.alloc(100, at), askedBy: 'test' },
        ...{ contentType: 'text/plain', delivery: 'queue', expect: 'ack', replyTimeoutMs: 1e4 },
        ...{ acceptedAtMs: nowMs, expiresAtMs: nowMs + 1e7 },
      },
      { maxCommands: 1e6, maxBytes: 1e9, overflow: 'reject', intendUpTo: 0 },
    )
    if (appended.kind !== 'kept') throw new Error(appended.kind)
    const { id, offset } = appended.command
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

for (let worker = 0; worker < 20; worker++) void work(worker)
