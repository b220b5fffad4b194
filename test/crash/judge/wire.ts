import type { Wire } from '../journal.ts'
import type { Facts, Findings } from './facts.ts'
import { idOf } from './facts.ts'

export interface WireFigures {
  readonly sessions: number
  /** Commands that passed a tap, by protocol and in sum. */
  readonly byFamily: Readonly<Record<string, number>>
  readonly commands: number
  /** Of them, the same again: allowed while the device had not stored it. */
  readonly resent: number
  /** Of those, after the device had answered it in this session, the answer not acknowledged yet. */
  readonly crossed: number
  /** Of them, resent to a device that had said it stands there or beyond: never allowed (R6). */
  readonly repeats: number
  readonly tailLost: number
}

interface Opening {
  resume: number
  /** Highest offset the device acknowledged here, by ACK. */
  acknowledged: number
  /** By offset, the sequence of the reply. */
  replied: Map<number, number>
  /** Highest sequence the gateway acknowledged here: what it is known to know. */
  kept: number
  top: number
  /** What came here, where messages name their command. */
  readonly ids: Set<string>
}

/**
 * Exactly once on the wire for who resumes by position. Offsets of a channel only grow, over epochs
 * too, so a position is compared by its offset. Whatever the protocol: a `now` is written once, and
 * by one session nothing is written twice, save by an observation, which outlives much and says so.
 */
export function onceOnTheWire(facts: Facts, findings: Findings): WireFigures {
  const openings = new Map<number, Opening>()
  const seen = new Set<string>()
  const nowSeen = new Set<string>()
  const byFamily: Record<string, number> = {}
  let commands = 0
  let resent = 0
  let crossed = 0
  let repeats = 0
  let tailLost = 0
  const command = (wire: Wire, opening: Opening, what: Wire['what'] & { kind: 'command' }) => {
    const { device, channel, family } = wire
    commands++
    byFamily[family] = (byFamily[family] ?? 0) + 1
    const id = facts.named(what.id ?? idOf(device, channel, what.epoch, what.offset))
    const known = Math.max(opening.resume, opening.acknowledged)
    // Two frames may cross: what the gateway has acknowledged it knows, what is under way not.
    const answered = opening.replied.get(what.offset)
    if (answered !== undefined && answered > opening.kept) crossed++
    // Pike says places only: there the order tells.
    const isTwice = what.id !== undefined && opening.ids.has(id)
    if (what.offset <= known || (answered !== undefined && answered <= opening.kept)) {
      repeats++
      findings.add('wire-repeat', `${id} was written to a device that stood at ${known}`)
    } else if (isTwice && (family !== 'coap' || !what.repeated)) {
      findings.add('wire-repeat', `${id} was written twice by one session (${family})`)
    } else if (what.offset < opening.top || (what.offset === opening.top && !isTwice)) {
      findings.add('wire-reordered', `${id} was written after ${opening.top}`)
    }
    opening.ids.add(id)
    if (what.offset > opening.top) opening.top = what.offset
    if (seen.has(id)) {
      resent++
      if (nowSeen.has(id)) findings.add('now-twice', `${id} is a now, written twice`)
    }
    seen.add(id)
    if (facts.accepted.get(id)?.ask.delivery === 'now') nowSeen.add(id)
  }
  for (const wire of facts.journal.wire) {
    const { session, device, channel, what } = wire
    let opening = openings.get(session)
    if (opening === undefined) {
      opening = {
        resume: 0,
        acknowledged: 0,
        replied: new Map(),
        kept: 0,
        top: 0,
        ids: new Set(),
      }
      openings.set(session, opening)
    }
    switch (what.kind) {
      case 'hello':
        opening.resume = what.resume?.offset ?? 0
        break
      case 'welcome':
        if (what.resumed === 'tail-lost') {
          tailLost++
          opening.resume = 0
          const where = `${device}/${channel}`
          findings.add('tail-lost', `${where} stood at a place the gateway did not know`)
        }
        break
      case 'ack':
        opening.acknowledged = Math.max(opening.acknowledged, what.upTo)
        break
      case 'reply':
        // Elsewhere a reply is no acknowledgement by its place, and nobody hears of its own.
        if (what.id === undefined) opening.replied.set(what.offset, what.sequence)
        break
      case 'kept':
        opening.kept = Math.max(opening.kept, what.upTo)
        break
      case 'command':
        command(wire, opening, what)
    }
  }
  return { sessions: openings.size, commands, byFamily, resent, crossed, repeats, tailLost }
}
