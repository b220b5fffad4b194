import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Engine } from '../../../src/contract/index.ts'
import { endStatuses, locateCommand } from '../../../src/contract/index.ts'
import { openLevelEngine } from '../../../src/engine/level/index.ts'
import { SystemClock } from '../../../src/node/clock.ts'
import { allEvents } from '../../support/engine-words.ts'
import type { ManualClock } from '../../support/manual-clock.ts'

const child = fileURLToPath(new URL('./child.ts', import.meta.url))

/** What a killed process had said: a line is complete when its end of line is there. */
interface Said {
  readonly kept: Set<string>
  readonly ended: Set<string>
  readonly events: Set<string>
}

/** Run at load, kill after so many lines. */
async function runAndKill(folder: string, round: number, lines: number, said: Said): Promise<void> {
  const process = spawn(
    globalThis.process.execPath,
    ['--import', 'tsx', child, folder, String(round)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  let count = 0
  for await (const line of createInterface({ input: process.stdout })) {
    const [word, what] = line.split(' ')
    if (word === 'kept') said.kept.add(what!)
    else if (word === 'ended') said.ended.add(what!)
    else if (word === 'event') said.events.add(what!)
    if (++count === lines) process.kill('SIGKILL')
  }
  assert.ok(count >= lines, 'it ended by itself')
}

test('killed at load, again and again, it has kept all it said, once and in order', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'pike-level-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const said: Said = { kept: new Set(), ended: new Set(), events: new Set() }
  let cursor: string | undefined
  for (let round = 0; round < 4; round++) {
    await runAndKill(folder, round, 1_500 + 700 * round, said)
    const engine = await openLevelEngine({ folder, clock: new SystemClock() })
    try {
      await check(engine, said)
      // A reader that had read all before the next kill reads on after it.
      const following = await eventsAfter(engine, cursor)
      cursor = following.cursor
    } finally {
      await engine.close()
    }
  }
})

async function check(engine: Engine, said: Said): Promise<void> {
  for (const id of said.kept) {
    const { channel, epoch, offset } = locateCommand('shop', id)!
    const found = await engine.mailbox.find(channel, epoch, offset)
    assert.ok(found !== undefined, `${id} was accepted and is lost`)
    assert.equal(found.command.id, id)
    if (said.ended.has(id)) assert.equal(found.kind, 'ended', `${id} had ended`)
  }
  const logged = await allEvents({ engine, clock: undefined as unknown as ManualClock }, 'shop')
  const names = logged.flatMap((event) => (event.kind === 'event' ? [event.name] : []))
  assert.equal(new Set(names).size, names.length, 'an event is there twice')
  const there = new Set(names)
  for (const name of said.events) assert.ok(there.has(name), `${name} was kept and is lost`)
  const { accepted, open, ended } = await engine.mailbox.counts('shop')
  const total = endStatuses.reduce((sum, status) => sum + (ended[status] ?? 0), 0)
  assert.equal(accepted, open + total)
  assert.equal(ended.delivered, logged.filter(({ kind }) => kind === 'command.ended').length)
  let waiting = 0
  for (let worker = 0; worker < 20; worker++) {
    const channel = `shop/locker-${worker}/main`
    const head = await engine.mailbox.open(channel)
    const { commands: read } = await engine.mailbox.read(channel, 0, 1e6)
    assert.equal(read.length, head.open.length)
    waiting += read.length + (await engine.mailbox.scheduled(`shop/locker-${worker}`)).length
    for (const [index, { offset, payload }] of read.entries()) {
      assert.ok(offset > (read[index - 1]?.offset ?? 0), 'in order')
      assert.equal(payload.length, 100)
    }
    assert.equal((await engine.mailbox.depth(channel)).bytes, read.length * 100)
  }
  assert.equal(waiting + (await placedMembers(engine)), open)
}

/** Members that have their command, each once; none of these ends here. */
async function placedMembers(engine: Engine): Promise<number> {
  const channels = new Set<string>()
  let placed = 0
  for (const { id, devices, waiting, open } of engine.broadcasts.list('shop', { limit: 99 })
    .items) {
    const { items } = await engine.broadcasts.members('shop', id, { limit: 1e5 })
    assert.equal(items.length, devices)
    const commands = items.flatMap(({ command }) => command ?? [])
    assert.deepEqual([waiting, open], [devices - commands.length, commands.length])
    for (const command of commands) {
      const { channel, epoch, offset } = locateCommand('shop', command)!
      channels.add(channel)
      const found = await engine.mailbox.find(channel, epoch, offset)
      assert.equal(found?.command.broadcast, id)
    }
    placed += open
  }
  let open = 0
  for (const channel of channels) open += (await engine.mailbox.depth(channel)).commands
  assert.equal(open, placed, 'a member was placed twice')
  return placed
}

async function eventsAfter(engine: Engine, after: string | undefined): Promise<{ cursor: string }> {
  for (let cursor = after; ; ) {
    const page = await engine.events.read('shop', {
      limit: 1_000,
      ...(cursor && { after: cursor }),
    })
    assert.ok(page.kind === 'page', 'a crash took a cursor from who had lost nothing')
    cursor = page.next
    if (page.caughtUp) return { cursor }
  }
}
