import assert from 'node:assert/strict'
import type { ChannelId, Head, Position } from '../../src/contract/index.ts'
import { epochsKept } from '../../src/contract/index.ts'

interface OfChannel {
  /** As devices may name them: `epoch:offset`. */
  readonly told: Set<string>
  /** Told in a time that a restored backup has undone. */
  readonly lost: Set<string>
  readonly used: Set<string>
  readonly epochs: Set<number>
  current: number | undefined
}

/** Everything engines ever said of positions in one run, over all their lives. Rule 13. */
export class Positions {
  readonly #channels = new Map<ChannelId, OfChannel>()

  /** A command was numbered. */
  numbered(channel: ChannelId, position: Position): void {
    this.named(channel, position.epoch)
    const { used } = this.#of(channel)
    assert.ok(!used.has(word(position)), `${word(position)} of ${channel} is used twice`)
    used.add(word(position))
  }

  /** An epoch was said to be current. */
  named(channel: ChannelId, epoch: number): void {
    const state = this.#of(channel)
    if (state.current === undefined) {
      assert.ok(!state.epochs.has(epoch), `rule 13: epoch ${epoch} of ${channel} goes on`)
      state.epochs.add(epoch)
      state.current = epoch
    }
    assert.equal(epoch, state.current, `rule 13: epoch of ${channel}`)
  }

  /** A crash, or another store: the next epoch must be one that never was. */
  begin(): void {
    for (const state of this.#channels.values()) state.current = undefined
  }

  /** A device may stand here from now on. */
  tell(channel: ChannelId, position: Position): void {
    this.#of(channel).told.add(word(position))
  }

  /** The store was put back to where it knew only these. */
  undo(channel: ChannelId, there: readonly Position[]): void {
    const { told, lost } = this.#of(channel)
    const known = new Set(there.map(word))
    for (const position of told) {
      if (known.has(position)) continue
      told.delete(position)
      lost.add(position)
    }
  }

  /** What was told is understood, unless too long ago; what was undone is not. */
  check(channel: ChannelId, head: Head): void {
    const spans = new Map(head.epochs.map(({ epoch, last }) => [epoch, last]))
    const { told, lost } = this.#of(channel)
    for (const position of told) {
      const [epoch, offset] = parts(position)
      const forgotten = spans.size === epochsKept && !spans.has(epoch)
      const understood = offset <= (spans.get(epoch) ?? 0)
      assert.ok(understood || forgotten, `${position} was told on ${channel} and is unknown`)
    }
    for (const position of lost) {
      const [epoch, offset] = parts(position)
      const believed = offset <= (spans.get(epoch) ?? 0)
      assert.ok(!believed, `${position} was lost on ${channel} and is believed`)
    }
  }

  #of(channel: ChannelId): OfChannel {
    const known = this.#channels.get(channel)
    if (known !== undefined) return known
    const fresh: OfChannel = {
      told: new Set(),
      lost: new Set(),
      used: new Set(),
      epochs: new Set(),
      current: undefined,
    }
    this.#channels.set(channel, fresh)
    return fresh
  }
}

const word = ({ epoch, offset }: Position): string => `${epoch}:${offset}`
const parts = (word: string) => word.split(':').map(Number) as [number, number]
