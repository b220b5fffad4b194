import type { EventId, WebhookRecord } from '../contract/index.ts'
import { Again } from './again.ts'
import type { Aim } from './aim.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { LanePolicy } from './lane.ts'
import type { Ledger } from './ledger.ts'
import { backoffMs } from './policy.ts'
import type { PushPorts } from './ports.ts'
import { postFromLog } from './post.ts'
import { Receivers } from './receivers.ts'
import { Retries } from './retries.ts'
import type { Attempt, Connections } from './sender.ts'
import type { SlotOwner } from './slots.ts'

interface BesidePorts {
  readonly owner: SlotOwner
  readonly push: PushPorts
  readonly policy: LanePolicy
  readonly ledger: Ledger
  readonly letters: DeadLetters
  readonly connections: Connections
  /** What holds at this moment; undefined: nothing is sent now. */
  target(): { readonly record: WebhookRecord; readonly aim: Aim } | undefined
  /** Its slot is free again. */
  land(): void
  attempted(attempt: Attempt): void
  died(): void
  say(event: string, fields: object): void
}

/** Events that go by themselves, beside the lanes: callbacks tried again, dead letters sent again. */
export class Beside {
  readonly retries: Retries
  readonly again: Again
  readonly #ports: BesidePorts
  readonly #receivers: Receivers

  constructor(ports: BesidePorts) {
    const { push, policy, ledger, letters } = ports
    const { clock, limits, random } = push
    this.#ports = ports
    this.#receivers = new Receivers(ports.owner)
    this.again = new Again({
      letters,
      attempt: (event) => this.#attempt(event, undefined),
      gaveUp: (left, why) => ports.say('webhook.again-failed', { left, why }),
    })
    this.retries = new Retries({
      ledger,
      nowMs: () => clock.nowMs(),
      at: (atMs, run) => clock.at(atMs, 'callback retry', run),
      delayMs: (attempts) => backoffMs(policy, attempts, random()),
      deadAfterMs: limits.webhookDeadAfterMs,
      attempt: (event, lane) => this.#attempt(event, lane),
      dead: (letter) => {
        letters.add(letter)
        ports.died()
      },
    })
  }

  /** Start what is due and may start. */
  go(): void {
    this.retries.go()
    this.again.go()
  }

  /** What could not start may do so now. Cheap where there is nothing. */
  freed(): void {
    this.retries.freed()
    this.again.go()
  }

  close(): void {
    this.again.close()
    this.retries.close()
  }

  /** @param lane of a callback tried again; undefined: a dead letter. */
  #attempt(
    event: EventId,
    lane: number | undefined,
  ): Promise<Attempt | 'gone' | 'later'> | undefined {
    const { owner, push, target, land } = this.#ports
    if (target() === undefined) return undefined
    if (lane !== undefined && !this.#receivers.hasRoom(lane)) return undefined
    if (!push.slots.take(owner)) return undefined
    if (lane !== undefined) this.#receivers.take(lane)
    return this.#one(event, lane === undefined)
      .catch(() => 'later' as const)
      .finally(() => {
        if (lane !== undefined) this.#receivers.give(lane)
        land()
      })
  }

  async #one(id: EventId, redelivered: boolean): Promise<Attempt | 'gone'> {
    const { push, connections, target, attempted } = this.#ports
    const { record, aim } = target()!
    const attempt = await postFromLog(push, connections, record, aim, id, redelivered)
    if (attempt !== 'gone') attempted(attempt)
    return attempt
  }
}
