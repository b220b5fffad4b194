import assert from 'node:assert/strict'
import { test } from 'node:test'
import { markdownToHtml } from '../../src/api/markdown.ts'
import { World } from './world.ts'

/** As a browser asks: no key. */
async function read(world: World, url: string, headers: Record<string, string> = {}) {
  const answer = await world.app.inject({ method: 'GET', url, headers })
  return {
    status: answer.statusCode,
    type: String(answer.headers['content-type']),
    headers: answer.headers as Record<string, string | undefined>,
    text: answer.payload,
  }
}

const linked = (html: string): string[] =>
  [...html.matchAll(/(?:src|href)="([^"#]+)"/g)].map(([, to]) => to!)

test('/docs is a page that needs no key and loads nothing from elsewhere', async () => {
  const world = await World.open()
  const { status, type, headers, text } = await read(world, '/docs')
  assert.equal(status, 200)
  assert.match(type, /^text\/html/)
  const policy = headers['content-security-policy']!
  assert.match(policy, /default-src 'none'/)
  assert.match(policy, /script-src 'self'(;|$)/)
  assert.match(policy, /connect-src 'self'(;|$)/)
  assert.doesNotMatch(policy, /unsafe|https?:|\*/)
  assert.equal(headers['x-content-type-options'], 'nosniff')
  assert.doesNotMatch(text, /<script>|<style|style=|onload=/, 'the policy forbids what is inline')
  const assets = linked(text)
  assert.ok(assets.length >= 5)
  for (const asset of assets) {
    assert.match(asset, /^\/docs\//)
    const got = await read(world, asset)
    assert.equal(got.status, 200, asset)
    assert.equal(got.headers['content-security-policy'], policy, asset)
    if (got.headers.etag !== undefined) {
      const again = await read(world, asset, { 'if-none-match': got.headers.etag })
      assert.equal(again.status, 304, asset)
    }
  }
  await world.close()
})

test('the page reads the same description as programs do, and a key entered there is forgotten with it', async () => {
  const world = await World.open()
  const { text: script } = await read(world, '/docs/static/swagger-initializer.js')
  assert.match(script, /resolveUrl\('\.\/json'\)/)
  assert.match(script, /"persistAuthorization":\s*false/)
  assert.match(script, /validatorUrl: null/)
  const own = JSON.parse((await read(world, '/docs/json')).text)
  const { externalDocs, ...rest } = own
  assert.deepEqual(rest, JSON.parse((await read(world, '/openapi.json')).text))
  assert.equal(externalDocs.url, '/docs/back-end')
  const paths = Object.keys(rest.paths)
  assert.ok(!paths.some((path) => path.startsWith('/docs')))
  await world.close()
})

test('the guides are served beside it, and lead only where something is', async () => {
  const world = await World.open()
  for (const guide of ['back-end', 'operations', 'limits', 'pike-protocol', 'architecture']) {
    const { status, type, headers, text } = await read(world, `/docs/${guide}`)
    assert.equal(status, 200, guide)
    assert.match(type, /^text\/html/)
    assert.match(headers['content-security-policy']!, /default-src 'none'/)
    assert.match(text, /<h1 id=/)
    for (const to of linked(text)) {
      if (/^https?:/.test(to)) continue
      const url = new URL(to, `http://here/docs/${guide}`).pathname
      assert.equal((await read(world, url)).status, 200, `${guide} leads to ${to}`)
    }
    assert.equal(
      (await read(world, `/docs/${guide}`, { 'if-none-match': headers.etag! })).status,
      304,
    )
  }
  await world.close()
})

test('what is not there is a problem, as everywhere', async () => {
  const world = await World.open()
  for (const url of [
    '/docs/nothing',
    '/docs/__proto__',
    '/docs/yaml',
    '/docs/static/nothing.js',
    '/docs/static/../../package.json',
    '/docs/static/%2e%2e/%2e%2e/package.json',
    '/docs/static/..%2f..%2fpackage.json',
    '/docs/static/%00',
    '/doc',
  ]) {
    const { status, type, text } = await read(world, url)
    assert.ok(status === 400 || status === 404, `${url}: ${status} ${text.slice(0, 80)}`)
    assert.match(type, /^application\/problem\+json/, url)
    assert.match(JSON.parse(text).type, /^\/problems\//)
  }
  const post = await world.app.inject({ method: 'POST', url: '/docs' })
  assert.equal(post.statusCode, 405)
  const long = await read(world, `/docs/${'x'.repeat(600)}`)
  assert.equal(long.status, 414)
  await world.close()
})

test('the rest of the API answers as before', async () => {
  const world = await World.open()
  assert.equal((await world.call('GET', '/v1/devices', { key: '' })).status, 401)
  const { status, body } = await world.call('PUT', '/v1/devices/SZ-1', { raw: '{' })
  assert.deepEqual([status, body.type], [400, '/problems/malformed-json'])
  const xml = await world.call('POST', '/v1/devices/SZ-1/commands', {
    raw: '<a/>',
    headers: { 'content-type': 'text/xml' },
  })
  assert.equal(xml.status, 415)
  await world.close()
})

test('what our pages use of Markdown becomes HTML; everything else is text', () => {
  const html = (text: string) => markdownToHtml(text)
  assert.equal(html('# The `x` page\n'), '<h1 id="the-x-page">The <code>x</code> page</h1>')
  assert.equal(html('a\n**b** <c>\n\nd'), '<p>a\n<strong>b</strong> &lt;c&gt;</p>\n<p>d</p>')
  assert.equal(html('```sh\na <b>\n\n# c\n```'), '<pre><code>a &lt;b&gt;\n\n# c</code></pre>')
  assert.equal(html('- a\n- b\n  c\n'), '<ul><li>a</li>\n<li>b\nc</li></ul>')
  assert.equal(html('1. a\n2. b'), '<ol><li>a</li>\n<li>b</li></ol>')
  assert.equal(
    html('| a | b |\n|---|---|\n| `x` | 1 \\| 2 |'),
    '<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td><code>x</code></td><td>1 | 2</td></tr></tbody></table>',
  )
  assert.equal(
    html('[l](limits.md#a) [h](https://x.y/z) [d](decisions/1.md) [j](javascript:alert(1))'),
    '<p><a href="limits#a">l</a> <a href="https://x.y/z">h</a> d j)</p>',
  )
  assert.equal(html('`**a** [b](c)`'), '<p><code>**a** [b](c)</code></p>')
})
