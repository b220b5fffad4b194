import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from '../../src/node/log.ts'

function written(human: boolean, level = 'info') {
  const lines: string[] = []
  const { log } = createLog({
    level,
    human,
    to: { write: (line: string) => void lines.push(line) },
  })
  return { log, lines }
}

test('a line of the log is one JSON object with its event, level and time', () => {
  const { log, lines } = written(false)
  log.info({ event: 'link.closed', device: 'SZ-0042' }, 'a link was closed')
  assert.equal(lines.length, 1)
  const entry = JSON.parse(lines[0]!)
  assert.deepEqual(
    [entry.event, entry.level, entry.device, entry.msg],
    ['link.closed', 'info', 'SZ-0042', 'a link was closed'],
  )
  assert.match(entry.time, /^\d{4}-\d\d-\d\dT/)
})

test('a terminal gets text, with the stack of an error below', () => {
  const { log, lines } = written(true)
  log.warn({ event: 'store.full', err: new Error('no space'), depth: 3 }, 'the store is full')
  assert.match(lines[0]!, /warn {2}store\.full {2}the store is full {2}depth=3\nError: no space\n/)
})

test('promise 8: secrets are never logged, not even when handed to the log by mistake', () => {
  for (const human of [false, true]) {
    const { log, lines } = written(human)
    log.error({ secret: 's3cret', device: { secret: 's3cret' }, a: { b: { apiKey: 's3cret' } } })
    assert.ok(!lines.join('').includes('s3cret'))
  }
})

test('what is below the level is not written', () => {
  const { log, lines } = written(false, 'warn')
  log.info({ event: 'a' })
  assert.equal(lines.length, 0)
})
