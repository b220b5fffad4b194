import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Metrics, unaccounted } from '../../src/node/metrics.ts'

test('every source is read when asked; lines of one name stand together', async () => {
  const metrics = new Metrics(async () => new Map())
  let connections = 1
  metrics.add({ prefix: 'pike_', labels: { adapter: 'a' }, figures: () => ({ connections }) })
  metrics.add({ prefix: 'pike_', figures: () => ({ commits_total: 5 }) })
  metrics.add({ prefix: 'pike_', labels: { adapter: 'b"\n' }, figures: () => ({ connections: 2 }) })
  connections = 7
  const { body: text, contentType } = await metrics.scrape()
  assert.match(contentType, /^text\/plain/)
  assert.ok(
    text.includes(
      '# TYPE pike_connections gauge\npike_connections{adapter="a"} 7\npike_connections{adapter="b__"} 2\n',
    ),
  )
  assert.ok(text.includes('# TYPE pike_commits_total counter\npike_commits_total 5\n'))
  assert.match(text, /^nodejs_eventloop_lag_p99_seconds /m)
})

test('rule 11: the product counts for itself whether accepted = ended + open', async () => {
  const broken = { accepted: 10, open: 2, ended: { done: 4, expired: 3 } }
  assert.equal(unaccounted(broken), 1)
  const metrics = new Metrics(async () => new Map([['default', broken]]))
  const { body: text } = await metrics.scrape()
  assert.match(text, /^pike_commands_unaccounted\{app="default"\} 1$/m)
  assert.match(text, /^pike_commands_ended_total\{app="default",status="done"\} 4$/m)
})
