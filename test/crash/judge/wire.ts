import type { Facts, Findings } from './facts.ts'
import { idOf } from './facts.ts'

export interface WireFigures {
  readonly sessions: number
  /** COMMAND frames that passed the tap. */
  readonly commands: number
  /** Of them, the same position again: allowed while the device had not stored it. */
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
}

/**
 * Exactly once on the wire for who resumes by position. Offsets of a channel only grow, over epochs
 * too, so a position is compared by its offset.
 */
export function onceOnTheWire(facts: Facts, findings: Findings): WireFigures {
  const openings = new Map<number, Opening>()
  const seen = new Set<string>()
  const nowSeen = new Set<string>()
  let commands = 0
  let resent = 0
  let crossed = 0
  let repeats = 0
  let tailLost = 0
  for (const { session, device, channel, what } of facts.journal.wire) {
    const where = `${device}/${channel}`
    let opening = openings.get(session)
    if (opening === undefined) {
      opening = { resume: 0, acknowledged: 0, replied: new Map(), kept: 0, top: 0 }
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
          findings.add('tail-lost', `${where} stood at a place the gateway did not know`)
        }
        break
      case 'ack':
        opening.acknowledged = Math.max(opening.acknowledged, what.upTo)
        break
      case 'reply':
        opening.replied.set(what.offset, what.sequence)
        break
      case 'kept':
        opening.kept = Math.max(opening.kept, what.upTo)
        break
      case 'command': {
        commands++
        const place = `${where} ${what.epoch.toString(36)}:${what.offset}`
        const known = Math.max(opening.resume, opening.acknowledged)
        // Two frames may cross: what the gateway has acknowledged it knows, what is under way not.
        const answered = opening.replied.get(what.offset)
        if (answered !== undefined && answered > opening.kept) crossed++
        if (what.offset <= known || (answered !== undefined && answered <= opening.kept)) {
          repeats++
          findings.add('wire-repeat', `${place} was written to a device that stood at ${known}`)
        } else if (what.offset <= opening.top) {
          findings.add('wire-reordered', `${place} was written after ${opening.top}`)
        }
        opening.top = Math.max(opening.top, what.offset)
        if (seen.has(place)) {
          resent++
          if (nowSeen.has(place)) findings.add('now-twice', `${place} is a now, written twice`)
        }
        seen.add(place)
        const id = facts.named(idOf(device, channel, what.epoch, what.offset))
        if (facts.accepted.get(id)?.ask.delivery === 'now') nowSeen.add(place)
        break
      }
    }
  }
  return { sessions: openings.size, commands, resent, crossed, repeats, tailLost }
}
