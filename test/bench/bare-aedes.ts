import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { Aedes } from 'aedes'
import { answerQuestions } from './worker.ts'

/** aedes as it comes: its own store in memory, its own emitter, nobody asked who they are. */
const answers = {
  async start(): Promise<number> {
    const broker = await Aedes.createBroker()
    const server = createServer({ noDelay: true }, (socket) => void broker.handle(socket))
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 })
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  },
}

export type BareAedesAnswers = typeof answers

answerQuestions(answers)
