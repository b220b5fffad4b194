import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Firmware, garbageStory, lockerStory, wrongSecretStory } from './firmware-story.ts'

/** devices/python/pike.py: its rules without a wire, and its locker against a real gateway. */

const file = path.normalize(fileURLToPath(new URL('../../devices/python/pike.py', import.meta.url)))
const firmware: Firmware = ['python3', file]

/** Runs these lines behind a client that never connected; each `check` has to be true. */
const python = (lines: string): string =>
  execFileSync('python3', ['-B', '-c', `${before}\n${lines}\nprint('good')`], { encoding: 'utf8' })

const before = `
import sys
sys.path.insert(0, ${JSON.stringify(path.dirname(file))})
from pike import *
acted = []
p = Pike('127.0.0.1', 1, 'SZ-0042', 'J7tYq0m3Vb2kXw9RfLhN5sPzA1c', log=lambda *words: None)
def act(c): acted.append(c.offset); return DONE, None, b'{}'
def check(what, why): assert what, (why, p.kept, acted)
def hand(offset, left=60, epoch=9):
    p.inhand[epoch, offset] = None
    p.handle(Command(epoch, offset, clock() + left, 'open', b'', False, True, False, False), act)
`

test('pike.py makes the keys of the vectors, of weak secrets too', () => {
  const said = python(`
check(p.client.hex() == '4ac968e587cbac948b3efa4fb715e682fd55e25667128ca8631f18163aa8ddea', 'client key')
weak = Pike('127.0.0.1', 1, 'SZ-0042', 'correct horse', app='parcels')
check(weak.weak and not p.weak, 'which is weak')
check(weak.server.hex() == '5cc6779b9f49dd1692dc388911e17a40afce3ad0321e95299d661b2b65ddac77', 'server key')
`)
  assert.equal(said, 'good\n')
})

test('pike.py acts once, refuses what is late, and stands before it until the refusal is kept', () => {
  const said = python(`
hand(1); hand(1)
check(acted == [1] and p.kept['position'] == [9, 1], 'once')
hand(2, left=-1)
check(acted == [1], 'late')
check(p.kept['outbox'][-1][1:] == [REPLY, 1, 9, 2, '0202046c617465'], 'refused')
hand(3)
check(acted == [1, 3] and p.kept['position'] == [9, 1], 'HELLO stays before it')
hand(2)
check(acted == [1, 3] and len(p.kept['outbox']) == 3, 'not acted on later, either')
p.drop(2)
check(p.kept['position'] == [9, 3] and len(p.kept['outbox']) == 1, 'and goes on')
hand(1, epoch=4)
check(acted == [1, 3, 1], 'another epoch')
`)
  assert.equal(said, 'good\n')
})

test('pike.py: an act that raises is a failed command, and its outbox has a bound', () => {
  const said = python(`
def act(c): raise ValueError('stuck')
hand(1)
check(p.kept['outbox'][0][5] == '0101' + text('crashed').hex(), 'failed')
while p.event('door-opened'): pass
check(len(p.kept['outbox']) == OUTBOX_MAX, 'full')
`)
  assert.equal(said, 'good\n')
})

test('the Python locker: every door once, whoever of the two is killed', () =>
  lockerStory(firmware))

test('the Python locker with a wrong secret stops and says why', () => wrongSecretStory(firmware))

test('the Python locker meets ports that are no gateway and goes on', () => garbageStory(firmware))
