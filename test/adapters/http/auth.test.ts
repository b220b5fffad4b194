import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Doorman, readAuthorization } from '../../../adapters/http/auth.ts'
import { FakeCore, strongSecret } from '../pike/fake-core.ts'
import { basic } from './rig.ts'

const peer = '10.0.0.1'

test('who somebody says to be, by Basic and by Bearer', () => {
  const claimed = { app: 'default', device: 'SZ-0042', secret: 'a:b' }
  const text = Buffer.from('SZ-0042:a:b').toString('base64')
  assert.deepEqual(readAuthorization(`Basic ${text}`), claimed)
  assert.deepEqual(readAuthorization(`bearer SZ-0042:a:b`), claimed)
  assert.deepEqual(readAuthorization('Bearer acme/SZ-0042:s'), {
    app: 'acme',
    device: 'SZ-0042',
    secret: 's',
  })
  for (const header of [
    '',
    'Basic',
    'Basic !!!',
    'Digest x',
    'Bearer SZ-0042',
    'Bearer :s',
    'Bearer SZ-0042:',
    'Bearer a/b/c:s',
    `Bearer SZ-0042:${'s'.repeat(2_000)}`,
  ])
    assert.equal(readAuthorization(header), undefined, header)
})

test('a proved secret is believed for 10 s and proved once, however many ask at the same time', async () => {
  const core = new FakeCore()
  const doorman = new Doorman(core)
  const header = basic('SZ-0042', strongSecret)
  const all = await Promise.all(Array.from({ length: 20 }, () => doorman.prove(header, peer)))
  for (const one of all) assert.ok('device' in one && one.device === 'SZ-0042', 'proved')
  assert.equal(core.asked.length, 2, 'looked up before and after judging, once')
  core.clock.advance(9_999)
  assert.ok('device' in (await doorman.prove(header, peer)), 'believed')
  assert.equal(core.asked.length, 2)
  core.clock.advance(1)
  await doorman.prove(header, peer)
  assert.equal(core.asked.length, 4, 'proved again')
})

test('what a device proved is forgotten with it; a new secret is asked for afresh', async () => {
  const core = new FakeCore()
  const doorman = new Doorman(core)
  const header = basic('SZ-0042', strongSecret)
  await doorman.prove(header, peer)
  doorman.forget({ app: 'default', device: 'SZ-0042' })
  core.add('SZ-0042', { secret: 'another-secret-of-128-bits' })
  const refused = await doorman.prove(header, peer)
  assert.ok('problem' in refused && refused.problem === 'unauthorized', 'refused')
})

test('a wrong secret is never remembered: each counts, and no header is guessed for free', async () => {
  const core = new FakeCore()
  const doorman = new Doorman(core)
  for (let i = 0; i < 3; i++) {
    const refused = await doorman.prove(basic('SZ-0042', 'a-wrong-secret-of-128-bits'), peer)
    assert.ok('problem' in refused && refused.problem === 'unauthorized', 'refused')
  }
  assert.equal(core.wrong.length, 3)
  assert.equal(doorman.remembered, 0)
  core.limited = true
  const limited = await doorman.prove(basic('SZ-0042', strongSecret), peer)
  assert.ok('problem' in limited && limited.problem === 'rate-limited', 'limited')
})

test('who proved itself before is proved again however many guess meanwhile, and once', async () => {
  const core = new FakeCore()
  const doorman = new Doorman(core)
  const header = basic('SZ-0042', strongSecret)
  await doorman.prove(header, peer)
  core.clock.advance(10_000)
  const guesses = Array.from({ length: 65 }, (_, i) =>
    doorman.prove(basic(`d${i}`, strongSecret), peer),
  )
  const again = await doorman.prove(header, peer)
  assert.ok('device' in again && again.device === 'SZ-0042', 'proved')
  core.clock.advance(10_000)
  core.add('SZ-0042', { secret: 'another-secret-of-128-bits' })
  const [refused] = await Promise.all([doorman.prove(header, peer), ...guesses])
  assert.ok('problem' in refused && refused.problem === 'unauthorized', 'its secret is another now')
  assert.equal(doorman.remembered, 0)
})

test('more secrets than may be proved at once are refused as overloaded', async () => {
  const core = new FakeCore()
  const doorman = new Doorman(core)
  const all = await Promise.all(
    Array.from({ length: 65 }, (_, i) => doorman.prove(basic(`d${i}`, strongSecret), peer)),
  )
  const last = all.at(-1)!
  assert.ok('problem' in last && last.problem === 'overloaded', 'the last one')
})
