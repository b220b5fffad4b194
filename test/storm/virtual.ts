import { codeOf } from '../../adapters/pike/reasons.ts'
import { Lifecycle } from '../../devices/lifecycle.ts'
import { reconnectPolicy } from '../../devices/reconnect.ts'
import { Door } from '../../src/listen/door.ts'
import { TimeQueue } from '../support/time-queue.ts'

/**
 * A storm without a machine: as many of the client's life cycles, and a gateway that is a queue.
 *
 *     fault ──▶ nobody listens: refused ──▶ it listens ──▶ backlog ──▶ so many let in a second
 *                                                             └─ full: SYN again after 1, 3, 7 s
 */
export interface VirtualStorm {
  readonly devices: number
  /** 'kill': all are lost at 0. 'polite': sent away slice by slice from `quietMs` on. */
  readonly fault: 'kill' | 'polite'
  /** When the next process listens, ms. */
  readonly downMs: number
  /** How many handshakes it manages. */
  readonly perSecond: number
  readonly backlogMax: number
  /** It accepts whatever comes, and sends away at once whom it has no time for. */
  readonly door?: boolean
  readonly random: () => number
  /** Of a polite one. */
  readonly spreadMs: number
  readonly quietMs: number
  readonly sliceMax: number
}

const sliceEveryMs = 50
const startTimeoutMs = 10_000
const overloaded = codeOf('overloaded')
/** Linux, from the first SYN. */
const synAgainMs = [1_000, 3_000, 7_000]

interface Device {
  readonly life: Lifecycle
  connection: number
}

type Happening =
  | { readonly kind: 'tick'; readonly of: Device }
  | { readonly kind: 'lost'; readonly of: Device }
  | { readonly kind: 'refused'; readonly of: Device; readonly connection: number }
  | { readonly kind: 'syn'; readonly of: Device; readonly connection: number; readonly n: number }
  | { readonly kind: 'in'; readonly of: Device; readonly connection: number }

export interface VirtualReturn {
  /** When each was back, ms after the fault, in order. */
  readonly backMs: readonly number[]
  /** Handshakes that were made for devices that had given up. */
  readonly vain: number
}

export function virtualStorm(storm: VirtualStorm): VirtualReturn {
  const { downMs, perSecond, random } = storm
  const due = new TimeQueue<Happening>()
  const backMs: number[] = []
  let vain = 0
  let freeAtMs = downMs
  let nowMs = 0
  const waiting = (): number => Math.max(0, ((freeAtMs - nowMs) * perSecond) / 1000)
  const door = new Door({
    clock: { nowMs: () => nowMs } as never,
    waitMaxMs: startTimeoutMs,
    // With one loop all that waits is behind.
    lateMs: () => freeAtMs - nowMs,
  })

  const give = (of: Device, input: Parameters<Lifecycle['input']>[0]): void => {
    for (const effect of of.life.input(input, nowMs)) {
      if (effect.kind === 'disconnect') of.connection = 0
      if (effect.kind !== 'connect') continue
      of.connection = effect.connection
      due.add(nowMs, { kind: 'syn', of, connection: effect.connection, n: 0 })
    }
    if (of.life.dueMs < Number.POSITIVE_INFINITY) due.add(of.life.dueMs, { kind: 'tick', of })
  }
  const lost = (of: Device, spreadMs?: number): void =>
    give(of, {
      kind: 'lost',
      connection: of.connection,
      cause:
        spreadMs === undefined ? { kind: 'local', text: '' } : { kind: 'going-away', spreadMs },
    })

  for (let i = 0; i < storm.devices; i++) {
    const life = new Lifecycle({ startTimeoutMs, random })
    const of: Device = { life, connection: 0 }
    for (const effect of life.input({ kind: 'start' }, -60_000))
      if (effect.kind === 'connect') of.connection = effect.connection
    life.input({ kind: 'ready', connection: of.connection, policy: reconnectPolicy }, -60_000)
    const atMs =
      storm.fault === 'kill' ? 0 : storm.quietMs + sliceEveryMs * Math.floor(i / storm.sliceMax)
    due.add(atMs, { kind: 'lost', of })
  }

  for (let next = due.take(); next !== undefined; next = due.take()) {
    nowMs = next.atMs
    const { what } = next
    const { of } = what
    if (what.kind === 'tick') {
      if (of.life.dueMs <= nowMs) give(of, { kind: 'tick' })
    } else if (what.kind === 'lost') {
      lost(of, storm.fault === 'polite' ? storm.spreadMs : undefined)
    } else if (what.connection !== of.connection) {
      // It gave up meanwhile. One that was in the queue all the same cost its time.
      if (what.kind === 'in') vain++
    } else if (what.kind === 'refused') {
      lost(of)
    } else if (what.kind === 'in') {
      door.letIn()
      give(of, { kind: 'ready', connection: what.connection, policy: reconnectPolicy })
      if (of.life.state.kind === 'running') backMs.push(nowMs)
    } else if (nowMs < downMs) {
      due.add(nowMs + 1, { ...what, kind: 'refused' })
    } else if (storm.door === true && !door.admits(waiting())) {
      const retryAfterMs = Math.ceil(door.comeBackMs() / 1000) * 1000
      const cause = { kind: 'closed', code: overloaded, retryAfterMs, text: '' } as const
      give(of, { kind: 'lost', connection: of.connection, cause })
    } else if (waiting() > storm.backlogMax) {
      const again = synAgainMs[what.n]
      const before = what.n === 0 ? 0 : synAgainMs[what.n - 1]!
      if (again !== undefined) due.add(nowMs + again - before, { ...what, n: what.n + 1 })
    } else {
      freeAtMs = Math.max(freeAtMs, nowMs) + 1000 / perSecond
      due.add(freeAtMs, { ...what, kind: 'in' })
    }
  }
  return { backMs, vain }
}
