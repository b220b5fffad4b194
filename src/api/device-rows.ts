import { isUtf8 } from 'node:buffer'
import { parse } from 'csv-parse'
import type { Chunks } from './chunks.ts'
import {
  attributePrefix,
  headerFault,
  plainColumns,
  pointer,
  rowRefusal,
  tagSeparator,
  toldOfRow,
} from './device-columns.ts'
import { type DeviceItem, type DeviceSource, lineTooLong } from './device-lines.ts'
import { fieldRefusal, type Refusal } from './problems.ts'

/** A row takes two bytes at least, so a slice gives at most half as many. */
const sliceBytes = 1_024
const unmatched = 'has quotes that do not match'
const quote = 0x22
const newline = 0x0a
/** Blank rows, which say nothing, but let the parser see that the row before them is over. */
const blank = Buffer.from('\n'.repeat(8))
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf])

/**
 * Devices as CSV (RFC 4180): a header row, then a device a row.
 *
 *     device,tags,attributes.site
 *     SZ-0042,berlin;indoor,Hbf          row 1
 *
 * A row that does not fit fails alone. Where quotes do not match, or a row does not end, nobody can
 * know where the next one begins: that is said, and nothing behind it is read.
 */
export class CsvDevices implements DeviceSource {
  readonly #chunks: Chunks
  readonly #rowMaxBytes: number
  readonly #parser
  /** Read and not yet asked for: those of one slice at most. */
  #rows: DeviceItem[] = []
  #header: readonly string[] | undefined
  #headerFault: Refusal | undefined
  #line = 0
  /** Bytes since the last row's end. */
  #rowBytes = 0
  #chunk = Buffer.alloc(0)
  #begun = false
  #quoted = false
  #failed: ((error: Error) => void) | undefined
  #ended = false

  constructor(chunks: Chunks, rowMaxBytes: number) {
    this.#chunks = chunks
    this.#rowMaxBytes = rowMaxBytes
    this.#parser = parse({
      encoding: null,
      record_delimiter: ['\r\n', '\n', '\r'],
      relax_column_count: true,
      skip_empty_lines: true,
      on_record: (record: string[]) => {
        // Bytes, by `encoding: null`; its types do not know.
        const cells = record as unknown as Uint8Array[]
        this.#rowBytes = 0
        if (this.#header === undefined) this.#readHeader(cells)
        else this.#rows.push(this.#read(cells))
        return null
      },
    })
    this.#parser.on('error', (error) => this.#failed?.(error))
  }

  get lines(): number {
    return this.#line
  }

  async begin(): Promise<Refusal | undefined> {
    while (this.#header === undefined && !this.#ended) await this.#step()
    if (this.#header !== undefined) return this.#headerFault
    const { stopped } = this.#chunks
    if (stopped !== undefined) return { problem: stopped }
    const [first] = this.#rows
    return first?.refusal ?? headerFault([])
  }

  async next(max: number): Promise<readonly DeviceItem[] | undefined> {
    while (this.#rows.length < max && !this.#ended) {
      if (this.#chunk.length === 0 && this.#rows.length > 0) break
      await this.#step()
    }
    return this.#rows.length === 0 ? undefined : this.#rows.splice(0, max)
  }

  /** One slice on. */
  async #step(): Promise<void> {
    if (this.#chunk.length === 0) {
      const chunk = await this.#chunks.next()
      if (chunk === undefined) return this.#end()
      this.#chunk = await this.#withoutMark(chunk)
    }
    const slice = this.#chunk.subarray(0, sliceBytes)
    this.#chunk = this.#chunk.subarray(slice.length)
    this.#rowBytes += slice.length
    for (const byte of slice) if (byte === quote) this.#quoted = !this.#quoted
    const isWhole = this.#chunk.length === 0 && !this.#quoted && slice.at(-1) === newline
    const error = await this.#parse((done) =>
      this.#parser.write(isWhole ? Buffer.concat([slice, blank]) : slice, done),
    )
    if (error) this.#stop(unmatched)
    else if (this.#rowBytes > this.#rowMaxBytes)
      this.#stop(lineTooLong(`nothing behind it was read: ${this.#here}`, this.#rowMaxBytes))
  }

  #parse(give: (done: (error?: Error | null) => void) => void): Promise<Error | null | undefined> {
    return new Promise((done) => {
      this.#failed = done
      give(done)
    })
  }

  async #end(): Promise<void> {
    this.#ended = true
    // The beginning of a row is no row.
    if (this.#chunks.stopped !== undefined) return
    if (await this.#parse((done) => this.#parser.end(done))) this.#stop(unmatched)
  }

  /** The row whose end has not come. */
  get #here(): string {
    return this.#header === undefined ? 'the header row' : `row ${this.#line + 1}`
  }

  #stop(why: string | Refusal): void {
    const refusal =
      typeof why === 'string'
        ? rowRefusal(
            this.#here,
            '',
            `${why}; from here on it is no CSV, nothing behind it was read`,
          )
        : why
    this.#rows.push({ line: this.#line + 1, refusal })
    this.#ended = true
  }

  told(line: number, refusal: Refusal): Refusal {
    return toldOfRow(line, refusal)
  }

  /** Spreadsheets put a mark before what they save as UTF-8. */
  async #withoutMark(chunk: Buffer): Promise<Buffer<ArrayBuffer>> {
    let first: Buffer = chunk
    while (!this.#begun && first.length < byteOrderMark.length) {
      const more = await this.#chunks.next()
      if (more === undefined) break
      first = Buffer.concat([first, more])
    }
    const marked = !this.#begun && first.subarray(0, 3).equals(byteOrderMark)
    this.#begun = true
    return (marked ? first.subarray(3) : first) as Buffer<ArrayBuffer>
  }

  #readHeader(cells: readonly Uint8Array[]): void {
    const header = cells.map((cell) => textOf(cell)?.trim() ?? '\ufffd')
    this.#header = header
    this.#headerFault = headerFault(header)
  }

  #read(cells: readonly Uint8Array[]): DeviceItem {
    const line = ++this.#line
    const header = this.#header!
    if (cells.length !== header.length) {
      const message = `has ${cells.length} cells, the header row has ${header.length} columns`
      return { line, refusal: rowRefusal(`row ${line}`, '', message) }
    }
    const body: Record<string, unknown> = {}
    const attributes: [name: string, text: string][] = []
    for (const [index, name] of header.entries()) {
      const text = textOf(cells[index]!)
      if (text === undefined)
        return {
          line,
          refusal: toldOfRow(line, fieldRefusal('body', pointer(name), 'is not UTF-8')),
        }
      if (text === '') continue
      if (name === 'disabled') body.disabled = text === 'true' || (text === 'false' ? false : text)
      else if (name === 'tags') body.tags = tagsOf(text)
      else if (plainColumns.has(name)) body[name] = text
      else attributes.push([name.slice(attributePrefix.length), text])
    }
    // Defines, does not assign: `__proto__` is a name too.
    if (attributes.length > 0) body.attributes = Object.fromEntries(attributes)
    return { line, body }
  }
}

const textOf = (cell: Uint8Array): string | undefined =>
  isUtf8(cell) ? Buffer.from(cell.buffer, cell.byteOffset, cell.length).toString('utf8') : undefined

const tagsOf = (text: string): string[] =>
  text
    .split(tagSeparator)
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '')
