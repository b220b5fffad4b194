import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connectAsync, type MqttClient } from 'mqtt'
import { answerQuestions } from './worker.ts'

/**
 * What one writes who has a broker and wants HTTP: a request is published by QoS 1 and answered 202
 * after the broker's PUBACK. Nothing is kept, and what became of a command nobody knows.
 */
const path = '/v1/devices/'
const route = '/commands'

function take(request: IncomingMessage, text: string, key: string, broker: MqttClient): Answer {
  const url = request.url!
  if (request.headers.authorization !== `Bearer ${key}`) return 401
  if (!url.startsWith(path) || !url.endsWith(route)) return 404
  const { payload } = JSON.parse(text) as { payload: unknown }
  const topic = `commands/${url.slice(path.length, -route.length)}`
  return new Promise((resolve) => {
    broker.publish(topic, JSON.stringify(payload), { qos: 1 }, (error) =>
      resolve(error ? 503 : 202),
    )
  })
}

type Answer = number | Promise<number>

function onRequest(request: IncomingMessage, answer: ServerResponse, of: Glue): void {
  let text = ''
  request.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  request.on('end', async () => {
    answer.writeHead(await take(request, text, of.key, of.broker), { 'content-length': 0 })
    answer.end()
  })
}

interface Glue {
  readonly key: string
  readonly broker: MqttClient
}

const answers = {
  async start({ key, port }: { key: string; port: number }): Promise<number> {
    const broker = await connectAsync(`mqtt://127.0.0.1:${port}`, { clientId: 'glue' })
    const server = createServer((request, answer) => onRequest(request, answer, { key, broker }))
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 })
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  },
}

export type GlueAnswers = typeof answers

answerQuestions(answers)
