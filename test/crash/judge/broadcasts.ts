import type { LogEntry } from '../journal.ts'
import { absent, type BroadcastAsk, type BroadcastSeen } from '../journal-many.ts'
import type { Facts, Findings, JudgeOptions } from './facts.ts'
import { group } from './facts.ts'
import { type Registers, readTrue } from './registers.ts'

export interface BroadcastFigures {
  readonly asked: number
  readonly accepted: number
  readonly members: number
  readonly stopped: number
}

/** Rule 27: who had the tag at that moment gets exactly one command, and one report says what became of it. */
export function broadcastsWhole(
  facts: Facts,
  findings: Findings,
  registers: Registers,
  options: JudgeOptions,
): BroadcastFigures {
  const { journal } = facts
  const ends = endsByName(facts)
  for (const [name, entries] of ends) {
    for (const [device, some] of group(entries, (entry) => entry.device)) {
      const ids = new Set(some.map((entry) => entry.command))
      if (ids.size > 1) {
        findings.add('broadcast-twice', `${name}: ${device} got ${[...ids].join(' and ')}`)
      }
    }
  }
  for (const ask of journal.broadcasts) keysHold(findings, ask)
  const seen = journal.broadcastsSeen
  if (options.final && seen !== undefined) {
    const byId = new Map(seen.map((one) => [one.id, one]))
    for (const ask of journal.broadcasts) {
      snapshotTrue(findings, registers, ask, byId)
      if (ends.has(ask.name) && !seen.some(({ name }) => name === ask.name)) {
        findings.add('lost', `broadcast ${ask.name} made commands and is not known any more`)
      }
    }
    for (const [name, some] of group(seen, (one) => one.name)) {
      if (some.length > 1) {
        const ids = some.map(({ id }) => id).join(' and ')
        findings.add('key-split', `broadcast ${name}, asked for with one key, became ${ids}`)
      }
      const ask = facts.broadcastByName.get(name)
      for (const one of some) {
        if (ask === undefined) findings.add('phantom', `nobody asked for broadcast ${one.id}`)
        else reportTrue(findings, ask, one, ends.get(name) ?? [])
      }
    }
  }
  return {
    asked: journal.broadcasts.length,
    accepted: journal.broadcasts.filter((ask) => acceptedId(ask) !== undefined).length,
    members: [...ends.values()].reduce((sum, entries) => sum + entries.length, 0),
    stopped: seen?.filter(({ state }) => state === 'stopped').length ?? 0,
  }
}

const acceptedId = (ask: BroadcastAsk): string | undefined =>
  ask.attempts.find(({ verdict }) => verdict === 'accepted')?.id

const endsByName = (facts: Facts): Map<string, LogEntry[]> =>
  group(
    [...facts.ended.values()]
      .map(([end]) => end!)
      .filter(({ name }) => facts.broadcastByName.has(name ?? '')),
    ({ name }) => name!,
  )

function keysHold(findings: Findings, ask: BroadcastAsk): void {
  const ids = new Set(ask.attempts.flatMap(({ id }) => (id === undefined ? [] : [id])))
  if (ids.size > 1) {
    findings.add('key-split', `broadcast ${ask.name} was answered as ${[...ids].join(' and ')}`)
  }
}

/** Its members are those that had the tag, at some moment between the first question and the answer. */
function snapshotTrue(
  findings: Findings,
  registers: Registers,
  ask: BroadcastAsk,
  byId: ReadonlyMap<string, BroadcastSeen>,
): void {
  for (const { nobody, askedAtMs, answeredAtMs } of ask.attempts) {
    if (!nobody) continue
    for (const register of registers.under(`tag/${ask.tag}/`)) {
      const at = { askedAtMs, answeredAtMs: answeredAtMs! }
      readTrue(findings, registers, { register, value: absent, ...at, by: `a 404 to ${ask.name}` })
    }
  }
  const accepted = ask.attempts.find(({ verdict }) => verdict === 'accepted')
  if (accepted === undefined) return
  const seen = byId.get(accepted.id!)
  if (seen === undefined) {
    findings.add('lost', `broadcast ${accepted.id} (${ask.name}) was accepted and is not known`)
    return
  }
  if (accepted.devices !== seen.devices) {
    findings.add(
      'broadcast-sums',
      `${ask.name} was answered with ${accepted.devices} devices and has ${seen.devices}`,
    )
  }
  const members = new Set(seen.members.map(({ device }) => device))
  const askedAtMs = ask.attempts[0]!.askedAtMs
  const answeredAtMs = accepted.answeredAtMs!
  const devices = new Set(members)
  const prefix = `tag/${ask.tag}/`
  for (const register of registers.under(prefix)) devices.add(register.slice(prefix.length))
  for (const device of devices) {
    readTrue(findings, registers, {
      register: `${prefix}${device}`,
      value: members.has(device) ? 'on' : absent,
      askedAtMs,
      answeredAtMs,
      by: `the members of broadcast ${ask.name}`,
    })
  }
}

function reportTrue(
  findings: Findings,
  ask: BroadcastAsk,
  seen: BroadcastSeen,
  ends: readonly LogEntry[],
): void {
  const who = `broadcast ${ask.name} (${seen.id}, ${seen.state})`
  const { devices, waiting, open, members } = seen
  const ended = Object.values(seen.ended).reduce((sum, count) => sum + count, 0)
  if (devices !== waiting + open + ended || devices !== members.length) {
    findings.add(
      'broadcast-sums',
      `${who}: ${devices} devices are not ${waiting} waiting + ${open} open + ${ended} ended, or not ${members.length} members`,
    )
  }
  const byDevice = group(ends, (end) => end.device)
  let unplaced = 0
  const words = new Map<string, number>()
  for (const { device, command, status } of members) {
    const end = byDevice.get(device)?.[0]
    byDevice.delete(device)
    if (command === undefined) {
      unplaced++
      if (end !== undefined) {
        findings.add('broadcast-untrue', `${who}: ${device} is ${status} and had ${end.command}`)
      }
    } else if (end === undefined) {
      findings.add('broadcast-forgotten', `${who}: ${device} has ${command}, which never ended`)
    } else if (end.command !== command || end.status !== status) {
      findings.add(
        'broadcast-untrue',
        `${who}: ${device} has ${command}, ${status}; the log has ${end.command}, ${end.status}`,
      )
    }
    if (end?.status !== undefined) words.set(end.status, (words.get(end.status) ?? 0) + 1)
  }
  for (const device of byDevice.keys()) {
    findings.add('broadcast-untrue', `${who}: ${device} got a command and is no member`)
  }
  if (unplaced !== waiting) {
    findings.add('broadcast-sums', `${who}: ${unplaced} have no command, ${waiting} are waiting`)
  }
  for (const word of new Set([...words.keys(), ...Object.keys(seen.ended)])) {
    if ((words.get(word) ?? 0) !== (seen.ended[word] ?? 0)) {
      findings.add(
        'broadcast-sums',
        `${who}: ${seen.ended[word] ?? 0} ended ${word}, in the log ${words.get(word) ?? 0}`,
      )
    }
  }
  if (seen.state === 'running' || (seen.state === 'placed' && waiting > 0)) {
    findings.add('broadcast-forgotten', `${who}: ${waiting} members never got their command`)
  }
  stopsTrue(findings, ask, seen, who, unplaced)
}

/** After a stop was answered nobody more was placed; and nobody stops it who was not asked to. */
function stopsTrue(
  findings: Findings,
  ask: BroadcastAsk,
  seen: BroadcastSeen,
  who: string,
  unplaced: number,
): void {
  for (const { http, state, waiting } of ask.stops) {
    if (http === 200 && state === 'stopped' && waiting !== unplaced) {
      findings.add(
        'broadcast-untrue',
        `${who}: ${waiting} were waiting when it was stopped, ${unplaced} at the end`,
      )
    }
    if (
      http === 200 &&
      (state === 'running' || (state === 'stopped') !== (seen.state === 'stopped'))
    ) {
      findings.add('broadcast-untrue', `${who}: its stop was answered as ${state}`)
    }
  }
  if (seen.state !== 'stopped' || ask.stops.length > 0) return
  const failed = Object.entries(seen.ended).reduce(
    (sum, [word, count]) => (isGood.has(word) ? sum : sum + count),
    0,
  )
  if (ask.stopAfterFailures === undefined || failed < ask.stopAfterFailures) {
    findings.add('broadcast-untrue', `${who}: nobody stopped it, and ${failed} failed`)
  }
}

/** Ends that are no failures, by the API's own words. */
const isGood = new Set(['delivered', 'done', 'canceled', 'superseded'])
