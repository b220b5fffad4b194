import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runPike } from '../support/pike-process.ts'

test('pike config: values, origins, secrets masked, what is not in this version', async () => {
  const env = { PIKE_API_PORT: '9000', PIKE_API_KEY: 'correct-horse', PIKE_API_PROT: '1' }
  const json = await runPike(['config', '--json', '--tcp-port', 'off'], env)
  assert.equal(json.code, 0, json.stderr)
  const rows = JSON.parse(json.stdout) as { name: string; [more: string]: unknown }[]
  const row = (name: string) => rows.find((one) => one.name === name)
  assert.deepEqual(
    [row('PIKE_API_PORT')?.value, row('PIKE_API_PORT')?.origin],
    ['9000', 'environment'],
  )
  assert.deepEqual([row('PIKE_TCP_PORT')?.value, row('PIKE_TCP_PORT')?.origin], ['off', 'flag'])
  assert.equal(row('PIKE_COAPS_PORT')?.notInThisVersion, true)
  assert.equal(row('PIKE_TLS_CERT')?.value, null)

  const text = await runPike(['config'], env)
  assert.match(text.stdout, /PIKE_API_PORT +9000 +environment/)
  assert.match(text.stdout, /CoAP over DTLS \[not in this version\]/)
  assert.match(text.stderr, /PIKE_API_PROT/)
  assert.ok(!(json.stdout + text.stdout + text.stderr).includes('correct-horse'))
})

test('a bad value is one line that names it, and exit code 1', async () => {
  for (const command of ['config', 'serve']) {
    const { code, stdout, stderr } = await runPike([command], { PIKE_API_PORT: '80a' })
    assert.equal(code, 1)
    assert.equal(stdout, '')
    assert.match(stderr, /^pike: PIKE_API_PORT \(from the environment\): "80a" [^\n]+\n$/)
  }
})

test('pike config --limits: every limit with its origin; the flag may be repeated', async () => {
  const flags = ['--limit', 'keysMax=2', '--limit', 'appsMax=3']
  const env = { PIKE_LIMITS: 'keysMax=9,waitersMax=4' }
  const { stdout } = await runPike(['config', '--limits', ...flags], env)
  assert.match(stdout, /^keysMax +2 +flag$/m)
  assert.match(stdout, /^appsMax +3 +flag$/m)
  assert.match(stdout, /^waitersMax +4 +environment$/m)
  assert.match(stdout, /^patrolMs +40000 +default$/m)
  const { stdout: settings } = await runPike(['config', ...flags], {})
  assert.match(settings, /^PIKE_LIMITS +appsMax=3,keysMax=2 +flag /m)
})

test('a limit nobody has stops the start with one line that names the nearest', async () => {
  const { code, stderr } = await runPike(['serve', '--limit', 'keyMax=2'], {})
  assert.equal(code, 1)
  assert.match(stderr, /^pike: limit keyMax \(from the flag --limit\): [^\n]*keysMax[^\n]*\n$/)
})

test('every command explains itself, with an example', async () => {
  const families = {
    device: 'add import list show rotate-secret disable enable remove',
    alias: 'set show list remove',
    tag: 'add remove list',
    broadcast: 'start show list devices stop',
    webhook: 'set show list rotate-secret remove dead-letters resend discard',
    app: 'set list show remove',
    key: 'create list show revoke',
  }
  const commands = 'serve demo broadcast send show explain cancel history events'.split(' ')
  commands.push('backup', 'restore', 'check', 'locker', 'config')
  for (const [family, members] of Object.entries(families))
    commands.push(...members.split(' ').map((member) => `${family} ${member}`))
  const { stdout } = await runPike(['--help'])
  for (const command of commands)
    assert.match(stdout, new RegExp(`^  ${command.split(' ')[0]}\\b`, 'm'))
  for (let at = 0; at < commands.length; at += 4) {
    const some = commands.slice(at, at + 4)
    const helps = await Promise.all(some.map((one) => runPike([...one.split(' '), '--help'])))
    for (const [index, help] of helps.entries()) {
      assert.equal(help.code, 0)
      assert.match(help.stdout, new RegExp(`Examples?:\\n +.*pike ${some[index]}`))
    }
  }
})

test('a gateway that is not there is said, with what to do', async () => {
  const { code, stderr } = await runPike(['device', 'list'], {
    PIKE_API_URL: 'http://127.0.0.1:9',
    PIKE_API_KEY: 'x',
  })
  assert.equal(code, 1)
  assert.match(stderr, /cannot reach the gateway at http:\/\/127\.0\.0\.1:9 .*\n.*pike serve/)
})
