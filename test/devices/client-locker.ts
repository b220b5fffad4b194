import { sessions } from '../../cli/sessions.ts'
import { fileStorage, PikeClient } from '../../devices/index.ts'

/*
 * A locker of its own process on our client, over the protocol named first:
 * `client-locker.ts mqtt host port device secret state`.
 */
const [protocol = '', host = '', port = '', device = '', secret = '', state = ''] =
  process.argv.slice(2)

const client = new PikeClient({
  ...{ host, port: Number(port), device, secret },
  storage: fileStorage(state),
  // Tests kill gateways: wait shorter than in the field.
  reconnect: { baseMs: 200, maxMs: 1_000 },
  ...sessions[protocol as keyof typeof sessions],
})
client.on('receive', (command, respond) => {
  const { door } = command.json() as { door: number }
  if (door > 12) return void respond({ status: 'rejected', reason: 'unknown-door' })
  console.log(`open door ${door}`)
  void client.send('door-opened', { door })
  void respond({ status: 'done', payload: { door } })
})
client.on('stopped', (reason) => console.log(`stopped ${JSON.stringify(reason)}`))
process.once('SIGTERM', () => void client.stop())
client.start()
