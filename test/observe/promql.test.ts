import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readPromql } from './promql.ts'

test('what is PromQL is read, with its metrics and labels', () => {
  const { metrics, grouped } = readPromql(
    'sum by (app, le) (rate(a_total{x="1",y=~"a|b"}[5m])) / on (job) group_left b offset 1h > 0.5 and (c or vector(0))',
  )
  assert.deepEqual(
    [...metrics].map(([name, labels]) => [name, [...labels]]),
    [
      ['a_total', ['x', 'y']],
      ['b', []],
      ['c', []],
    ],
  )
  assert.deepEqual([...grouped], ['app', 'le', 'job'])
})

for (const wrong of [
  '',
  'sum(a',
  'a)',
  'a{b}',
  'a{b="c}',
  'a{b="c"',
  'rate(a[5x])',
  'rate(a[5m)',
  'a >',
  'a b',
  'rat(a[5m])',
  'sum by app (a)',
  'a + * b',
  'a offset b',
  'a @ ;',
])
  test(`what is not PromQL is refused: ${wrong}`, () => assert.throws(() => readPromql(wrong)))
