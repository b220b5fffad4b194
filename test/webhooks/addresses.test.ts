import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Addresses, notUnderstood } from '../../src/webhooks/addresses.ts'
import { Receiver } from './receiver.ts'
import { PushWorld } from './world.ts'

const inward = [
  // ourselves
  'http://127.0.0.1/',
  'http://127.255.255.254:8080/',
  'http://localhost/',
  'http://LOCALHOST./',
  'http://0.0.0.0/',
  'http://[::1]/',
  'http://[::]/',
  // the same, written otherwise
  'http://127.1/',
  'http://0x7f.0.0.1/',
  'http://017700000001/',
  'http://2130706433/',
  'http://127.0.0.1./',
  'http://%31%32%37.0.0.1/',
  'http://１２７.0.0.1/',
  'http://[::ffff:127.0.0.1]/',
  'http://[::ffff:7f00:1]/',
  'http://[::ffff:a00:1]/',
  'http://[::127.0.0.1]/',
  'http://[64:ff9b::127.0.0.1]/',
  'http://[64:ff9b::a9fe:a9fe]/',
  'http://[64:ff9b:1::1]/',
  'http://[2002:7f00:1::]/',
  'http://[2001:0:1::1]/',
  // private networks
  'http://10.0.0.1/',
  'http://172.16.0.1/',
  'http://172.31.255.255/',
  'http://192.168.1.1/',
  'http://100.64.0.1/',
  'http://[fc00::1]/',
  'http://[fd12:3456::1]/',
  // the link, and metadata of clouds
  'http://169.254.169.254/latest/meta-data/',
  'http://[fe80::1]/',
  'http://[fd00:ec2::254]/',
  'http://168.63.129.16/',
  'http://100.100.100.200/',
  'http://192.0.0.192/',
  // nobody's
  'http://192.0.2.1/',
  'http://198.51.100.1/',
  'http://203.0.113.1/',
  'http://198.18.0.1/',
  'http://224.0.0.1/',
  'http://240.0.0.1/',
  'http://255.255.255.255/',
  'http://[ff02::1]/',
  'http://[2001:db8::1]/',
  'http://[3fff::1]/',
  'http://[fec0::1]/',
]

const outward = [
  'http://8.8.8.8/',
  'https://1.1.1.1:8443/x?y=z#w',
  'http://172.15.255.255/',
  'http://172.32.0.1/',
  'http://100.63.255.255/',
  'http://[2606:4700:4700::1111]/',
  'http://[::ffff:8.8.8.8]/',
  'http://[64:ff9b::8.8.8.8]/',
]

const nowhere = async () => []
const strict = () => new Addresses([], () => 0, nowhere)

for (const url of inward) {
  test(`${url} points inward`, async () => {
    const lookup = async () => [{ address: '127.0.0.1', family: 4 }]
    const why = await new Addresses([], () => 0, lookup).refuses(url)
    assert.match(String(why), /not a public address/)
  })
}

test('what is public may be called, at any port', async () => {
  for (const url of outward) assert.equal(await strict().refuses(url), undefined, url)
})

test('what is no plain web address is refused', async () => {
  const wrong = [
    ['ftp://example.com/', /http or https/],
    ['file:///etc/passwd', /http or https/],
    ['gopher://example.com/', /http or https/],
    ['http://user:word@example.com/', /user or password/],
    ['http://user@example.com/', /user or password/],
    ['example.com', /no URL/],
    ['http://', /no URL/],
    [`http://example.com/${'x'.repeat(2_048)}`, /longer than/],
  ] as const
  for (const [url, why] of wrong) assert.match(String(await strict().refuses(url)), why, url)
})

test('a name is judged by all its addresses', async () => {
  const both = async () => [
    { address: '93.184.216.34', family: 4 },
    { address: '::1', family: 6 },
  ]
  assert.match(
    String(await new Addresses([], () => 0, both).refuses('http://two.example/')),
    /not a public address/,
  )
  const odd = async () => [{ address: 'fe80::1%eth0', family: 6 }]
  assert.match(
    String(await new Addresses([], () => 0, odd).refuses('http://odd.example/')),
    /not a public address/,
  )
})

test('a name that cannot be looked up now is left to the moment of connecting', async () => {
  const failing = () => Promise.reject(Object.assign(new Error('no'), { code: 'EAI_AGAIN' }))
  const addresses = new Addresses([], () => 0, failing)
  assert.equal(await addresses.refuses('http://later.example/'), undefined)
})

test('who is allowed: words, addresses, networks, names', async () => {
  const lookup = async () => [{ address: '10.1.2.3', family: 4 }]
  const table: [string, string, boolean][] = [
    ['loopback', 'http://127.9.9.9/', true],
    ['loopback', 'http://[::1]/', true],
    ['loopback', 'http://[::ffff:127.0.0.1]/', true],
    ['loopback', 'http://10.0.0.1/', false],
    ['private', 'http://10.0.0.1/', true],
    ['private', 'http://[fd00::1]/', true],
    ['private', 'http://127.0.0.1/', false],
    ['private', 'http://169.254.169.254/', false],
    ['10.1.0.0/16', 'http://10.1.2.3/', true],
    ['10.1.0.0/16', 'http://10.2.2.3/', false],
    ['192.168.1.5', 'http://192.168.1.5/', true],
    ['192.168.1.5', 'http://192.168.1.6/', false],
    ['fd00::/8', 'http://[fd12::1]/', true],
    ['hooks.internal', 'http://hooks.internal:9000/', true],
    ['hooks.internal', 'http://HOOKS.internal./', true],
    ['hooks.internal', 'http://other.internal/', false],
    ['hooks.internal', 'http://evil-hooks.internal/', false],
    ['10.1.2.3', 'http://other.internal/', true],
  ]
  for (const [allow, url, may] of table) {
    const why = await new Addresses([allow], () => 0, lookup).refuses(url)
    assert.equal(why === undefined, may, `${allow} ${url}`)
  }
})

test('what nobody understands in the list is said at the start', () => {
  assert.equal(notUnderstood(['loopback', 'private', '10.0.0.0/8', 'a.b', '::1']), undefined)
  assert.match(notUnderstood(['10.0.0.0/33'])!, /no CIDR/)
  assert.match(notUnderstood(['10.0.0.300'])!, /no host name/)
  assert.match(notUnderstood(['http://a.b/'])!, /no host name/)
  assert.match(notUnderstood(['*'])!, /no host name/)
})

test('rule 33: a name that means something else when it is called is not called (DNS rebinding)', async () => {
  const receiver = await Receiver.open()
  let asked = 0
  const world = await PushWorld.open({
    allow: [],
    lookup: async () => [{ address: asked++ === 0 ? '93.184.216.34' : '127.0.0.1', family: 4 }],
  })
  const url = `http://rebind.example:${receiver.port}/`
  assert.equal(await world.webhooks.refuses(url), undefined)
  await world.pass(60_000)
  await world.hook(url)
  await world.say('SZ-1')
  await world.until(async () => (await world.status()).failedAttempts >= 2, 500)
  assert.equal(receiver.got.length, 0)
  assert.match((await world.status()).lastError!.text, /refused: rebind.example is not a public/)
  await world.close()
  await receiver.close()
})

test('an allowed name is called wherever it points', async () => {
  const receiver = await Receiver.open()
  const world = await PushWorld.open({
    allow: ['hooks.internal'],
    lookup: async () => [{ address: '127.0.0.1', family: 4 }],
  })
  await world.hook(`http://hooks.internal:${receiver.port}/`)
  await world.say('SZ-1')
  await world.until(() => receiver.taken.length === 1)
  assert.equal(receiver.got[0]!.headers.host, `hooks.internal:${receiver.port}`)
  await world.close()
  await receiver.close()
})

test('a literal address is judged at every attempt', async () => {
  const receiver = await Receiver.open()
  const world = await PushWorld.open({ allow: [] })
  await world.hook(receiver.url)
  await world.say('SZ-1')
  await world.until(async () => (await world.status()).failedAttempts >= 2, 500)
  assert.equal(receiver.got.length, 0)
  await world.close()
  await receiver.close()
})
