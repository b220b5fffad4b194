import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limits } from '../../src/contract/index.ts'
import { Sla } from '../../src/hub/sla.ts'
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

test('an outcome that never came yet is told as 0, so that the first one is an increase', async () => {
  const counts = { accepted: 0, open: 0, ended: {} }
  const { body } = await new Metrics(async () => new Map([['default', counts]])).scrape()
  assert.match(body, /^pike_commands_ended_total\{app="default",status="in-doubt"\} 0$/m)
})

test('service figures are counters and cumulative histograms by app, protocol and class', async () => {
  const metrics = new Metrics(async () => new Map())
  const sla = new Sla(limits)
  metrics.addSla(() => sla.all())
  const tally = sla.tally('default', 'pike', 'battery')
  tally.uplinks += 3
  tally.uplinksKept(2, 4)
  tally.downlinks++
  tally.downlinkAcknowledged(70_000)
  sla.tally('acme', 'pike', undefined).channelAvailable(1)
  const { body } = await metrics.scrape()
  const lines = body.split('\n').filter((line) => line.includes('default') || line[0] === '#')
  const labels = 'app="default",protocol="pike",class="battery"'
  for (const line of [
    '# TYPE pike_uplinks_total counter',
    `pike_uplinks_total{${labels}} 3`,
    `pike_uplinks_acknowledged_total{${labels}} 2`,
    `pike_downlinks_total{${labels}} 1`,
    `pike_downlinks_acknowledged_total{${labels}} 1`,
    '# TYPE pike_uplink_seconds histogram',
    `pike_uplink_seconds_bucket{${labels},le="0.002"} 0`,
    `pike_uplink_seconds_bucket{${labels},le="0.005"} 2`,
    `pike_uplink_seconds_bucket{${labels},le="+Inf"} 2`,
    `pike_uplink_seconds_sum{${labels}} 0.008`,
    `pike_uplink_seconds_count{${labels}} 2`,
    `pike_downlink_seconds_bucket{${labels},le="60"} 0`,
    `pike_downlink_seconds_bucket{${labels},le="+Inf"} 1`,
    '# TYPE pike_channel_available_seconds histogram',
  ])
    assert.ok(lines.includes(line), line)
  assert.match(body, /^pike_channel_available_seconds_count\{app="acme",.*class="none"\} 1$/m)
})

test('limits are told by name, as they are set', async () => {
  const metrics = new Metrics(async () => new Map())
  metrics.addLimits({ ...limits, mailboxMaxCommands: 17 })
  const { body } = await metrics.scrape()
  assert.match(body, /^pike_limit\{limit="mailboxMaxCommands"\} 17$/m)
})

test('no line is there twice, and no name is declared twice', async () => {
  const metrics = new Metrics(
    async () => new Map([['default', { accepted: 0, open: 0, ended: {} }]]),
  )
  const sla = new Sla(limits)
  for (const app of ['a', 'b']) sla.tally(app, 'pike', undefined)
  metrics.addSla(() => sla.all())
  metrics.addLimits(limits)
  metrics.add({ prefix: 'pike_', figures: () => ({ sessions: 1 }) })
  const { body } = await metrics.scrape()
  const lines = body.split('\n').filter((line) => line !== '')
  const keys = lines.map((line) => (line[0] === '#' ? line : line.slice(0, line.lastIndexOf(' '))))
  assert.equal(new Set(keys).size, keys.length)
  assert.ok(body.endsWith('\n'))
})
