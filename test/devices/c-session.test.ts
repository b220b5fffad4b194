import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { delayMs, reconnectPolicy } from '../../devices/reconnect.ts'
import { root, wire } from './c/build.ts'

/** pike.h's life on a wire, in virtual time: what docs/pike-protocol.md asks of a client. */

const keys = 'keys - SZ-0042 J7tYq0m3Vb2kXw9RfLhN5sPzA1c'
const shake = ['step', 'rx 200d00101112131415161718191a1b', 'step']
/** resumed, epoch, offset, last sequence kept, keep-alive, longest frame, uplink window, reconnect */
const welcome = (epoch = 9, offset = 0, kept = 0, window = 64) =>
  `welcome 1 ${epoch} ${offset} ${kept} 240 65536 ${window} 0 0`
const open = [keys, 'start', ...shake, welcome(), 'step']
const back = (...w: Parameters<typeof welcome>) => ['tick 1000', ...shake, welcome(...w), 'step']
const vector = (name: string): string =>
  JSON.parse(readFileSync(path.join(root, 'test/vectors/pike/valid.json'), 'utf8')).vectors.find(
    (one: { name: string }) => one.name === name,
  ).hex

const payload = '7b22646f6f72223a377d'
/** Opens, does these lines, and gives what came out behind WELCOME; `wait` left out. */
function after(...lines: string[]): string[] {
  const all = wire(...open, ...lines).filter((line) => !line.startsWith('wait'))
  const at = all.indexOf('state open -1 0 test-1')
  assert.ok(at >= 0, all.join('\n'))
  return all.slice(at + 1)
}
/** A COMMAND `open`, 30 s, without payload. */
const command = (offset: number, flags = 1) => `rx 6${flags}09${hex(offset)}b0ea01106f70656e`
const hex = (n: number) => n.toString(16).padStart(2, '0')
const late = (sequence: number, offset: number) => `8108${hex(sequence)}${hex(offset)}02046c617465`
/** Each HELLO's position, as hex: `00`, or epoch and offset of one octet each. */
const positions = (lines: readonly string[]) =>
  lines
    .filter((line) => line.startsWith('tx f1'))
    .map((line) => line.slice('tx '.length + 62))
    .map((rest) => (rest.startsWith('00') ? '00' : rest.slice(0, 4)))
/** Without what opens a connection. */
const told = (lines: readonly string[]) =>
  lines.filter((line) => !/^(tx f1|tx 2120|state (open|waiting)|reset|close$)/.test(line))

test('command, event, reply and acknowledgement are the bytes of the vectors', () => {
  const opened = `7017012c646f6f722d6f70656e6564${payload}`
  assert.equal(vector('event, reliable'), opened)
  assert.deepEqual(
    after(
      `rx ${vector('command, reply expected')}`,
      'step',
      `event door-opened ${payload} 0`,
      'reply 9 1 0 - 7b7d 0',
      'step',
      'event rssi 2d3731 2',
      'step',
      'rx 900102',
      'step',
      `rx ${vector('command, payload of bytes').replace('600b01', '600b02')}`,
      'step',
      'ack 9 2',
      'step',
      'rx 4000',
      'step',
      'stop',
      'step',
    ).slice(0, -1),
    [
      `command 9 1 deadline 30000 open je ${payload}`,
      'event 0 1',
      'reply 0',
      `tx ${opened}${vector('reply, done')}`,
      'event 0 0',
      `tx ${vector('event, unreliable')}`,
      'kept 2',
      'command 9 2 deadline 30000 open b 00ff',
      'ack 0',
      'tx 900102',
      `tx ${vector('pong')}`,
      `tx ${vector('close, normal')}`,
      'close',
    ],
  )
})

test('a late command is refused and never handed on, and HELLO stays before it until the refusal is kept', () => {
  const lost = ['lose', 'step']
  const lines = after(
    ...['tick 30000', command(1, 0), 'step', command(2, 0), 'step', ...lost],
    ...[...back(9, 0), command(1, 4), 'step', 'rx 900102', ...lost, ...back(9, 2)],
  )
  assert.deepEqual(told(lines), [
    `tx ${late(1, 1)}`,
    `tx ${late(2, 2)}`,
    `tx ${late(1, 1)}${late(2, 2)}`,
    'kept 2',
  ])
  assert.deepEqual(positions(lines), ['0900', '0902'])
})

test('a refusal that the window holds back holds back the acknowledgements behind it', () => {
  const lines = after(
    ...['event a - 0', 'step', 'lose', 'step', 'tick 1000', ...shake, welcome(9, 0, 0, 1), 'step'],
    // The window is full with the event, so the refusal waits, and so does the ACK behind it.
    ...[
      'tick 30000',
      command(1, 0),
      'step',
      `rx 600a0280f9ad01106f70656e`,
      'step',
      'ack 9 2',
      'step',
    ],
    ...['rx 900101', 'step', 'rx 900102', 'step'],
  )
  assert.deepEqual(told(lines).slice(0, 3), ['event 0 1', 'tx 7003010461', 'tx 7003010461'])
  const [handedOn, ...rest] = told(lines).slice(3)
  assert.match(handedOn!, /^command 9 2 /)
  assert.deepEqual(rest, ['ack 0', 'kept 1', `tx ${late(2, 1)}900102`, 'kept 2'])
})

test('a slow door: PING is answered meanwhile, and a command sent again is not handed on twice', () => {
  const lines = after(
    ...[command(1), 'step', 'rx 4000', 'step', 'lose', 'step', ...back(9, 0)],
    ...[command(1, 5), 'step', 'reply 9 1 0 - - 0', 'step', 'rx 900101', 'step'],
  )
  const [first, ...rest] = told(lines)
  assert.match(first!, /^command 9 1 /)
  assert.deepEqual(rest, ['tx 5000', 'reply 0', 'tx 8003010100', 'kept 1'])
})

test('the next command of a new connection waits until the one in hand is done, with its own epoch', () => {
  const lines = after(
    ...[
      command(1),
      'step',
      'lose',
      'step',
      ...back(9, 1),
      command(2),
      'rx 100105',
      'rx 4000',
      'step',
    ],
    ...['reply 9 1 0 - - 0', 'step'],
    ...['reply 9 2 1 jammed - 0', 'step', command(1), 'step', 'reply 5 1 0 - - 0', 'step'],
  )
  assert.deepEqual(
    told(lines).map((line) => line.replace(/ deadline \d+/, '')),
    [
      ...['command 9 1 open je -', 'tx 5000', 'reply 0', 'command 9 2 open je -'],
      ...['tx 8003010100', 'reply 0', `tx 810a02020106${Buffer.from('jammed').toString('hex')}`],
      // The epoch is not WELCOME's: the reply names it.
      ...['command 5 1 open je -', 'reply 0', 'tx 820403050100'],
    ],
  )
})

test('after a power cut: position, outbox and what was acted on are those of the last store', () => {
  const lines = after(
    ...[command(1), 'step', 'event a - 0', 'reply 9 1 0 - - 0', 'step', 'power'],
    // The server has nothing of it, and lost the end of its own store: all again, and an old command.
    ...[...shake, welcome(9, 0, 0), 'step', command(1, 4), 'step', 'event b - 0', 'step'],
  )
  const [first, ...rest] = told(lines)
  assert.match(first!, /^command 9 1 /)
  const both = 'tx 70030104618003020100'
  assert.deepEqual(rest, ['event 0 1', 'reply 0', both, both, 'event 0 3', 'tx 7003030462'])
  assert.deepEqual(positions(lines), ['0901'])
})

test('a storage older than its life numbers anew, in another epoch', () => {
  const lines = after('event a - 0', 'step', 'lose', 'step', ...back(9, 0, 7), ...back(9, 0, 0))
  const uplinkEpochs = lines
    .filter((line) => line.startsWith('tx f1'))
    .map((line) => line.slice('tx '.length + 66).replace(/00008088?.*$/, ''))
  assert.equal(new Set(uplinkEpochs).size, 2, lines.join('\n'))
  assert.ok(lines.includes('tx c003000000'), 'it closes and connects again')
  assert.equal(lines.filter((line) => line === 'tx 7003010461').length, 2)
})

test('a storage that refuses: nothing is acknowledged, replied or numbered', () => {
  const lines = after(
    ...[command(1), 'step', 'broken 1', 'ack 9 1', 'event a - 0', 'reply 9 1 0 - - 0', 'step'],
    ...['broken 0', 'ack 9 1', 'step', 'event a - 0', 'step'],
  )
  assert.deepEqual(told(lines).slice(1), [
    ...['ack -4', 'event -4 0', 'reply -4'],
    ...['ack 0', 'tx 900101', 'event 0 1', 'tx 7003010461'],
  ])
})

test('the outbox is full at its bound, keeps a place for replies, and frees it by ACK', () => {
  const events = Array.from({ length: 40 }, () => `event a ${'00'.repeat(40)} 1`)
  const lines = after(
    command(1),
    'step',
    ...events,
    'reply 9 1 0 - - 0',
    'step',
    'rx 90010a',
    'step',
    'step',
    'rx 90010a',
    'step',
    'event a - 0',
  )
  const full = lines.filter((line) => line.startsWith('event -1')).length
  assert.ok(full > 10 && full < 40, `${full} of 40 had no place`)
  assert.ok(lines.includes('reply 0') && lines.includes('kept 10'), lines.join('\n'))
  assert.match(lines.at(-1)!, /^event 0 /)
})

test('keep-alive: PING after silence, dead when it is not answered, and when an ACK is overdue', () => {
  const silent = after(
    'tick 239999',
    'step',
    'tick 1',
    'step',
    'tick 9999',
    'step',
    'tick 1',
    'step',
  )
  assert.deepEqual(silent.slice(0, 2), ['tx 4000', 'reset'])
  assert.match(silent[2]!, /PING was not answered$/)
  const overdue = after(
    'event a - 0',
    'step',
    'tick 10000',
    'step',
    'rx 5000',
    'step',
    'tick 9999',
    'step',
  )
  assert.deepEqual(overdue, ['event 0 1', 'tx 7003010461', 'tx 4000'])
  const faster = after('rx 500105', 'step', 'tick 5000', 'step')
  assert.deepEqual(faster, ['tx 4000'])
})

test('it comes back by the code: at once, after the time named, by backoff, or not at all', () => {
  const wait = (...lines: string[]) =>
    Number(/^state \w+ -?\d+ (\d+)/.exec(after(...lines).at(-1)!)![1])
  assert.ok(wait('lose', 'step') <= 1_000, 'a surprise: within a second')
  const minute = wait('rx c003413c00', 'step')
  assert.ok(minute >= 60_000 && minute <= 61_000, `${minute} ms`)
  assert.ok(wait('rx c003460000', 'step') >= 500, 'no time named: backoff')
  assert.ok(wait('rx c003410000', 'step') >= 60_000, 'two that fight')
  assert.ok(
    after('rx c004c5010000', 'step').at(-1)!.startsWith('state stopped 197 '),
    'unauthorized',
  )
  const sent = wire(
    ...[...open, 'rx b0048001a01f', 'step', 'rx c00480010000', 'step', 'refusing 1'],
    ...Array(13).fill(['tick 70000', 'step']).flat(),
  )
    .filter((line) => line.startsWith('state waiting'))
    .map((line) => Number(line.split(' ')[3]))
  const sentPlace = sent[0]! / 4_000
  sent.forEach((ms, i) => {
    const expectedMs = delayMs(i + 1, { place: sentPlace, spreadMs: 4_000 }, reconnectPolicy)
    assert.ok(Math.abs(ms - expectedMs) <= 10, `sent away ${i}: ${ms}, ${expectedMs}`)
  })
  assert.ok(sent.length >= 13, `${sent.length} tries`)
  const away = wait('rx b0048001e807', 'step', 'event a - 0', 'step', 'rx c00480010000', 'step')
  assert.ok(away <= 1_000, `${away} ms of a spread of 1,000`)
  const tries = wire(
    ...open,
    'lose',
    'step',
    'refusing 1',
    ...Array(14).fill(['tick 70000', 'step']).flat(),
  )
    .filter((line) => line.startsWith('state waiting'))
    .map((line) => Number(line.split(' ')[3]))
  // The same place in each window, as the page has it.
  const place = (tries[2]! - 1_000) / 1_000
  const row = { place, spreadMs: undefined }
  tries.forEach((ms, i) => {
    const expectedMs = delayMs(i + 1, row, reconnectPolicy)
    assert.ok(Math.abs(ms - expectedMs) <= 1 + expectedMs / 500, `wait ${i}: ${ms}, ${expectedMs}`)
  })
  assert.ok(tries.length >= 12, `${tries.length} tries`)
})

test('GOAWAY: uplinks stay in the outbox, what is there is acknowledged, and the endpoint is the one named', () => {
  const endpoint = Buffer.from('b.example:7450').toString('hex')
  const lines = after(
    ...['event a - 0', 'step', `rx b0138001640e${endpoint}01`, 'step'],
    ...['event b - 0', 'step', 'rx 900101', 'rx c00480010000', 'step', ...back(9, 0, 1)],
  )
  assert.deepEqual(
    told(lines).filter((line) => !line.startsWith('event')),
    ['tx 7003010461', 'kept 1', 'to b.example:7450', 'tx 7003020462'],
  )
})

test('nothing is believed of a server that cannot prove itself, or asks for another kdf', () => {
  const start = [keys, 'start', 'step']
  const wrong = `rx ${vector('welcome, fresh')}`
  const lines = wire(...start, 'rx 200d00101112131415161718191a1b', 'step', wrong, 'step')
  assert.match(lines.join('\n'), /no proof/)
  assert.doesNotMatch(lines.join('\n'), /state open/)
  const kdf = wire(...start, 'rx 200d01101112131415161718191a1b', 'step')
  assert.doesNotMatch(kdf.join('\n'), /tx 2120/, 'no proof for it to try passwords on')
})

test('what a server may not say at this point ends the connection with protocol-error', () => {
  const wrongs: Record<string, string> = {
    'a further WELCOME': vector('welcome, fresh'),
    'a challenge': '200d00101112131415161718191a1b',
    'a channel never opened': '98020101',
    'ACK of what was not sent': '900101',
    'an offset again': '600901b0ea01106f70656e600901b0ea01106f70656e',
    'an event': '7003010461',
  }
  for (const [name, octets] of Object.entries(wrongs)) {
    const lines = after(`rx ${octets}`, 'step', 'step')
    assert.ok(
      lines.some((line) => line.startsWith('state closing 193 ')),
      `${name}: ${lines.join('\n')}`,
    )
    assert.ok(
      lines.some((line) => /^tx c0..c101/.test(line)),
      `${name}: it says so`,
    )
  }
  assert.match(after('rx 900205', 'rx 00', 'step')[0]!, /^state closing 192 /)
})
