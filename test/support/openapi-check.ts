import assert from 'node:assert/strict'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'

type Json = Record<string, unknown>

export interface Answered {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly payload: string
}

/**
 * Holds answers against what /openapi.json says of them: the path, the method, the status, the
 * content type, and the schema of the body.
 */
export class OpenApiCheck {
  readonly #paths: Record<string, Record<string, { responses: Record<string, Json> }>>
  readonly #ajv: Ajv2020
  readonly #compiled = new Map<string, ValidateFunction>()
  /** `METHOD path status` of every answer checked. */
  readonly seen = new Set<string>()

  constructor(document: object) {
    const { paths, components } = document as { paths: never; components: Json }
    this.#paths = paths
    this.#ajv = new Ajv2020({ strict: false, allErrors: true })
    // Its types and its CommonJS do not agree on where the function is.
    ;(addFormats as unknown as (ajv: Ajv2020) => void)(this.#ajv)
    this.#ajv.addSchema({ $id: 'doc', components })
  }

  check(method: string, url: string, answer: Answered): void {
    const path = url.split('?', 1)[0]!
    const template = Object.keys(this.#paths).find((candidate) => pattern(candidate).test(path))
    // A path nobody documented is the 404 of the router; its pages for people take GET only.
    if (template === undefined) {
      const expected = path === '/docs' || path.startsWith('/docs/') ? [404, 405] : [404]
      assert.ok(expected.includes(answer.statusCode), `${method} ${path} is not documented`)
      return
    }
    const operation = this.#paths[template]![method.toLowerCase()]
    if (operation === undefined) {
      assert.equal(answer.statusCode, 405, `${method} ${template} is not documented`)
      const allowed = Object.keys(this.#paths[template]!).map((one) => one.toUpperCase())
      assert.equal(answer.headers.allow, allowed.sort().join(', '), `${method} ${template}`)
      return
    }
    const where = `${method} ${template} ${answer.statusCode}`
    this.seen.add(where)
    const response = operation.responses[answer.statusCode]
    assert.ok(response, `${where} is not documented`)
    const content = response.content as Record<string, { schema: Json }> | undefined
    if (content === undefined) {
      assert.equal(answer.payload, '', `${where} has no body`)
      return
    }
    const type = String(answer.headers['content-type']).split(';', 1)[0]!
    assert.ok(Object.hasOwn(content, type), `${where} as ${type} is not documented`)
    if (!type.endsWith('json')) return
    const validate = this.#validator(`${where} ${type}`, content[type]!.schema)
    // Of a stream of lines each is a value of the schema.
    const values = type === 'application/x-ndjson' ? lines(answer.payload) : [answer.payload]
    for (const text of values) {
      const fits = validate(JSON.parse(text))
      assert.ok(fits, `${where}: ${this.#ajv.errorsText(validate.errors)}: ${text}`)
    }
  }

  #validator(name: string, schema: Json): ValidateFunction {
    let validate = this.#compiled.get(name)
    if (validate === undefined) {
      const local = JSON.stringify(schema).replaceAll('"#/components', '"doc#/components')
      validate = this.#ajv.compile(JSON.parse(local) as Json)
      this.#compiled.set(name, validate)
    }
    return validate
  }
}

const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '')

const pattern = (template: string): RegExp =>
  new RegExp(`^${template.replaceAll('.', '\\.').replace(/\{[^}]+\}/g, '[^/]+')}$`)
