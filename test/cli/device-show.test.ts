import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deviceSentences } from '../../cli/device-show.ts'
import type { Device } from '../../src/backend/index.ts'
import { reasons } from '../../src/contract/index.ts'

const at = (text: string): string => `2026-01-01T${text}.000Z`
const nowMs = Date.parse(at('12:00:00'))
const device: Device = {
  device: 'SZ-1',
  disabled: false,
  tags: [],
  attributes: {},
  channels: {},
  credentials: 1,
  createdAt: at('08:00:00'),
  changedAt: at('08:00:00'),
  presence: { state: 'offline' },
  mailbox: { commands: 0, bytes: 0 },
}
const said = (change: Partial<Device>) => deviceSentences({ ...device, ...change }, nowMs)
const first = (presence: Device['presence'], change: Partial<Device> = {}) =>
  said({ presence, ...change })[0]

test('a device that never came: offline since nobody knows when, nothing waits', () => {
  assert.deepEqual(said({}), [
    'SZ-1 is offline: it has not connected since the gateway was started.',
    'No command is open for it.',
    'It has no tags.',
    `It was registered ${at('08:00:00')}.`,
  ])
})

test('a device that another speaks for: who does now, and who may', () => {
  const presence = {
    state: 'online',
    since: at('11:58:01'),
    protocol: 'mqtt',
    via: 'CAB-1',
  } as const
  const sentences = said({ presence, gateways: ['CAB-1', 'CAB-2'] })
  assert.equal(
    sentences[0],
    `SZ-1 has been online over mqtt since ${at('11:58:01')} (119 s); CAB-1 speaks for it.`,
  )
  assert.ok(sentences.includes('CAB-1, CAB-2 may speak for it.'), sentences.join('\n'))
})

test('keep-alive: what it is told, what was survived, and nothing where nothing is known', () => {
  const about = (keepalive: NonNullable<Device['keepalive']>) =>
    said({ keepalive }).filter((sentence) => sentence.startsWith('Keep-alive'))
  assert.deepEqual(about({}), [])
  assert.deepEqual(about({ provenS: 240 }), ['Keep-alive: 240 s of silence were survived.'])
  assert.deepEqual(about({ grantedS: 300, provenS: 240 }), [
    'Keep-alive: it is told to be silent for 300 s at most; 240 s of silence were survived.',
  ])
})

test('a device that is there: over what, since when, how long that is, what waits', () => {
  const presence = {
    state: 'online',
    since: at('11:58:01'),
    heardAt: at('11:59:59'),
    protocol: 'pike',
  } as const
  assert.deepEqual(
    said({
      presence,
      tags: ['berlin', 'north'],
      attributes: { doors: 24 },
      channels: { media: { maxCommands: 50, overflow: 'drop-oldest' }, bulk: {} },
      credentials: 2,
      changedAt: at('09:00:00'),
      mailbox: { commands: 3, bytes: 120, oldestAt: at('09:00:00') },
    }),
    [
      `SZ-1 has been online over pike since ${at('11:58:01')} (119 s).`,
      `It was last heard ${at('11:59:59')}.`,
      `3 commands are open for it, the oldest since ${at('09:00:00')} (3 h); 120 bytes of payload are not yet delivered. See: pike history SZ-1 --status open`,
      'It is tagged berlin, north.',
      'Attributes: {"doors":24}',
      'Channels beside main and urgent: media (at most 50, drop-oldest); bulk.',
      'Two secrets are valid; once it uses the new one: pike device rotate-secret SZ-1 --drop-older.',
      `It was registered ${at('08:00:00')}, changed ${at('09:00:00')}.`,
    ],
  )
})

test('why it is not there is said in words, with the word a program would look at', () => {
  const since = at('11:00:00')
  for (const [reason, { text }] of Object.entries(reasons))
    assert.equal(
      first({ state: 'offline', since, reason }),
      `SZ-1 has been offline since ${since} (60 min): ${text} (${reason}).`,
    )
  assert.match(first({ state: 'offline', since, reason: 'lost' })!, /its connection broke \(lost\)/)
  assert.match(first({ state: 'offline', since, reason: 'constructor' })!, /: constructor \(con/)
  assert.match(first({ state: 'suspect', since })!, /suspect since .*asked for a sign of life/)
  assert.match(first({ state: 'asleep', since })!, /asleep since .*said that it comes back\.$/)
  assert.match(
    first({ state: 'asleep', since, backAt: at('13:00:00') })!,
    /asleep since .*: it said that it comes back at 2026-01-01T13:00:00\.000Z\.$/,
  )
})

test('a device that is disabled says that first, and how to let it in again', () => {
  const gone = { state: 'offline', since: at('10:00:00'), reason: 'device-disabled' } as const
  assert.deepEqual(said({ disabled: true, presence: gone }).slice(0, 2), [
    'SZ-1 is disabled: the gateway lets it in no more, until "pike device enable SZ-1".',
    `It has been offline since ${at('10:00:00')} (2 h).`,
  ])
  assert.match(first(gone)!, /offline since .*: the device was disabled \(device-disabled\)/)
})
