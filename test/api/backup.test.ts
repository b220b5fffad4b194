import assert from 'node:assert/strict'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { apiBounds } from '../../src/api/bounds.ts'
import { StoreUnavailable } from '../../src/contract/index.ts'
import { turn, until } from '../support/turns.ts'
import { World } from './world.ts'

async function* chunks(...parts: string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part)
}

test('a backup is streamed to an administrator, and to nobody else', async () => {
  const world = await World.open({}, { backup: () => chunks('all ', 'of ', 'it') })
  const answer = await world.call('GET', '/v1/backup')
  assert.deepEqual([answer.status, answer.text], [200, 'all of it'])
  assert.equal(answer.headers['content-type'], 'application/octet-stream')
  assert.equal(answer.headers['cache-control'], 'no-store')
  for (const key of ['key-devices', 'key-commands', 'key-events', 'key-other'])
    assert.equal((await world.call('GET', '/v1/backup', { key })).status, 403)
  assert.equal((await world.call('GET', '/v1/backup')).status, 200)
  await world.close()
})

test('an engine that cannot: 501; a store that cannot be read: 503, and the next try is free', async () => {
  const without = await World.open()
  const answer = await without.call('GET', '/v1/backup')
  assert.deepEqual([answer.status, answer.body.type], [501, '/problems/not-supported'])
  await without.close()
  let broken = true
  const world = await World.open(
    {},
    {
      backup: async function* () {
        if (broken) throw new StoreUnavailable(false)
        yield Buffer.from('whole')
      },
    },
  )
  assert.equal((await world.call('GET', '/v1/backup')).status, 503)
  broken = false
  assert.equal((await world.call('GET', '/v1/backup')).text, 'whole')
  await world.close()
})

test('one at a time; one that breaks off cannot be taken for whole; leaving it frees the place', async () => {
  let left = 0
  let fail: ((error: Error) => void) | undefined
  const world = await World.open(
    {},
    {
      backup: async function* () {
        try {
          yield Buffer.from('begin')
          await new Promise((_, reject) => {
            fail = reject
          })
        } finally {
          left++
        }
      },
    },
  )
  await world.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = world.app.server.address() as AddressInfo
  const open = () =>
    new Promise<import('node:http').IncomingMessage>((resolve) => {
      const headers = { authorization: 'Bearer key-all' }
      request({ port, host: '127.0.0.1', path: '/v1/backup', headers, agent: false }, resolve).end()
    })
  const first = await open()
  await new Promise((read) => first.once('data', read))
  const second = await world.call('GET', '/v1/backup')
  assert.deepEqual([second.status, second.headers['retry-after']], [503, '5'])
  const aborted = new Promise((over) => first.once('error', over))
  while (fail === undefined) await turn()
  fail(new Error('the disk'))
  await aborted
  assert.equal(first.complete, false)
  await until(() => left >= 1)
  const third = await open()
  await new Promise((read) => third.once('data', read))
  third.on('error', () => {})
  await world.close()
  assert.equal(third.complete, false)
  await world.engine.close()
})

test('a reader that takes nothing of a backup for a minute loses it, and the place is free again', async () => {
  let left = 0
  const world = await World.open(
    {},
    {
      backup: async function* () {
        try {
          for (;;) yield Buffer.alloc(1_048_576)
        } finally {
          left++
        }
      },
    },
  )
  const first = await stalled(world)
  assert.equal((await world.call('GET', '/v1/backup')).status, 503)
  for (let seconds = 0; seconds < 300 && left === 0; seconds++) {
    world.clock.advance(1_000)
    await turn()
  }
  assert.equal(left, 1, 'it was not ended')
  const second = await stalled(world)
  assert.equal(second.statusCode, 200)
  for (const reader of [first, second]) reader.destroy()
  await world.close()
})

test('a reader is not told to hurry while it is the store that takes its time', async () => {
  let goOn: (() => void) | undefined
  const world = await World.open(
    {},
    {
      backup: async function* () {
        yield Buffer.from('begin')
        await new Promise<void>((resolve) => {
          goOn = resolve
        })
        yield Buffer.from('end')
      },
    },
  )
  const answer = world.call('GET', '/v1/backup')
  while (goOn === undefined) await turn()
  world.clock.advance(apiBounds.streamStalledMs * 10)
  goOn()
  assert.equal((await answer).text, 'beginend')
  await world.close()
})

/** A backup that began, and of which nothing is read. */
async function stalled(world: World): Promise<import('node:http').IncomingMessage> {
  if (!world.app.server.listening) await world.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = world.app.server.address() as AddressInfo
  const headers = { authorization: 'Bearer key-all' }
  return new Promise((resolve, reject) => {
    const call = request({ port, host: '127.0.0.1', path: '/v1/backup', headers, agent: false })
    call.once('response', (response) => {
      // What breaks it off is looked at from the other end.
      response.on('error', () => {})
      resolve(response)
    })
    call.once('error', reject)
    call.end()
  })
}
