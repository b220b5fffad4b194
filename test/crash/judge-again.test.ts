import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Family, Journal, Receipt, Wire } from './journal.ts'
import { allowances } from './judge/allowances.ts'
import { judge } from './judge/judge.ts'
import {
  accepted,
  drop,
  entry,
  epoch,
  goodHistory,
  idOf,
  rulesOf,
  type Wrong,
} from './judge-history.ts'

/** The history in which all went well, at a device that remembers nothing. */
function rawHistory(family: Family): Journal {
  const journal = goodHistory()
  for (const [at, receipt] of journal.receipts.entries()) {
    const raw = { family, session: 1, acknowledgedAtMs: 1_550 }
    journal.receipts[at] = { ...receipt, raw }
  }
  journal.wire.length = 0
  for (const n of [1, 2, 3]) {
    journal.wire.push(
      wire(family, 1, { kind: 'command', epoch, offset: n, id: idOf(n), repeated: false }),
    )
  }
  for (const [at, report] of journal.reports.entries()) {
    journal.reports[at] = { ...report, unstamped: family }
    journal.wire.push(wire(family, 1, { kind: 'event', u: report.u, arrival: `${report.u}` }))
  }
  return journal
}

const wire = (family: Family, session: number, what: Wire['what'], atMs = 1_500): Wire => ({
  session,
  family,
  device: 'd1',
  channel: 'main',
  atMs,
  what,
})

/** The last command once more, by another session, after a link that took its acknowledgement along. */
function again(
  journal: Journal,
  change: Partial<Receipt> = {},
  session = 2,
  acknowledgedAtMs: number | undefined = 1_900,
): void {
  const first = journal.receipts.at(-1)!
  const { family } = first.raw!
  first.raw!.acknowledgedAtMs = undefined
  const raw = { family, session, acknowledgedAtMs }
  journal.receipts.push({ ...first, atMs: 1_800, repeated: true, ...change, raw })
  const { offset } = first
  const what = { kind: 'command', epoch, offset, id: first.id, repeated: true } as const
  journal.wire.push(wire(family, session, what, 1_800))
}

test('delivered by the acknowledgement of a repeat that the device refused as late: true, if that is told too', () => {
  const journal = rawHistory('mqtt')
  const { id, offset } = journal.receipts.at(-1)!
  journal.receipts.at(-1)!.raw!.acknowledgedAtMs = undefined
  assert.deepEqual(rulesOf(journal), ['outcome-untrue'])
  const reply = { kind: 'reply', sequence: 0, epoch, offset, id, status: 'rejected' } as const
  journal.wire.push(wire('mqtt', 2, reply, 1_950))
  assert.deepEqual(rulesOf(journal), ['outcome-untrue'], 'not told')
  journal.log.push(entry({ id: 'a-8', type: 'command.late', command: id, atMs: 2_500 }))
  journal.reread = [...journal.log]
  assert.deepEqual(rulesOf(journal), [])
})

const families = Object.keys(allowances) as Family[]
const repeating = families.filter((family) => allowances[family].command !== 'never')

for (const family of families) {
  test(`${family}: a history without repeats has no findings`, () => {
    assert.deepEqual(rulesOf(rawHistory(family)), [])
  })
}

for (const family of repeating) {
  test(`${family}: a marked repeat after what the table says is allowed, and counted`, () => {
    const journal = rawHistory(family)
    again(journal)
    const { findings, figures } = judge(journal, { final: true, toleranceMs: 500 })
    assert.deepEqual(findings, [])
    assert.deepEqual([figures.raw.receipts, figures.raw.again], [4, 1])
  })

  test(`${family}: a repeat that was on its way at the end may come after it`, () => {
    const journal = rawHistory(family)
    again(journal, { atMs: 4_000 })
    assert.deepEqual(rulesOf(journal), [])
  })

  const wrongs: readonly Wrong[] = [
    ['a repeat without a mark', (j) => again(j, { repeated: false }), ['repeat-unmarked']],
    [
      'a repeat under another id',
      (j) => again(j, { id: idOf(9), offset: 9 }),
      ['applied-twice', 'outcome-untrue'],
    ],
    [
      'a repeat of a now',
      (j) => {
        Object.assign(j.asks[2]!, { delivery: 'now' })
        again(j)
      },
      ['now-twice'],
    ],
    [
      'a repeat after its end was published',
      (j) => {
        again(j, { atMs: 2_700 })
        Object.assign(j.wire.at(-1)!, { atMs: 2_600 })
      },
      ['repeat-after-end'],
    ],
    [
      'a repeat before one that came later',
      (j) => {
        const last = j.receipts.pop()!
        again(j)
        j.receipts.push({ ...last, raw: { ...last.raw!, session: 2 } })
        j.receipts.push({ ...j.receipts[0]!, repeated: true, raw: { ...last.raw!, session: 2 } })
      },
      ['reordered'],
    ],
    [
      '"delivered", and its device acknowledged nothing',
      (j) => {
        j.receipts[0]!.raw!.acknowledgedAtMs = undefined
      },
      ['outcome-untrue'],
    ],
    [
      '"delivered" before the acknowledgement',
      (j) => {
        j.receipts[0]!.raw!.acknowledgedAtMs = 2_300
      },
      ['outcome-untrue'],
    ],
    [
      '"done" before the device said so',
      (j) => Object.assign(j.replies[0]!, { atMs: 2_300, acknowledgedAtMs: 2_400 }),
      ['outcome-untrue'],
    ],
    [
      'an event kept more often than it came',
      (j) => j.log.push(entry({ id: 'a-9', type: 'event', u: 2, maybeRepeat: true })),
      ['event-twice'],
    ],
    ['an event gone', (j) => drop(j.log, (e) => e.u === 2), ['event-lost']],
    [
      'first copies of events out of order',
      (j) =>
        j.log.splice(
          4,
          2,
          entry({ id: 'a-6', type: 'event', u: 2 }),
          entry({ id: 'a-7', type: 'event', u: 1 }),
        ),
      ['event-reordered'],
    ],
  ]
  for (const [what, change, rules] of wrongs) {
    test(`${family}: the judge notices: ${what}`, () => {
      const journal = rawHistory(family)
      change(journal)
      const found = rulesOf(journal)
      for (const rule of rules) assert.ok(found.includes(rule), `${rule} in [${found.join(', ')}]`)
      for (const rule of found) assert.ok(rules.includes(rule), `${rule}, unexpected`)
    })
  }

  test(`${family}: an event that came twice may be kept twice; with a stamp it may not`, () => {
    const journal = rawHistory(family)
    journal.wire.push(wire(family, 2, { kind: 'event', u: 2, arrival: 'again' }))
    journal.log.push(entry({ id: 'a-9', type: 'event', u: 2, maybeRepeat: true }))
    assert.deepEqual(rulesOf(journal), [])
    assert.equal(judge(journal, { final: true, toleranceMs: 500 }).figures.raw.eventsAgain, 1)
    for (const [at, { unstamped: _, ...report }] of journal.reports.entries()) {
      journal.reports[at] = report
    }
    assert.deepEqual(rulesOf(journal), ['event-twice'])
  })

  test(`${family}: a repeat long after an acknowledgement that came for sure is none that may be`, () => {
    const heard = (change: (journal: Journal) => void): string[] => {
      const journal = rawHistory(family)
      drop(journal.log, (e) => e.command === idOf(3))
      again(journal, { atMs: 9_000 }, 2, 9_001)
      journal.receipts.at(-2)!.raw!.acknowledgedAtMs = 1_550
      journal.wire.push(wire(family, 1, { kind: 'taken', id: idOf(3) }, 1_600))
      journal.log.push(
        entry({ id: 'a-8', command: idOf(3), name: 'k3', status: 'delivered', atMs: 9_500 }),
      )
      change(journal)
      return rulesOf(journal)
    }
    const fault = { round: 1, young: false, goneMs: undefined, refused: undefined, note: undefined }
    assert.deepEqual(
      heard(() => {}),
      ['repeat-forbidden'],
    )
    // What may have taken it along.
    assert.deepEqual(
      heard((j) => j.wire.push(wire(family, 1, { kind: 'gone' }, 2_000))),
      [],
    )
    const kill = { ...fault, kind: 'kill', atMs: 2_000, readyMs: 500 } as const
    assert.deepEqual(
      heard((j) => j.faults.push(kill)),
      [],
    )
    const disk = { ...fault, kind: 'disk', atMs: 7_000, readyMs: 500 } as const
    assert.deepEqual(
      heard((j) => j.faults.push(disk)),
      [],
    )
    // What came when it was on disk.
    assert.deepEqual(
      heard((j) => j.wire.push(wire(family, 1, { kind: 'gone' }, 7_000))),
      ['repeat-forbidden'],
    )
    assert.deepEqual(
      heard((j) => j.faults.push({ ...kill, atMs: 7_000 })),
      ['repeat-forbidden'],
    )
  })
}

test('a repeat in the same session: only by an observation, whose acknowledgement may be lost', () => {
  const found = (family: Family): string[] => {
    const journal = rawHistory(family)
    again(journal, {}, 1)
    return rulesOf(journal)
  }
  assert.deepEqual(found('mqtt'), ['repeat-forbidden', 'wire-repeat'])
  assert.deepEqual(found('http'), ['repeat-forbidden', 'wire-repeat'])
  assert.deepEqual(found('coap'), [])
})

test('who says where it stands gets nothing twice, whatever is lost', () => {
  const journal = rawHistory('pike')
  again(journal)
  assert.deepEqual(rulesOf(journal), ['repeat-forbidden'])
})

test('a client of ours hands nothing on twice, over any protocol', () => {
  for (const family of repeating) {
    const journal = rawHistory(family)
    again(journal)
    for (const [at, { raw: _, ...receipt }] of journal.receipts.entries()) {
      journal.receipts[at] = receipt
    }
    assert.deepEqual(rulesOf(journal), ['applied-twice'])
  }
})

test('mqtt: of events that came again, the log says so', () => {
  const journal = rawHistory('mqtt')
  journal.wire.push(wire('mqtt', 2, { kind: 'event', u: 2, arrival: 'again' }))
  journal.log.push(entry({ id: 'a-9', type: 'event', u: 2 }))
  assert.deepEqual(rulesOf(journal), ['event-unmarked'])
})

test('a now is written once on any wire, whether or not its device saw it', () => {
  for (const family of families) {
    const journal = rawHistory(family)
    Object.assign(journal.asks[2]!, { delivery: 'now' })
    const what = { kind: 'command', epoch, offset: 3, id: idOf(3), repeated: true } as const
    journal.wire.push(wire(family, 2, what))
    assert.deepEqual(rulesOf(journal), ['now-twice'])
  }
})

test('a reply by its place belongs to what was for later, where the wire says both', () => {
  const journal = goodHistory()
  const id = 'd1:main:0:7'
  const what = { kind: 'command', epoch, offset: 4, id, repeated: false } as const
  journal.wire.push(wire('http', 9, what))
  const reply = { device: 'd1', id: idOf(4), status: 'rejected', atMs: 1_600 }
  journal.replies.push({ ...reply, acknowledgedAtMs: 1_700 })
  journal.log.push(entry({ id: 'a-9', type: 'reply', command: id, status: 'rejected' }))
  assert.deepEqual(rulesOf(journal), [])
})

test('late on its way to who is not told the deadline: judged by when it was first written', () => {
  const late = (blind: boolean, writtenAtMs: number): readonly string[] => {
    const journal = rawHistory('mqtt')
    const receipt = journal.receipts[0]!
    const raw = { ...receipt.raw!, blind }
    journal.receipts[0] = { ...receipt, raw }
    const expiresAtMs = receipt.atMs - 2_000
    Object.assign(journal.asks[0]!.attempts[0]!, { accepted: accepted(1, { expiresAtMs }) })
    const frame = { kind: 'command', epoch, offset: 1, repeated: false } as const
    journal.wire.unshift(wire('mqtt', 1, frame, expiresAtMs + writtenAtMs))
    return rulesOf(journal).filter((rule) => rule === 'late')
  }
  assert.deepEqual(late(true, -10), [])
  assert.deepEqual(late(false, -10), ['late'])
  assert.deepEqual(late(true, 1_000), ['late'])
})
