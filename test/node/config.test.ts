import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { limits } from '../../src/contract/index.ts'
import { type Config, loadConfig, type Sources } from '../../src/node/config.ts'
import { limitNames } from '../../src/node/limit-settings.ts'

const folder = mkdtempSync(join(tmpdir(), 'pike-config-'))
after(() => rmSync(folder, { recursive: true }))

let files = 0
function yaml(content: string): string {
  const file = join(folder, `${files++}.yaml`)
  writeFileSync(file, content)
  return file
}

function load(sources: Partial<Sources>): Config {
  const loaded = loadConfig({ flags: {}, env: {}, ...sources })
  assert.ok(loaded.ok, loaded.ok ? '' : loaded.problem)
  return loaded.config
}

function problem(sources: Partial<Sources>): string {
  const loaded = loadConfig({ flags: {}, env: {}, ...sources })
  assert.ok(!loaded.ok, 'it was taken')
  assert.ok(!loaded.problem.includes('\n'), 'more than one line')
  return loaded.problem
}

test('nothing given: the defaults of the documents', () => {
  assert.deepEqual(load({}), {
    dataDir: './data',
    apiKey: undefined,
    apiHost: '127.0.0.1',
    apiPort: 8080,
    deviceHost: '0.0.0.0',
    tcpPort: 7450,
    tlsPort: 7451,
    mqttPort: 1883,
    mqttsPort: 8883,
    mqttWsPort: 8083,
    httpPort: 8081,
    httpsPort: 8443,
    coapPort: 5683,
    coapBareSecrets: 'loopback',
    mqttTopics: { events: undefined, commands: undefined, replies: undefined },
    tls: undefined,
    engine: 'level',
    independentChannels: [],
    webhookAllow: [],
    logLevel: 'info',
    limits,
  })
})

test('each limit by itself: flags win over the environment, the environment over the file', () => {
  const file = yaml('limits:\n  keysMax: 1\n  appsMax: 1\n  waitersMax: 1\n')
  const env = { PIKE_LIMITS: ' keysMax=2, appsMax = 2,' }
  const flags = { limit: 'keysMax=3' }
  const loaded = loadConfig({ flags, env, file })
  assert.ok(loaded.ok)
  const { keysMax, appsMax, waitersMax, streamsMax } = loaded.config.limits
  assert.deepEqual([keysMax, appsMax, waitersMax, streamsMax], [3, 2, 1, limits.streamsMax])
  const origin = (name: string) => loaded.limits.find((one) => one.name === name)?.origin
  assert.deepEqual(['keysMax', 'appsMax', 'waitersMax', 'streamsMax'].map(origin), [
    'flag',
    'environment',
    file,
    'default',
  ])
  const row = loaded.chosen.find(({ name }) => name === 'PIKE_LIMITS')
  assert.equal(row?.value, 'waitersMax=1,appsMax=2,keysMax=3')
  assert.deepEqual(loaded.unknown, [])
})

test('every limit may be given its default', () => {
  const all = limitNames.map((name) => `${name}=${limits[name]}`).join(',')
  assert.deepEqual(load({ flags: { limit: all } }).limits, limits)
})

test('flags win over the environment, the environment over the file, the file over defaults', () => {
  const file = yaml('api-port: 1\ntcp-port: 1\ntls-port: 1\n')
  const env = { PIKE_API_PORT: '2', PIKE_TCP_PORT: '2' }
  const flags = { 'api-port': '3' }
  const config = load({ flags, env, file })
  assert.deepEqual([config.apiPort, config.tcpPort, config.tlsPort], [3, 2, 1])

  const loaded = loadConfig({ flags, env, file })
  assert.ok(loaded.ok)
  const origin = (name: string) => loaded.chosen.find((one) => one.name === name)?.origin
  assert.equal(origin('PIKE_API_PORT'), 'flag')
  assert.equal(origin('PIKE_TCP_PORT'), 'environment')
  assert.equal(origin('PIKE_TLS_PORT'), file)
  assert.equal(origin('PIKE_API_HOST'), 'default')
})

test('an empty value is no value', () => {
  const config = load({ env: { PIKE_API_KEY: '', PIKE_API_PORT: '' }, flags: { 'data-dir': '' } })
  assert.deepEqual([config.apiKey, config.apiPort, config.dataDir], [undefined, 8080, './data'])
})

test('a port may be off, 0, or what YAML makes of off', () => {
  const config = load({
    env: { PIKE_TCP_PORT: 'off', PIKE_API_PORT: '0' },
    file: yaml('tls-port: false\n'),
  })
  assert.deepEqual([config.tcpPort, config.apiPort, config.tlsPort], ['off', 0, 'off'])
})

test('a file may be empty, and may leave values out', () => {
  assert.equal(load({ file: yaml('# nothing\n') }).apiPort, 8080)
  assert.equal(load({ file: yaml('api-port:\n') }).apiPort, 8080)
})

test('secrets are masked, also in what is said about a bad one', () => {
  const secret = 'correct-horse'
  const loaded = loadConfig({ flags: {}, env: { PIKE_API_KEY: secret } })
  assert.ok(loaded.ok)
  assert.equal(loaded.config.apiKey, secret)
  assert.ok(!JSON.stringify(loaded.chosen).includes(secret))
  assert.ok(!problem({ env: { PIKE_API_KEY: `${secret} staple` } }).includes(secret))
})

test('settings of coming versions are accepted, checked and marked', () => {
  const loaded = loadConfig({ flags: {}, env: { PIKE_COAPS_PORT: '1884' } })
  assert.ok(loaded.ok)
  const coaps = loaded.chosen.find((one) => one.name === 'PIKE_COAPS_PORT')
  assert.deepEqual([coaps?.value, coaps?.later], ['1884', true])
  problem({ env: { PIKE_COAPS_PORT: 'coaps' } })
})

test('a name nobody knows in the environment is told, not fatal', () => {
  const loaded = loadConfig({
    flags: {},
    env: { PIKE_API_PROT: '1', PIKE_API_URL: 'x', HOME: '/' },
    alsoKnown: ['PIKE_API_URL'],
  })
  assert.ok(loaded.ok)
  assert.deepEqual(loaded.unknown, ['PIKE_API_PROT'])
})

const bad: readonly [name: string, sources: Partial<Sources>, ...says: RegExp[]][] = [
  [
    'a port of letters',
    { env: { PIKE_API_PORT: '80a' } },
    /PIKE_API_PORT/,
    /environment/,
    /"80a"/,
    /use/,
  ],
  ['a port too high', { flags: { 'tcp-port': '65536' } }, /PIKE_TCP_PORT/, /--tcp-port/, /"65536"/],
  [
    'a negative port in the file',
    { file: yaml('api-port: -1\n') },
    /PIKE_API_PORT/,
    /yaml/,
    /"-1"/,
  ],
  [
    'what no channel can be called',
    { flags: { 'independent-channels': 'media, a/b' } },
    /PIKE_INDEPENDENT_CHANNELS/,
    /--independent-channels/,
    /"a\/b"/,
  ],
  ['a URL as address', { env: { PIKE_API_HOST: 'http://x' } }, /PIKE_API_HOST/, /without scheme/],
  ['an engine nobody has', { env: { PIKE_ENGINE: 'mysql' } }, /PIKE_ENGINE/, /level, memory/],
  ['an engine of a later version', { env: { PIKE_ENGINE: 'redis' } }, /not in this version/],
  ['a log level nobody has', { env: { PIKE_LOG_LEVEL: 'loud' } }, /PIKE_LOG_LEVEL/, /info/],
  ['a certificate without its key', { env: { PIKE_TLS_CERT: 'c' } }, /PIKE_TLS_KEY/, /both/],
  ['a key without its certificate', { env: { PIKE_TLS_KEY: 'k' } }, /PIKE_TLS_CERT/, /both/],
  ['a file that is not there', { file: join(folder, 'none.yaml') }, /none\.yaml/, /no such file/],
  ['a folder as file', { file: folder }, /cannot be read/],
  ['a file that is not YAML', { file: yaml('a: [1\n') }, /not YAML/],
  ['a file that is a list', { file: yaml('- 1\n') }, /one a line/],
  ['an unknown key in the file', { file: yaml('api-prot: 1\n') }, /"api-prot"/, /pike config/],
  ['a key named __proto__', { file: yaml('__proto__: 1\n') }, /"__proto__"|no settings/],
  ['a nested value', { file: yaml('api-port: {a: 1}\n') }, /"api-port"/, /plain value/],
  [
    'a limit nobody has',
    { flags: { limit: 'mailboxMaxComands=5' } },
    /mailboxMaxComands/,
    /--limit/,
    /mailboxMaxCommands/,
  ],
  ['a limit without value', { env: { PIKE_LIMITS: 'keysMax' } }, /keysMax/, /PIKE_LIMITS/, /=/],
  ['a limit in words', { flags: { limit: 'keysMax=ten' } }, /"ten"/, /whole number/],
  ['a negative limit', { flags: { limit: 'keysMax=-1' } }, /"-1"/],
  ['a limit that is too small', { flags: { limit: 'idempotencyMs=24' } }, /60000 or more/],
  ['a limit that is too large', { flags: { limit: 'nameMaxBytes=1000' } }, /128 or less/],
  ['a limit of the API itself', { flags: { limit: 'ttlMaxMs=1000' } }, /cannot be set/],
  ['one limit twice', { flags: { limit: 'keysMax=1,keysMax=2' } }, /twice, 1 and 2/],
  [
    'limits that do not go together',
    { flags: { limit: 'payloadMaxBytes=1000000' } },
    /payloadMaxBytes/,
    /frameMaxBytes|linkMaxBytes/,
    /set both/,
  ],
  ['limits as a list', { file: yaml('limits: [1]\n') }, /yaml/, /mailboxMaxCommands: 500/],
  ['a nested limit', { file: yaml('limits: {keysMax: {a: 1}}\n') }, /keysMax/, /one number/],
  [
    'a limit smuggled into another',
    { file: yaml('limits: {keysMax: "1,appsMax=1"}\n') },
    /keysMax/,
  ],
  ['a limit called __proto__', { env: { PIKE_LIMITS: '__proto__=1' } }, /no such limit/],
  ['the flag as a key in the file', { file: yaml('limit: keysMax=1\n') }, /"limit"/],
  ['aliases that explode', { file: yaml('a: &a [1]\nb: [*a, *a]\n') }, /not YAML|no setting/],
]
for (const [name, sources, ...says] of bad)
  test(`one line says what is wrong: ${name}`, () => {
    const line = problem(sources)
    for (const what of says) assert.match(line, what)
  })
