import type { LogEntry } from '../journal.ts'
import type { Hook, Push } from '../journal-many.ts'
import type { Facts, Findings, JudgeOptions } from './facts.ts'
import { group } from './facts.ts'

export interface PushFigures {
  readonly requests: number
  /** Requests that were not answered 2xx. */
  readonly failed: number
  readonly events: number
  /** Events that came again. */
  readonly repeats: number
  readonly callbacks: number
  readonly callbackRepeats: number
  /** What has not come yet. */
  readonly missing: number
}

/**
 * Rule 33, at the receiver: every event of the log at least once, by its id, and for each device in the
 * order of the log; word for word as the log has it; signed. Callbacks: the outcome of every
 * command that named one, at least once.
 */
export function pushed(facts: Facts, findings: Findings, options: JudgeOptions): PushFigures {
  const { journal } = facts
  const { pushes } = journal
  const log = journal.reread ?? journal.log
  const entries = new Map(log.map((entry) => [entry.id, entry]))
  requestsGenuine(findings, pushes)
  const byWebhook = group(pushes, (push) => push.webhook)
  if (options.final) inTheLog(findings, pushes, entries, journal.rereadAtMs)
  let events = 0
  let repeats = 0
  let missing = 0
  for (const hook of journal.hooks) {
    const came = hookServed(findings, hook, byWebhook.get(hook.name) ?? [], log, entries, options)
    events += came.events
    repeats += came.repeats
    missing += came.missing
  }
  const callbacks = calledBack(facts, findings, byWebhook.get('callbacks') ?? [], entries, options)
  for (const { name, deadLetters } of journal.hookStatuses) {
    if (deadLetters !== 0) findings.add('webhook-lost', `${name} set ${deadLetters} events aside`)
  }
  return {
    requests: pushes.length,
    failed: pushes.filter(({ answer }) => answer !== 'taken').length,
    events,
    repeats,
    callbacks: callbacks.events,
    callbackRepeats: callbacks.repeats,
    missing: missing + callbacks.missing,
  }
}

/** How much is due and has not come. */
export const missingPushes = (facts: Facts, findings: Findings): number =>
  pushed(facts, findings, { final: false, toleranceMs: 0 }).missing

/** Signed, and named by what is in it: the same again has the same name, nothing else has it. */
function requestsGenuine(findings: Findings, pushes: readonly Push[]): void {
  const contents = new Map<string, string>()
  const ids = new Map<string, string>()
  for (const { notGenuine, webhook, id, items, path } of pushes) {
    if (notGenuine !== undefined) {
      findings.add('push-forged', `${id} to ${path} (${webhook}): ${notGenuine}`)
    }
    const content = `${webhook} ${items.map((item) => item.id).join(' ')}`
    const before = contents.get(id)
    if (before !== undefined && before !== content) {
      findings.add('push-renamed', `${id} to ${path} carried something else before`)
    }
    if ((ids.get(content) ?? id) !== id) {
      findings.add('push-renamed', `${id} to ${path} was called ${ids.get(content)} before`)
    }
    contents.set(id, content)
    ids.set(content, id)
  }
}

/** What came before the log was read is in it. */
function inTheLog(
  findings: Findings,
  pushes: readonly Push[],
  entries: ReadonlyMap<string, LogEntry>,
  rereadAtMs: number,
): void {
  for (const { atMs, webhook, items } of pushes) {
    if (atMs >= rereadAtMs) continue
    for (const { id } of items) {
      if (!entries.has(id)) findings.add('push-phantom', `${webhook}: ${id} is not in the log`)
    }
  }
}

interface Came {
  readonly events: number
  readonly repeats: number
  readonly missing: number
}

const wants = ({ types, device }: Hook, entry: LogEntry): boolean =>
  (types === undefined || types.includes(entry.type)) &&
  (device === undefined || device === entry.device)

function hookServed(
  findings: Findings,
  hook: Hook,
  pushes: readonly Push[],
  log: readonly LogEntry[],
  entries: ReadonlyMap<string, LogEntry>,
  options: JudgeOptions,
): Came {
  const due = group(
    log.filter((entry) => wants(hook, entry)),
    (entry) => entry.device,
  )
  const places = new Map<string, number>()
  for (const some of due.values()) for (const [at, { id }] of some.entries()) places.set(id, at)
  /** By device, how many of what is due to it have come. */
  const come = new Map<string, number>()
  /** Ahead of the log as far as it has been read: the rest of that device is not judged yet. */
  const ahead = new Set<string>()
  const seen = new Set<string>()
  let events = 0
  let repeats = 0
  for (const { items, path } of pushes) {
    if (path !== `/hook/${hook.name}`) {
      findings.add('push-misrouted', `what is for ${hook.name} was posted to ${path}`)
    }
    for (const { id, device, body } of items) {
      events++
      if (seen.has(id)) {
        repeats++
        continue
      }
      seen.add(id)
      const entry = entries.get(id)
      if (entry === undefined) {
        ahead.add(device)
        continue
      }
      if (entry.body !== body) {
        findings.add('push-changed', `${hook.name}: ${id} reads differently in the log`)
      }
      const place = places.get(id)
      if (place === undefined) {
        findings.add('push-misrouted', `${hook.name} got ${id} (${entry.type}), not asked for`)
        continue
      }
      if (ahead.has(device)) continue
      const next = come.get(device) ?? 0
      if (place > next) {
        const passed = due.get(device)![next]!
        findings.add(
          'push-skipped',
          `${hook.name}: ${device} got ${id} before ${passed.id} (${passed.type}), ${place - next} passed over`,
        )
      } else if (place < next) {
        findings.add('push-reordered', `${hook.name}: ${device} got ${id} after later ones`)
      }
      come.set(device, Math.max(next, place + 1))
    }
  }
  const lost = [...due.values()].flat().filter(({ id }) => !seen.has(id))
  if (options.final) {
    for (const { id, type, device } of lost) {
      findings.add('webhook-lost', `${hook.name} never got ${id} (${type} of ${device})`)
    }
  }
  return { events, repeats, missing: lost.length }
}

function calledBack(
  facts: Facts,
  findings: Findings,
  pushes: readonly Push[],
  entries: ReadonlyMap<string, LogEntry>,
  options: JudgeOptions,
): Came {
  const seen = new Set<string>()
  let repeats = 0
  for (const { path, items } of pushes) {
    const [item] = items
    if (items.length !== 1 || item === undefined) {
      findings.add('push-misrouted', `${path} got ${items.length} events in one callback`)
      continue
    }
    if (seen.has(item.id)) repeats++
    seen.add(item.id)
    const entry = entries.get(item.id)
    if (entry === undefined) continue
    if (entry.body !== item.body) {
      findings.add('push-changed', `${path}: ${item.id} reads differently in the log`)
    }
    const wanted = callbackOf(facts, entry)
    if (wanted !== 'unknown' && wanted !== path) {
      findings.add('push-misrouted', `${path} got the end of ${entry.command}, asked for ${wanted}`)
    }
  }
  let missing = 0
  for (const [id, [end]] of facts.ended) {
    if (end === undefined || seen.has(end.id)) continue
    const wanted = callbackOf(facts, end)
    if (wanted === undefined || wanted === 'unknown') continue
    missing++
    if (options.final) findings.add('callback-lost', `${wanted} never got the end of ${id}`)
  }
  return { events: pushes.length, repeats, missing }
}

/** The path its outcome is due at; `unknown`: nobody was told that this command was accepted. */
function callbackOf(facts: Facts, end: LogEntry): string | undefined {
  const broadcast = facts.broadcastByName.get(end.name ?? '')
  if (broadcast !== undefined) return broadcast.callback
  const accepted = facts.accepted.get(end.command ?? '')
  if (accepted !== undefined) return accepted.ask.callback
  const match = /^[ks](\d+)$/.exec(end.name ?? '')
  return match === null ? 'unknown' : facts.askByN.get(Number(match[1]))?.callback
}
