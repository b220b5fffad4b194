import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { turn, turns } from '../support/turns.ts'
import { PikeStreet } from './roads.ts'

const media = { media: {} }
const allOf = (...names: string[]) => names

test('a locker whose media channel moves to a connection of its own while pictures are under way', async (t) => {
  const street = await PikeStreet.make(t)
  await street.register('locker', { channels: media })
  const locker = street.locker(t, 'locker')
  const got: string[] = []
  const moved: string[] = []
  let hold: (() => void) | undefined
  locker.on('moved', ({ channel, connection }) => moved.push(`${channel} ${connection}`))
  locker.on('receive', (command, respond) => {
    got.push(`${command.channel} ${command.name}`)
    void respond({ status: 'done' })
    if (command.name === 'show 1') return new Promise<void>((go) => (hold = go))
    return undefined
  })
  locker.start()
  await street.until(() => locker.state.kind === 'running', 'running')
  assert.equal(street.connections, 1)
  for (const n of [1, 2, 3]) await street.submit('locker', 'media', `show ${n}`)
  await street.until(() => hold !== undefined, 'the first is at the application')
  const pictures = [1, 2, 3].map((n) =>
    locker.send(`picture ${n}`, 'x'.repeat(9_000), { channel: 'media' }),
  )
  await street.connection('locker', 'media', 'independent')
  const opened = street.submit('locker', 'urgent', 'open')
  await street.until(
    () => locker.stateOf('media')?.kind === 'running' && street.connections === 2,
    'on two',
  )
  assert.equal(locker.state.kind, 'running', 'the others stayed')
  assert.equal((await opened).kind, 'accepted')
  hold?.()
  await street.until(() => got.length === 4, 'all of it is received')
  for (const sent of await Promise.all(pictures)) assert.equal(sent.kind, 'kept')
  assert.deepEqual(
    got.filter((name) => name.startsWith('media')),
    ['media show 1', 'media show 2', 'media show 3'],
  )
  assert.deepEqual(await street.events('locker'), [
    'media picture 1',
    'media picture 2',
    'media picture 3',
  ])

  // And back again, with a picture under way.
  const fourth = locker.send('picture 4', 4, { channel: 'media' })
  await street.connection('locker', 'media', 'shared')
  await street.until(() => street.connections === 1, 'on one again')
  assert.equal((await fourth).kind, 'kept')
  await street.submit('locker', 'media', 'show 4')
  await street.until(() => got.includes('media show 4'), 'it receives there')
  assert.deepEqual(moved, ['media independent', 'media shared'])
  await locker.stop()
})

test('a locker that comes to find its media channel independent: refused beside the others, welcome alone', async (t) => {
  const street = await PikeStreet.make(t)
  await street.register('locker', { channels: { media: { connection: 'independent' } } })
  const locker = street.locker(t, 'locker')
  locker.start()
  await street.until(
    () => locker.state.kind === 'running' && locker.stateOf('media')?.kind === 'running',
    'both are running',
  )
  assert.equal(street.connections, 2)
  // Turned back while it is away: its next WELCOME says so by saying nothing.
  await locker.stop()
  await street.connection('locker', 'media', 'shared')
  locker.start()
  await street.until(
    () => street.connections === 1 && locker.stateOf('media') === locker.state,
    'on one connection',
  )
  await street.until(() => locker.state.kind === 'running', 'running')
  assert.equal((await locker.send('picture', 1, { channel: 'media' })).kind, 'kept')
})

test('a locker whose first channel is independent: alone it stays, the others go together by another', async (t) => {
  const street = await PikeStreet.make(t)
  await street.register('locker', { channels: { media: {}, main: { connection: 'independent' } } })
  const locker = street.locker(t, 'locker')
  locker.start()
  await street.until(
    () =>
      allOf('main', 'urgent', 'media').every((name) => locker.stateOf(name)?.kind === 'running'),
    'all are running',
  )
  assert.equal(street.connections, 2)
  assert.equal(locker.stateOf('urgent'), locker.stateOf('media'))
  assert.notEqual(locker.stateOf('main'), locker.stateOf('media'))
  await street.connection('locker', 'main', 'shared')
  await street.until(() => street.connections === 1, 'on one again')
  for (const channel of ['main', 'urgent', 'media'])
    assert.equal((await locker.send('here', channel, { channel })).kind, 'kept')
})

test('a fleet whose media channels are independent by their name: but for the device that is told otherwise', async (t) => {
  const street = await PikeStreet.make(t, { independentChannels: ['media'] })
  await street.register('locker', { channels: media })
  const locker = street.locker(t, 'locker')
  const is = (name: string) => locker.stateOf(name)?.kind === 'running'
  locker.start()
  await street.until(() => is('main') && is('media') && street.connections === 2, 'on two')
  await street.connection('locker', 'media', 'shared')
  await street.until(() => is('media') && street.connections === 1, 'on one')
  // Whatever else is said of it.
  await street.change('locker', { channels: { media: { maxCommands: 5 } } })
  await street.until(() => is('media') && street.connections === 2, 'on two again', 100)
  assert.equal((await locker.send('picture', 1, { channel: 'media' })).kind, 'kept')
})

test('one connection lost, the other lives: a picture in the air does not take the door along', async (t) => {
  const street = await PikeStreet.make(t)
  await street.register('locker', { channels: { media: { connection: 'independent' } } })
  const locker = street.locker(t, 'locker')
  locker.start()
  await street.until(() => locker.stateOf('media')?.kind === 'running', 'running')
  const connection = locker.state
  street.sockets.at(-1)!.destroy()
  await street.until(() => locker.stateOf('media')?.kind === 'waiting', 'that one waits')
  assert.equal(locker.state, connection, 'nothing happened to the other')
  await street.until(() => locker.stateOf('media')?.kind === 'running', 'back', 100)
  assert.equal(locker.state, connection)
})

test('whatever is switched and cut, in any order: each message once and in order of its channel', async (t) => {
  const steps = fc.array(
    fc.oneof(
      fc.record({
        kind: fc.constant('switch' as const),
        channel: fc.constantFrom('main', 'urgent', 'media'),
        own: fc.boolean(),
      }),
      fc.record({ kind: fc.constant('cut' as const), which: fc.nat(3) }),
      fc.record({ kind: fc.constant('down' as const), channel: fc.constantFrom('main', 'media') }),
      fc.record({ kind: fc.constant('up' as const), channel: fc.constantFrom('urgent', 'media') }),
      fc.record({ kind: fc.constant('turns' as const), count: fc.nat(12) }),
      fc.record({ kind: fc.constant('time' as const), ms: fc.nat(3_000) }),
    ),
    { minLength: 5, maxLength: 40 },
  )
  await fc.assert(
    fc.asyncProperty(steps, async (script) => {
      const street = await PikeStreet.make(t)
      await street.register('locker', { channels: media })
      const locker = street.locker(t, 'locker')
      const got: string[] = []
      locker.on('receive', async (command, respond) => {
        got.push(`${command.channel} ${command.name}`)
        await turn()
        void respond({ status: 'done' })
      })
      locker.start()
      let channels: Record<string, object> = media
      const down: string[] = []
      const up: Promise<unknown>[] = []
      const wanted: string[] = []
      for (const step of script) {
        if (step.kind === 'switch') {
          channels = { ...channels, [step.channel]: step.own ? { connection: 'independent' } : {} }
          await street.change('locker', { channels })
        } else if (step.kind === 'cut') street.sockets.at(-1 - step.which)?.destroy()
        else if (step.kind === 'down') {
          down.push(`${step.channel} ${down.length}`)
          await street.submit('locker', step.channel, `${down.length - 1}`)
        } else if (step.kind === 'up') {
          wanted.push(`${step.channel} ${wanted.length}`)
          up.push(locker.send(`${wanted.length - 1}`, null, { channel: step.channel }))
        } else if (step.kind === 'turns') await turns(step.count)
        else street.world.clock.advance(step.ms)
      }
      let kept = 0
      for (const sent of up) void sent.then(() => kept++)
      await street.until(() => got.length >= down.length && kept === up.length, 'all came', 20)
      const events = await street.events('locker')
      for (const name of ['main', 'urgent', 'media']) {
        const of = (list: string[]) => list.filter((one) => one.startsWith(name))
        assert.deepEqual(of(got), of(down))
        assert.deepEqual(of(events), of(wanted))
      }
      // Where each stands is what the record says.
      const lone = Object.values(channels).filter((one) => 'connection' in one).length
      const expected = lone + (lone === 3 ? 0 : 1)
      await street.until(
        () =>
          ['main', 'urgent', 'media'].every((name) => locker.stateOf(name)?.kind === 'running') &&
          street.connections === expected,
        `on ${expected} connections`,
        20,
      )
      await locker.stop()
    }),
    { numRuns: 100 },
  )
})
