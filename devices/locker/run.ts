import type { Timer } from '../../src/contract/index.ts'
import { PikeClient } from '../client.ts'
import { deviceClock } from '../clock.ts'
import type { Command, Respond } from '../command.ts'
import type { StopReason } from '../lifecycle.ts'
import type { PikeClientOptions } from '../options.ts'
import type { BehindOptions, PikeGateway } from '../pike/gateway.ts'
import { Locker, type LockerEffect, type LockerOptions } from './locker.ts'

export interface RunLockerOptions extends PikeClientOptions {
  /** Whoever speaks for it, over whose connection it goes: of the options above `device`, `channels`, `storage` and `limits` count. */
  readonly behind?: PikeGateway
  /** How many doors, or more about them. */
  readonly doors: number | LockerOptions
  /** Told what happens: a word for programs, a sentence for people, and details. */
  readonly log?: (entry: LockerLog) => void
}

export interface LockerLog {
  readonly event:
    | 'locker.running'
    | 'locker.waiting'
    | 'locker.stopped'
    | 'locker.command'
    | 'locker.reply'
    | 'locker.late'
    | 'locker.door-opened'
    | 'locker.door-closed'
    | 'locker.not-sent'
  readonly text: string
  readonly atMs: number
  readonly details: Readonly<Record<string, unknown>>
}

export interface OpenedDoor {
  readonly door: number
  /** The command that opened it. */
  readonly command: string
  readonly at: string
}

export interface RunningLocker {
  readonly client: PikeClient
  readonly locker: Locker
  /** Every opening so far, in order; the last {@link openedMax}. */
  readonly opened: readonly OpenedDoor[]
  /** Somebody pushes a door shut. */
  close(door: number): void
  /** Disconnect; doors stay as they are. Resolves when nothing is open any more. */
  stop(): Promise<void>
}

export const openedMax = 10_000

/**
 * A locker on a wire: commands of a PikeClient move its doors, its sensors' events are sent.
 * Starts at once. A command is done with when its door has answered, so position and reply are
 * stored together.
 */
export function runLocker(options: RunLockerOptions): RunningLocker {
  const { doors, log, behind, ...clientOptions } = options
  const clock = options.clock ?? deviceClock
  const client = behind?.client(ownOf(clientOptions)) ?? new PikeClient(clientOptions)
  const locker = new Locker(typeof doors === 'number' ? { doors } : doors)
  const opened: OpenedDoor[] = []
  const waiting = new Map<string, { respond: Respond; answered: () => void }[]>()
  let timer: Timer | undefined
  let timerAtMs = Number.POSITIVE_INFINITY

  const tell = (event: LockerLog['event'], text: string, details: LockerLog['details']): void =>
    log?.({ event, text, atMs: clock.nowMs(), details })

  const arm = (): void => {
    const { dueMs } = locker
    if (dueMs === timerAtMs) return
    timer?.cancel()
    timer = undefined
    timerAtMs = dueMs
    if (dueMs === Number.POSITIVE_INFINITY) return
    timer = clock.at(dueMs, 'locker', () => {
      timer = undefined
      timerAtMs = Number.POSITIVE_INFINITY
      perform(locker.tick(clock.nowMs()))
    })
  }

  const perform = (effects: readonly LockerEffect[]): void => {
    for (const effect of effects) {
      if (effect.kind === 'reply') answer(effect)
      else report(effect)
    }
    arm()
  }

  const answer = ({ id, reply }: LockerEffect & { readonly kind: 'reply' }): void => {
    const reason = reply.status === 'done' ? '' : ` (${reply.reason})`
    tell('locker.reply', `${id}: ${reply.status}${reason}`, { command: id, ...reply })
    const responds = waiting.get(id) ?? []
    waiting.delete(id)
    for (const { respond, answered } of responds) {
      void respond(reply)
      answered()
    }
  }

  const report = (effect: LockerEffect & { readonly kind: 'event' }): void => {
    const { name, payload } = effect
    if (effect.name === 'door-opened') {
      const { door, at, command } = effect.payload
      if (opened.length === openedMax) opened.shift()
      opened.push({ door, command, at })
    }
    const text = `door ${payload.door} ${name === 'door-opened' ? 'opened' : 'closed'}`
    tell(`locker.${name}`, text, payload)
    // What the bound of the outbox or a stop kept from the gateway is told, not hidden.
    void client.send(name, payload).then((sent) => {
      if (sent.kind === 'failed')
        tell('locker.not-sent', `${name} not acknowledged: ${sent.reason}`, { ...payload, ...sent })
    })
  }

  client.on('receive', (command: Command, respond: Respond) => {
    const { id, name, expiresAtMs, replyExpected } = command
    const payload = command.json()
    tell('locker.command', `${name} ${JSON.stringify(payload ?? null)}`, { command: id, name })
    return new Promise<void>((answered) => {
      const all = waiting.get(id) ?? []
      const silent: Respond = async () => ({ kind: 'written' })
      all.push({ respond: replyExpected ? respond : silent, answered })
      waiting.set(id, all)
      perform(locker.command({ id, name, payload, expiresAtMs }, clock.nowMs()))
    })
  })
  client.on('late', ({ id, name }) =>
    tell('locker.late', `${name} came too late and was refused`, { command: id, name }),
  )
  client.on('running', (report) =>
    tell('locker.running', `connected as ${client.device}`, { ...report }),
  )
  client.on('waiting', ({ why, untilMs }) => {
    const waitMs = Math.max(0, Math.round(untilMs - clock.nowMs()))
    tell('locker.waiting', `not connected (${why}); again in ${waitMs} ms`, { why, waitMs })
  })
  client.on('stopped', (reason) => tell('locker.stopped', stoppedText(reason), { ...reason }))
  client.start()

  return {
    client,
    locker,
    opened,
    close: (door) => perform(locker.close(door, clock.nowMs())),
    async stop() {
      await client.stop()
      timer?.cancel()
    },
  }
}

/** What is its own, behind another. */
const ownOf = ({ device, channels, storage, limits }: PikeClientOptions): BehindOptions => ({
  device,
  ...(channels !== undefined && { channels }),
  ...(storage !== undefined && { storage }),
  ...(limits !== undefined && { limits }),
})

function stoppedText(reason: StopReason): string {
  if (reason.kind === 'refused') return `refused: ${reason.text}`
  if (reason.kind === 'storage') return `stopped: what it remembers cannot be kept: ${reason.text}`
  return 'stopped, as it was asked to'
}
