import type { FastifySchemaCompiler, FastifySchemaValidationError } from 'fastify'
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'
import { wordsOfPattern } from './patterns.ts'
import type { FieldError, Refusal } from './problems.ts'
import { Refused } from './problems.ts'

const parts = { body: 'body', querystring: 'query', params: 'path', headers: 'header' } as const

/** Longest field name we repeat to whoever sent it. */
const pathMaxChars = 200

/** What is wrong with a value, field by field; undefined: nothing. */
export type Check = (value: unknown) => Refusal | undefined

export function checker(schema: TSchema, part: FieldError['in']): Check {
  const compiled = Compile(schema)
  return (value) => {
    if (compiled.Check(value)) return undefined
    const errors = fieldErrors(part, schema, compiled.Errors(value))
    const detail = errors.map(({ path, message }) => `${path || part} ${message}`).join('; ')
    return { problem: 'invalid-request', said: { detail, errors } }
  }
}

/**
 * Schemas to checks: compiled once, true or a refusal that names each field. Only query strings
 * are converted, since all they can carry is text.
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const check = checker(schema, parts[(httpPart ?? 'body') as keyof typeof parts] ?? 'body')
  const refused = ({ problem, said }: Refusal) => ({ error: new Refused(problem, said) })
  if (httpPart === 'querystring') {
    return (value: unknown) => {
      const converted = Value.Convert(schema, value)
      const refusal = check(converted)
      return refusal === undefined ? { value: converted } : refused(refusal)
    }
  }
  return (value: unknown) => {
    const refusal = check(value)
    return refusal === undefined ? true : refused(refusal)
  }
}

/** One entry a field, in words. The library bounds how many errors it looks for. */
function fieldErrors(
  part: FieldError['in'],
  schema: TSchema,
  errors: readonly Pick<
    FastifySchemaValidationError,
    'keyword' | 'instancePath' | 'params' | 'message' | 'schemaPath'
  >[],
): FieldError[] {
  const byPath = new Map<string, string>()
  const add = (path: string, message: string) => {
    const short = path.length > pathMaxChars ? `${path.slice(0, pathMaxChars)}…` : path
    if (!byPath.has(short)) byPath.set(short, message)
  }
  // Why no alternative fits is said by the alternatives, not by their sum.
  const pointed = errors.filter(({ keyword }) => keyword !== 'anyOf')
  for (const { keyword, instancePath, params, message, schemaPath } of pointed) {
    if (keyword === 'required') {
      for (const name of params.requiredProperties as string[])
        add(`${instancePath}/${escapePointer(name)}`, 'is required')
    } else if (keyword === 'boolean')
      add(instancePath, keyWords(schema, schemaPath) ?? 'is not a known field')
    else if (keyword === 'pattern')
      add(instancePath, wordsOfPattern(String(params.pattern)) ?? message ?? 'does not fit')
    else if (keyword === 'enum')
      add(instancePath, `must be one of ${(params.allowedValues as unknown[]).join(', ')}`)
    else if (keyword !== 'additionalProperties') add(instancePath, message ?? 'does not fit')
  }
  if (byPath.size === 0) add('', 'does not fit')
  return [...byPath].map(([path, message]) => ({ in: part, path, message }))
}

/** Of a map that takes any name: why this one is none. */
function keyWords(schema: TSchema, path: string): string | undefined {
  let at: unknown = schema
  for (const part of path.split('/').slice(1, -1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~')
    at = typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[name] : undefined
  }
  const { patternProperties } = (at ?? {}) as { patternProperties?: object }
  const [pattern] = Object.keys(patternProperties ?? {})
  return pattern === undefined ? undefined : wordsOfPattern(pattern)
}

const escapePointer = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1')
