import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { startGateway } from '../support/gateway-process.ts'
import { runPike, spawnPike } from '../support/pike-process.ts'

test('pike weather stands before a gateway, says where, and ends when asked', async () => {
  const gateway = await startGateway()
  const to = String(gateway.port('http'))
  const child = spawnPike(
    ['weather', '--listen', '0', '--to', to, '--weather', 'rtt=1ms,torn=50%'].concat('--json'),
  )
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  const ready = JSON.parse((await lines.next()).value)
  assert.equal(ready.event, 'weather.ready')
  const answer = await fetch(`http://127.0.0.1:${ready.port}/device/v1/commands`)
  assert.equal(answer.status, 401)
  await answer.arrayBuffer()
  const ended = once(child, 'close')
  child.kill('SIGTERM')
  const figures = JSON.parse((await lines.next()).value)
  assert.equal(figures.links, 1)
  assert.deepEqual(await ended, [0, null])
  await gateway.stop()
})

test('pike weather says what is wrong with its words', async () => {
  for (const [args, said] of [
    [['--listen', '1', '--to', 'x'], /--to.*like 7450 or 127\.0\.0\.1:7450/],
    [['--listen', '1', '--to', '2', '--weather', 'rtt=200'], /rtt: write a time like rtt=200ms/],
    [['--listen', '1'], /--to/],
  ] as const) {
    const { code, stderr } = await runPike(['weather', ...args], {})
    assert.notEqual(code, 0)
    assert.match(stderr, said)
  }
})
