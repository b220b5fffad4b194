import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  commandTopic,
  defaultTopics,
  escapeLevel,
  Topics,
  topicsProblem,
} from '../../../adapters/mqtt/topics.ts'
import type { KeptCommand, Stamp } from '../../../src/contract/index.ts'

const who = { app: 'default', device: 'SZ-0042' }
const own = new Topics()

const command: KeptCommand = {
  id: 'SZ-0042:main:abc:7',
  channel: 'default/SZ-0042/main',
  epoch: 13_368,
  offset: 7,
  name: 'open',
  payload: Buffer.from('{}'),
  contentType: 'application/json',
  delivery: 'now',
  expect: 'reply',
  acceptedAtMs: 1,
  expiresAtMs: 1_700_000_000_000.5,
  replyTimeoutMs: 1,
  askedBy: 'test',
}

/** A second and a half before it expires. */
const nowMs = 1_699_999_998_500

const meanings: readonly (readonly [topic: string, meaning: string])[] = [
  ['events/door-opened', 'event main door-opened'],
  ['events/door/7', 'event main door/7'],
  ['events/__proto__', 'event main __proto__'],
  ['channels/media/events/a', 'event media a'],
  ['channels/urgent/events/a/b', 'event urgent a/b'],
  ['replies/SZ-0042:main:abc:7', 'done SZ-0042:main:abc:7'],
  ['replies/x/done', 'done x'],
  ['replies/x/failed', 'failed x'],
  ['replies/x/rejected/late', 'rejected x late'],
  ['replies/x/opened', 'none'],
  ['stamped/7.1/events/door/7%2F8%25', 'event main door/7/8% 7.1'],
  ['stamped/7.2/channels/media/events/a%2Bb', 'event media a+b 7.2'],
  ['stamped/4294967295.9007199254740991/replies/x/done', 'done x 4294967295.9007199254740991'],
  ['stamped/7.4/replies/x/rejected/not%2Fnow', 'rejected x not/now 7.4'],
  ['events/7%2F8', 'event main 7%2F8'],
  ['stamped/7/events/a', 'none'],
  ['stamped/0.1/events/a', 'none'],
  ['stamped/7.9007199254740992/events/a', 'none'],
  ['stamped/7.x/replies/x/done', 'none'],
  ['replies/', 'none'],
  ['events', 'none'],
  ['events/', 'none'],
  ['event/a', 'none'],
  ['channels/-/events/a', 'none'],
  ['channels/__proto__/events/a', 'none'],
  ['commands/x/open', 'none'],
  ['$SYS/broker/uptime', 'none'],
  ['', 'none'],
  ['/events/a', 'none'],
]

const stampText = (stamp: Stamp | undefined): string =>
  stamp === undefined ? '' : `${stamp.epoch}.${stamp.sequence}`

test('what a device may say, and what it says by that', () => {
  for (const [topic, expected] of meanings) {
    const meaning = own.meaning(who, topic)
    const said =
      meaning === undefined
        ? ['none']
        : meaning.kind === 'event'
          ? ['event', meaning.channel, meaning.name, stampText(meaning.stamp)]
          : [meaning.status, meaning.id, meaning.reason, stampText(meaning.stamp)]
    assert.equal(said.filter(Boolean).join(' '), expected, topic)
  }
})

const filters: readonly (readonly [filter: string, channels: string, at?: string])[] = [
  ['commands/#', 'main urgent', 'commands/SZ-0042:main:abc:7/open'],
  ['commands/+/+', 'main urgent', 'commands/SZ-0042:main:abc:7/open'],
  ['commands/+/+/#', 'main urgent', 'commands/SZ-0042:main:abc:7/open'],
  ['#', 'main urgent', 'commands/SZ-0042:main:abc:7/open'],
  ['+/#', 'main urgent', 'commands/SZ-0042:main:abc:7/open'],
  ['+/+/+', 'main urgent', 'commands/SZ-0042:main:abc:7/open'],
  ['channels/urgent/commands/#', 'urgent', 'channels/urgent/commands/SZ-0042:main:abc:7/open'],
  ['channels/media/commands/+/+', 'media', 'channels/media/commands/SZ-0042:main:abc:7/open'],
  ['channels/+/commands/#', 'main urgent', 'channels/main/commands/SZ-0042:main:abc:7/open'],
  [
    'detailed/commands/#',
    'main urgent',
    'detailed/commands/SZ-0042:main:abc:7/now/reply/1700000000000/open',
  ],
  [
    'detailed/channels/media/commands/#',
    'media',
    'detailed/channels/media/commands/SZ-0042:main:abc:7/13368.7/now/reply/1700000000000/1500/open',
  ],
  // Some of the commands only: the others would wait for ever.
  ['commands/+/open', 'none'],
  ['commands/SZ-0042:main:abc:7/+', 'none'],
  ['commands/+', 'none'],
  ['commands', 'none'],
  ['channels/-/commands/#', 'none'],
  ['events/#', 'none'],
  ['replies/#', 'none'],
  ['$SYS/#', 'none'],
  ['$share/a/commands/#', 'none'],
  ['SZ-0043/#', 'none'],
]

test('which channels a filter asks for, and where their commands come', () => {
  for (const [filter, channels, at] of filters) {
    const wanted = own.wanted(who, filter)
    assert.equal(wanted?.channels.join(' ') ?? 'none', channels, filter)
    if (wanted === undefined) continue
    assert.equal(
      commandTopic(wanted.template, who, command, wanted.channels[0]!, nowMs),
      at,
      filter,
    )
  }
})

test('firmware with topics of its own keeps them', () => {
  const topics = new Topics({
    events: ['locker/{device}/state', '{app}/{device}/up/{type}'],
    commands: ['locker/{device}/cmd', 'dev-{device}/{channel}/{id}/{name}'],
    replies: ['locker/{device}/ack', 'failed=locker/{device}/nack/{reason}'],
  })
  const cmd = topics.wanted(who, 'locker/SZ-0042/cmd')
  assert.ok(cmd !== undefined, 'its own topic')
  assert.equal(cmd.template.namesCommand, false)
  assert.equal(commandTopic(cmd.template, who, command, 'main', nowMs), 'locker/SZ-0042/cmd')
  assert.equal(topics.wanted(who, 'locker/SZ-0043/cmd'), undefined)
  assert.deepEqual(topics.wanted(who, 'dev-SZ-0042/media/#')?.channels, ['media'])
  assert.deepEqual(topics.meaning(who, 'locker/SZ-0042/state'), {
    kind: 'event',
    channel: 'main',
    name: 'state',
    stamp: undefined,
  })
  assert.equal(topics.meaning(who, 'locker/SZ-0043/state'), undefined)
  assert.deepEqual(topics.meaning(who, 'default/SZ-0042/up/a/b'), {
    kind: 'event',
    channel: 'main',
    name: 'a/b',
    stamp: undefined,
  })
  assert.deepEqual(topics.meaning(who, 'locker/SZ-0042/ack'), {
    kind: 'reply',
    id: undefined,
    status: 'done',
    reason: undefined,
    stamp: undefined,
  })
})

test('a name that no topic may have is written so that it may', () => {
  assert.equal(escapeLevel('open'), 'open')
  assert.equal(escapeLevel('öffne 7'), 'öffne 7')
  assert.equal(escapeLevel('a/b+c#d%\u0000'), 'a%2Fb%2Bc%23d%25%00')
  assert.equal(decodeURIComponent(escapeLevel('a/b+c#d%')), 'a/b+c#d%')
})

const slips: readonly (readonly [template: string, says: RegExp])[] = [
  ['', /1 to 256/],
  ['a/+/{id}', /no \+/],
  ['a/#', /no \+ and #/],
  ['$SYS/{id}', /begin with \$/],
  ['{id}/{id}', /\{id\} twice/],
  ['{door}', /\{door\}; known are app, device/],
  ['{id}{name}', /at most one/],
  ['a/{id', /at most one/],
  ['a/'.repeat(17), /at most 16 levels/],
]

test('a slip in a template is said, with what would have been right', () => {
  assert.equal(topicsProblem(defaultTopics), undefined)
  for (const [template, says] of slips) {
    const problem = topicsProblem({ ...defaultTopics, commands: [template] })
    assert.match(problem ?? 'nothing', says, template)
  }
  assert.match(topicsProblem({ ...defaultTopics, replies: [] }) ?? '', /no topic/)
})
