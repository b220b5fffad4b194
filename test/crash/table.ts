import { told } from '../../cli/weather.ts'
import type { FaultKind } from './journal.ts'
import type { Finding } from './judge/facts.ts'
import type { RunResult } from './run.ts'

/** What belongs to one row of a report: some worlds, counted together. */
export function table(results: readonly RunResult[]): string {
  const sum = (of: (result: RunResult) => number): number =>
    results.reduce((total, result) => total + of(result), 0)
  const faults = results.flatMap((result) => result.faults)
  const findings = results.flatMap((result) => result.findings)
  const count = (...rules: string[]): number =>
    findings.filter(({ rule }) => rules.includes(rule)).length

  const lines: string[] = ['']
  const row = (name: string, value: string | number): void => {
    lines.push(`  ${name.padEnd(48)} ${value}`)
  }
  const kinds: FaultKind[] = ['kill', 'stop', 'pause', 'disk', 'power']
  for (const kind of kinds) {
    const some = faults.filter((fault) => fault.kind === kind)
    if (some.length === 0) continue
    const ready = times(some.map((fault) => fault.readyMs))
    const gone = times(some.map((fault) => fault.goneMs))
    row(
      `${kind}`,
      `${some.length} times; accepting again ${ready}${gone === '' ? '' : `; gone ${gone}`}`,
    )
  }
  row(
    'connections taken by the network',
    sum((result) => result.cuts),
  )
  for (const { weather } of results) if (weather !== undefined) row('bad weather', told(weather))
  lines.push('')
  row(
    'commands asked for',
    `${sum((r) => r.figures.asks)}, in ${sum((r) => r.figures.requests)} requests`,
  )
  row(
    '  accepted',
    sum((r) => r.figures.accepted),
  )
  row(
    '  answers that never came',
    sum((r) => r.figures.unclear),
  )
  row(
    '  refused',
    sum((r) => r.figures.refused),
  )
  row(
    '  kept although no answer came',
    sum((r) => r.figures.keptUnclear),
  )
  row(
    '  handed over although only 503 or 507 came',
    sum((r) => r.figures.keptUnavailable),
  )
  row(
    'handed to applications',
    sum((r) => r.figures.handedOver),
  )
  row('outcomes', outcomes(results))
  partRows(results, row)
  row(
    'events reported, acknowledged',
    `${sum((r) => r.figures.reports)}, ${sum((r) => r.figures.reportsAcknowledged)}`,
  )
  row(
    'sessions',
    sum((r) => r.figures.wire.sessions),
  )
  row(
    'commands on the wire, by protocol',
    `${sum((r) => r.figures.wire.commands)}: ${byFamily(results)}`,
  )
  row(
    '  again, to who had not stored it',
    sum((r) => r.figures.wire.resent),
  )
  row(
    '    of them crossing its answer',
    sum((r) => r.figures.wire.crossed),
  )
  rawRows(results, row)
  row(
    'dead links: found after a command, in silence',
    `${sum((r) => r.figures.deadLinks.unanswered)}, longest ${longest(results, 'unansweredMs')}; longest ${longest(results, 'idleMs')}`,
  )
  const latest = Math.max(...results.map((r) => r.figures.latestMs))
  row('last hand-over, against its deadline', `${Number.isFinite(latest) ? latest : '-'} ms`)
  lines.push('')
  row('R1 accepted and lost', count('lost', 'unknown'))
  row('R1 open for ever, or end not published', count('never-ended', 'end-unpublished'))
  row('R1 applied twice', count('applied-twice'))
  row('R1 reordered', count('reordered', 'wire-reordered'))
  row('R1 misrouted', count('misrouted'))
  row('R1 handed over after expiry', count('late'))
  row(
    'R1 outcome untrue, changed or told twice',
    count('outcome-untrue', 'outcome-disagrees', 'ended-twice'),
  )
  row('R6 repeated to a device that stood there', count('wire-repeat', 'now-twice', 'tail-lost'))
  row(
    'R6 again where the table does not allow it',
    count('repeat-forbidden', 'repeat-unmarked', 'repeat-after-end'),
  )
  row('R7 dead links found late', count('dead-link'))
  row('R8 events or replies lost', count('event-lost', 'reply-lost'))
  row('R8 events or replies kept twice', count('event-twice', 'event-unmarked', 'reply-twice'))
  row('R8 events out of order', count('event-reordered'))
  row('R9 keys that made two commands', count('key-split', 'key-body'))
  row('rule 6: handed over too early', count('early'))
  row(
    'rule 27: members forgotten, doubled, miscounted',
    count('broadcast-forgotten', 'broadcast-twice', 'broadcast-sums', 'broadcast-untrue'),
  )
  row('rule 29: lines unanswered or out of order', count('lines-order'))
  row('names that were not what was answered', count(...nameRules))
  row('rule 33: events or outcomes never pushed', count('webhook-lost', 'callback-lost'))
  row('rule 33: pushed out of order, or passed over', count('push-skipped', 'push-reordered'))
  row('rule 33: pushed untrue or unsigned', count(...pushRules))
  row('accepted = ended + open, by app and in its log', count('counts'))
  row('pike check', checks(results))
  row('all findings', findings.length)
  lines.push('')
  return lines.join('\n')
}

const nameRules = [
  'alias-untrue',
  'device-untrue',
  'tag-untrue',
  'key-untrue',
  'quota-untrue',
  'webhook-untrue',
]
const pushRules = ['push-forged', 'push-renamed', 'push-phantom', 'push-changed', 'push-misrouted']

function byFamily(results: readonly RunResult[]): string {
  const all = new Map<string, number>()
  for (const { figures } of results) {
    for (const [family, some] of Object.entries(figures.wire.byFamily)) {
      all.set(family, (all.get(family) ?? 0) + some)
    }
  }
  return [...all].map(([family, some]) => `${family} ${some}`).join(', ')
}

/** What devices that remember nothing were handed, and how much of it again. */
function rawRows(
  results: readonly RunResult[],
  row: (name: string, value: string | number) => void,
): void {
  const all = new Map<string, readonly [number, number]>()
  let events = 0
  for (const { figures } of results) {
    events += figures.raw.eventsAgain
    for (const [family, [receipts, again]] of Object.entries(figures.raw.byFamily)) {
      const [before, beforeAgain] = all.get(family) ?? [0, 0]
      all.set(family, [before + receipts, beforeAgain + again])
    }
  }
  if (all.size === 0) return
  const shown = [...all].map(([family, [receipts, again]]) => {
    const percent = ((again / receipts) * 100).toFixed(1)
    return `${family} ${receipts}, ${again} (${percent} %)`
  })
  row('to devices that remember nothing, of them again', shown.join('; '))
  row('  their events kept again', events)
}

/** What there is beside plain commands, where there was any. */
function partRows(
  results: readonly RunResult[],
  row: (name: string, value: string | number) => void,
): void {
  const sum = (of: (figures: RunResult['figures']) => number): number =>
    results.reduce((total, { figures }) => total + of(figures), 0)
  const shown = (name: string, some: number, value: string): void => {
    if (some > 0) row(name, value)
  }
  const calls = sum(({ lines }) => lines.calls)
  shown(
    'calls of many lines',
    calls,
    `${calls}, ${sum(({ lines }) => lines.broken)} broken off; ${sum(({ lines }) => lines.lines)} lines, ${sum(({ lines }) => lines.answered)} answered`,
  )
  const kinds = `${sum((f) => f.byAlias)}, ${sum((f) => f.forLater)}, ${sum((f) => f.withCallback)}`
  row('accepted by alias, for later, with callback', kinds)
  const cast = sum(({ broadcasts }) => broadcasts.asked)
  shown(
    'broadcasts asked for',
    cast,
    `${cast}, ${sum(({ broadcasts }) => broadcasts.accepted)} accepted, ${sum(({ broadcasts }) => broadcasts.stopped)} stopped; ${sum(({ broadcasts }) => broadcasts.members)} commands`,
  )
  const writes = sum((f) => f.nameWrites)
  shown('names changed, looked at', writes, `${writes}, ${sum((f) => f.nameReads)}`)
  const requests = sum(({ pushes }) => pushes.requests)
  shown(
    'requests to receivers',
    requests,
    `${requests}, ${sum(({ pushes }) => pushes.failed)} refused or unanswered`,
  )
  shown(
    '  events pushed, of them again',
    requests,
    `${sum(({ pushes }) => pushes.events)}, ${sum(({ pushes }) => pushes.repeats)}`,
  )
  shown(
    '  callbacks, of them again',
    requests,
    `${sum(({ pushes }) => pushes.callbacks)}, ${sum(({ pushes }) => pushes.callbackRepeats)}`,
  )
}

function checks(results: readonly RunResult[]): string {
  const found = results.flatMap((result) => result.findings).filter(({ rule }) => rule === 'check')
  const checked = results.filter((result) => result.checked).length
  if (found.length > 0) return `found something in ${found.length} stores`
  return checked === 0 ? 'not tried' : `${checked} stores, all sound`
}

/** The first few of each rule: a broken gateway breaks everything, and a page is read. */
export function findingLines(findings: readonly Finding[], each = 5): string {
  const lines: string[] = []
  const shown = new Map<string, number>()
  for (const { rule, text } of findings) {
    const times = (shown.get(rule) ?? 0) + 1
    shown.set(rule, times)
    if (times <= each) lines.push(`  ${rule}: ${text}`)
  }
  for (const [rule, times] of shown) {
    if (times > each) lines.push(`  ${rule}: ${times - each} more`)
  }
  return lines.join('\n')
}

function outcomes(results: readonly RunResult[]): string {
  const all = new Map<string, number>()
  for (const { figures } of results) {
    for (const [word, times] of Object.entries(figures.ended)) {
      all.set(word, (all.get(word) ?? 0) + times)
    }
  }
  return [...all]
    .sort((a, b) => b[1] - a[1])
    .map(([word, times]) => `${word} ${times}`)
    .join(', ')
}

function longest(results: readonly RunResult[], field: 'unansweredMs' | 'idleMs'): string {
  const ms = Math.max(...results.map(({ figures }) => figures.deadLinks[field]))
  return ms < 0 ? '-' : `${ms} ms`
}

function times(from: readonly (number | undefined)[]): string {
  const known = from.filter((ms): ms is number => ms !== undefined).sort((a, b) => a - b)
  if (known.length === 0) return ''
  return `p50 ${known[known.length >> 1]} ms, max ${known.at(-1)} ms`
}
