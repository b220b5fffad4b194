/**
 * Five minutes with Pike IoT, for a back end in TypeScript. Before: a gateway, and a locker to play with.
 *
 *     npx pike serve --webhook-allow loopback
 *     npx pike locker SZ-0042 --doors 12
 *     PIKE_API_KEY=$(cat data/api-key) npx tsx five-minutes.ts
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PikeBackend, verifyWebhook, WebhookNotGenuine } from 'pike-iot/backend'

const pike = new PikeBackend({
  url: process.env.PIKE_API_URL ?? 'http://127.0.0.1:8080',
  key: process.env.PIKE_API_KEY ?? '',
})

// 1. Register 1,000 devices. Each secret is shown this once: it goes into the device.
const lockers = Array.from({ length: 1_000 }, (_, number) => ({
  device: `berlin-${String(number + 1).padStart(4, '0')}`,
  tags: ['berlin'],
  attributes: { doors: 24 },
}))
const secrets = new Map<string, string>()
for await (const answer of pike.devices.import(lockers, { makeSecrets: true })) {
  if ('problem' in answer) console.error(`line ${answer.line}: ${answer.problem.detail}`)
  else secrets.set(answer.device, answer.secret ?? '')
}
console.log(`${secrets.size} devices are registered`)

// 2. Follow what happens from here on. It comes back by itself, and loses nothing.
const events = pike.events({ type: ['command.ended', 'event'] })
await events.open()
const following = (async () => {
  let outcomes = 0
  for await (const event of events) {
    if (event.type === 'event') console.log(`${event.device} reports ${event.name}`)
    else if (++outcomes === 3) return outcomes
  }
  return outcomes
})()

// 3. Open a door: now or never, and wait for the locker's own answer.
const opened = await pike.send(
  'SZ-0042',
  { name: 'open', payload: { door: 7 }, delivery: 'now', expect: 'reply' },
  { waitSeconds: 10, idempotencyKey: `order-${Date.now()}` },
)
if (!opened.ended) console.log(`not ended yet; ask again: pike.wait('${opened.id}', 60)`)
else if (opened.status === 'done') console.log('door 7 is open')
else if (opened.status === 'in-doubt') console.log('nobody can know: look before you try again')
else console.log(`it did not open: ${opened.status} (${opened.reason})`)

// 4. The same for a locker that is not there: the honest answer comes at once.
const absent = await pike.send('berlin-0001', { name: 'open', delivery: 'now' })
console.log(`berlin-0001: ${absent.status}`)

// 5. What may wait is kept until the device comes; as long as it was not sent it can be taken back.
const queued = await pike.send('berlin-0002', { name: 'restart' })
const taken = await pike.cancel(queued.id)
console.log(taken.canceled ? 'taken back' : `too late, it is ${taken.status}`)

// 6. One command for all of Berlin, 500 devices a second, and how it goes.
const { broadcast, devices } = await pike.broadcast('berlin', {
  name: 'show-text',
  payload: { text: 'hello' },
  rate: 500,
})
let report = await pike.broadcasts.get(broadcast)
while (report?.state === 'running') {
  await new Promise((resolve) => setTimeout(resolve, 200))
  report = await pike.broadcasts.get(broadcast)
}
console.log(`broadcast to ${devices} devices: ${report?.open} wait for their device`)

// 7. Have events pushed to you instead, and believe only what is signed.
const delivered = new Promise<string>((resolve) => {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    try {
      const { items } = verifyWebhook({
        headers: request.headers,
        body: Buffer.concat(chunks),
        secrets: webhookSecret,
      })
      // Keep them first. What is not answered 2xx comes again.
      response.writeHead(204).end()
      server.close()
      resolve(items[0]?.type ?? 'nothing')
    } catch (error) {
      response.writeHead(error instanceof WebhookNotGenuine ? 401 : 500).end()
    }
  })
  let webhookSecret = ''
  server.listen(0, '127.0.0.1', async () => {
    const { port } = server.address() as AddressInfo
    const made = await pike.webhooks.put('five-minutes', {
      url: `http://127.0.0.1:${port}/pike`,
      types: ['command.ended'],
    })
    // Shown this once; keep it.
    webhookSecret = made.secret ?? ''
    await pike.send('berlin-0003', { name: 'open', delivery: 'now' })
  })
})
console.log(`a genuine ${await delivered} was pushed`)
await pike.webhooks.remove('five-minutes')

console.log(`${await following} outcomes were followed`)
