import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BacklogDrops, listenOverflows } from '../../src/node/backlog.ts'

test('drops of the backlog are what Linux counted since the start; where nobody counts there is no figure', () => {
  const netstat = (drops: number): string =>
    `TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 7 ${drops} 9\nIpExt: InNoRoutes\nIpExt: 3\n`
  let text = netstat(1_000)
  const drops = new BacklogDrops(() => text)
  assert.deepEqual(drops.figures(), { backlog_drops_total: 0 }, 'what was before us is not ours')
  text = netstat(1_250)
  assert.deepEqual(drops.figures(), { backlog_drops_total: 250 })
  for (const other of ['', 'TcpExt: A\nTcpExt: 1\n', 'IpExt: ListenOverflows\nIpExt: 4\n'])
    assert.equal(listenOverflows(other), undefined)
  const none = new BacklogDrops(() => {
    throw new Error('no such file')
  })
  assert.deepEqual(none.figures(), {})
})
