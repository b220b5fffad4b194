import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { compile, outDir, root, run, sizeOf, source, warnings, wire } from './c/build.ts'

/*
 * devices/c/pike.h against the vectors: a client with no capability, so no names by number, and only
 * what a server may send is decoded.
 */

type Frame = Record<string, unknown> & { type: string }
interface Vector {
  name: string
  hex: string
  frame: Frame
  reason?: string
  frameMaxBytes?: number
  bindingsMax?: number
}

const vectors = (file: string) =>
  JSON.parse(readFileSync(path.join(root, 'test/vectors/pike', file), 'utf8'))
const valid: Vector[] = vectors('valid.json').vectors
const toDevice = new Set(['epoch', 'welcome', 'ping', 'pong', 'command', 'ack', 'goaway', 'close'])
const forUs = (frame: Frame) =>
  toDevice.has(frame.type) || (frame.type === 'auth' && frame.method === 'challenge')
const hexOf = (text: unknown) => Buffer.from(String(text)).toString('hex') || '-'

/** Of a line `frame length 3 type 9 …`: its words in pairs. */
const fields = (line: string) =>
  Object.fromEntries([...line.matchAll(/ (\S+) (\S+)/g)].map(([, key, value]) => [key, value]))

/** What wire.c should say of a frame; fields the client passes over are not there. */
function expected(frame: Frame): Record<string, unknown> {
  const channel = { channel: frame.channelNumber === null ? -1 : frame.channelNumber || undefined }
  switch (frame.type) {
    case 'epoch':
      return { type: 1, number: frame.epoch, ...channel }
    case 'auth':
      return { type: 2, number: frame.kdf === 'scrypt' ? 1 : 0, rest: frame.nonce, ...channel }
    case 'welcome':
      return {
        type: 3,
        number: frame.epoch,
        offset: frame.offset,
        kept: frame.uplinkKept,
        keepalive: frame.keepaliveS,
        frameMax: frame.frameMaxBytes,
        uplinkWindow: frame.uplinkWindowMax,
        base: frame.reconnectBaseMs,
        max: frame.reconnectMaxMs,
        capabilities: frame.capabilities,
        text: hexOf(frame.connection),
        rest: frame.proof || '-',
        ...channel,
      }
    case 'pong':
      return { type: 5, number: frame.keepaliveS ?? 0 }
    case 'command':
      return {
        type: 6,
        flags:
          (frame.replyExpected ? 1 : 0) | (frame.now ? 2 : 0) | (frame.repeated ? 4 : 0) ||
          undefined,
        offset: frame.offset,
        deadline: frame.deadlineMs,
        text: hexOf(frame.name),
        rest: frame.payload || '-',
        bytes: frame.binary ? 1 : 0,
        ...channel,
      }
    case 'ack':
      return { type: 9, number: frame.upTo, ...channel }
    case 'goaway':
      return { type: 11, number: frame.code, after: frame.spreadMs }
    case 'close':
      return {
        type: 12,
        number: frame.code,
        after: frame.retryAfterS,
        text: hexOf(frame.text),
        channel: frame.channelNumber ?? -1,
      }
    default:
      return { type: frame.type === 'ping' ? 4 : undefined }
  }
}

test('pike.h builds without a warning, and keeps to 12 KB of code and 4 KB of memory', () => {
  const file = path.join(outDir(), 'alone.c')
  writeFileSync(
    file,
    '#define PIKE_IMPLEMENTATION\n#include "pike.h"\nstruct pike pike;\nuint8_t rx[1088], tx[512], image[1024];\n',
  )
  const built = (name: string, ...flags: string[]) =>
    sizeOf(compile(name, [...warnings, '-Os', ...flags, '-c', file]))
  const { code, memory } = built('alone.o', '-fno-asynchronous-unwind-tables')
  const { code: withTables } = built('unwinds.o', '-fasynchronous-unwind-tables')
  assert.ok(code <= 12 * 1024, `${code} octets of code`)
  assert.ok(memory < 4 * 1024, `${memory} octets of memory`)
  // The page says both; by gcc's version they are a little more or less.
  const said = [
    ...readFileSync(path.join(source, 'README.md'), 'utf8').matchAll(/\b(1\d,\d{3})\b/g),
  ]
  const [bare, unwinding] = said.map(([, octets]) => Number(octets!.replace(',', '')))
  for (const [is, page] of [
    [code, bare],
    [withTables, unwinding],
  ]) {
    assert.ok(Math.abs(is! - page!) <= 0.05 * page!, `${is} octets of code, ${page} by the page`)
  }
  compile('locker', [...warnings, '-Os', path.join(source, 'locker.c')])
})

test('keys and proofs are those of the vectors; a weak secret is not taken', () => {
  for (const v of vectors('auth.json').vectors) {
    const keys = `keys ${v.clientKey} ${v.storedKey} ${v.serverKey}`
    const app = v.app === 'default' ? '-' : v.app
    assert.deepEqual(wire(`root ${app} ${v.device} ${v.root}`), [keys], v.name)
    // Words cannot hold a space.
    if (!v.secret.includes(' '))
      assert.deepEqual(
        wire(`keys ${app} ${v.device} ${v.secret}`),
        [v.kdf === 'hkdf' ? keys : 'weak'],
        v.name,
      )
    const [, proofs] = wire(`root - x ${v.root}`, `proof ${v.hello} ${v.challenge}`)
    assert.equal(proofs, `proof ${v.proof} ${v.serverProof}`, v.name)
  }
})

test('the frames a server may send are decoded as the vectors say; the others are refused', () => {
  for (const v of valid) {
    const [line] = wire(`decode ${v.hex}`)
    if (v.frame.type === 'unknown') {
      const skipped = line!.startsWith(`frame length ${v.hex.length / 2} `)
      assert.ok(v.frame.critical ? line === 'refused 196' : skipped, `${v.name}: ${line}`)
    } else if (!forUs(v.frame)) {
      assert.equal(line, 'refused 193', v.name)
    } else if (v.bindingsMax !== undefined) {
      assert.equal(line, 'refused 192', `${v.name}: no number was given out`)
    } else {
      const got = fields(line!.slice('frame'.length))
      assert.equal(got.length, String(v.hex.length / 2), v.name)
      for (const [key, value] of Object.entries(expected(v.frame)))
        if (value !== undefined)
          assert.equal(got[key], String(value), `${v.name}: ${key} in ${line}`)
    }
  }
})

test('a frame that has not come whole is waited for, wherever it is cut, and nothing behind it is read', () => {
  const ours = valid.filter((v) => forUs(v.frame) && v.bindingsMax === undefined)
  assert.ok(ours.length > 20, 'found no vectors: this test would prove nothing')
  for (const { name, hex } of ours) {
    const cuts = Array.from({ length: hex.length / 2 - 1 }, (_, i) => hex.slice(0, 2 * (i + 1)))
    const said = wire('decode -', ...cuts.map((cut) => `decode ${cut}`))
    assert.deepEqual([...new Set(said)], ['more'], name)
    const [alone, followed] = wire(`decode ${hex}`, `decode ${hex}ffff`)
    assert.equal(followed, alone, name)
  }
})

test('bytes nobody may accept are refused, with the reason of the vectors', () => {
  const codes = { malformed: 192, 'too-large': 194, unsupported: 196 } as Record<string, number>
  for (const v of vectors('malformed.json').vectors as Vector[]) {
    const [line] = wire(`decode ${v.hex} ${v.frameMaxBytes ?? 65_536}`)
    // What only a device sends is refused for that, by its first octet.
    const notOurs = /^(7|8|a|f)|^2[12]/.test(v.hex) || v.hex.startsWith('2a')
    assert.equal(line, `refused ${notOurs ? 193 : codes[v.reason!]}`, v.name)
  }
})

test('HELLO is written as the vectors have it', () => {
  for (const { name, hex, frame: f } of valid.filter((v) => v.frame.type === 'hello')) {
    // One channel and no extension is what this client has.
    if (f.channelNumber !== 0 || (f.extensions as unknown[]).length > 0) continue
    const resume = f.resume as { epoch: number; offset: number } | null
    const words = [f.capabilities, f.app || '-', f.device, f.channel, f.nonce || '-']
    const place = [resume?.epoch ?? 0, resume?.offset ?? 0, f.uplinkEpoch]
    const wishes = [f.keepaliveMinS, f.keepaliveMaxS, f.frameMaxBytes, f.windowMax, f.bindingsMax]
    const [line] = wire(`hello ${[...words, ...place, ...wishes].join(' ')}`)
    assert.equal(line, `hello ${hex}`, name)
  }
})

test('a hundred thousand frames of a server gone wrong: nothing is read that did not come, nothing done late or twice', () => {
  const [line] = run('fuzz', ['20261', '6000'])
  const [, count, opened, handed] = /^fuzzed (\d+) opened (\d+) handed (\d+)$/.exec(line!) ?? []
  assert.equal(count, '6000', line)
  assert.ok(Number(opened) > 6_000 && Number(handed) > 3_000, `reached too little: ${line}`)
})

test('lives with cuts, power cuts and failing stores: commands acted on once, none acknowledged that was not, uplinks kept once', () => {
  const [line] = run('model', ['20261', '3000'])
  const [, lives, cuts, lates] = /^lived (\d+) cuts (\d+) late (\d+)/.exec(line!) ?? []
  assert.equal(lives, '3000', line)
  assert.ok(Number(cuts) > 3_000 && Number(lates) > 500, `reached too little: ${line}`)
})
