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
  assert.equal(row('PIKE_MQTT_PORT')?.notInThisVersion, true)
  assert.equal(row('PIKE_TLS_CERT')?.value, null)

  const text = await runPike(['config'], env)
  assert.match(text.stdout, /PIKE_API_PORT +9000 +environment/)
  assert.match(text.stdout, /MQTT over TCP \[not in this version\]/)
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

test('every command explains itself, with an example', async () => {
  const commands = ['serve', 'demo', 'device add', 'device list', 'device show', 'device remove']
  commands.push('send', 'show', 'explain', 'cancel', 'events', 'locker', 'config')
  const { stdout } = await runPike(['--help'])
  for (const command of commands)
    assert.match(stdout, new RegExp(`^  ${command.split(' ')[0]}\\b`, 'm'))
  const helps = await Promise.all(commands.map((one) => runPike([...one.split(' '), '--help'])))
  for (const [index, help] of helps.entries()) {
    assert.equal(help.code, 0)
    assert.match(help.stdout, new RegExp(`Examples?:\\n +.*pike ${commands[index]}`))
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
