/**
 * As much of Markdown as our own pages use, to HTML: headings, paragraphs, lists, tables, fenced
 * code, and within a line code, bold, emphasis and links. Everything else is text, and all text is
 * escaped. Links to other pages (`limits.md#x`) become links to where they are served (`limits#x`).
 */
export function markdownToHtml(text: string): string {
  const lines = text.split('\n')
  const html: string[] = []
  let at = 0
  const take = (belongs: (line: string) => boolean): string[] => {
    const from = at
    while (at < lines.length && belongs(lines[at]!)) at++
    return lines.slice(from, at)
  }
  while (at < lines.length) {
    const line = lines[at]!
    const heading = /^(#{1,6}) (.*)$/.exec(line)
    if (line.trim() === '') at++
    else if (heading !== null) {
      at++
      const { length } = heading[1]!
      html.push(`<h${length} id="${anchor(heading[2]!)}">${inline(heading[2]!)}</h${length}>`)
    } else if (line.startsWith('```')) {
      at++
      const code = take((one) => !one.startsWith('```'))
      at++
      html.push(`<pre><code>${escaped(code.join('\n'))}</code></pre>`)
    } else if (line.startsWith('|')) html.push(table(take((one) => one.startsWith('|'))))
    else if (item.test(line)) {
      const tag = /^\d/.test(line) ? 'ol' : 'ul'
      html.push(
        list(
          tag,
          take((one) => item.test(one) || /^\s+\S/.test(one)),
        ),
      )
    } else {
      const text = take((one) => one.trim() !== '' && !/^(#{1,6} |```|\|)/.test(one))
      html.push(`<p>${inline(text.join('\n'))}</p>`)
    }
  }
  return html.join('\n')
}

const item = /^(?:[-*]|\d+\.) /

function list(tag: 'ol' | 'ul', lines: readonly string[]): string {
  const items: string[] = []
  for (const line of lines) {
    if (item.test(line)) items.push(line.replace(item, ''))
    else items.push(`${items.pop() ?? ''}\n${line.trim()}`)
  }
  return `<${tag}>${items.map((one) => `<li>${inline(one)}</li>`).join('\n')}</${tag}>`
}

function table(lines: readonly string[]): string {
  const [head, , ...rows] = lines.map(cells)
  const row = (tag: 'th' | 'td') => (texts: readonly string[]) =>
    `<tr>${texts.map((text) => `<${tag}>${inline(text)}</${tag}>`).join('')}</tr>`
  const named = head?.some((text) => text !== '') ? `<thead>${row('th')(head)}</thead>` : ''
  return `<table>${named}<tbody>${rows.map(row('td')).join('\n')}</tbody></table>`
}

/** `\|` is a bar within a cell. */
const cells = (line: string): readonly string[] =>
  line
    .trim()
    .replace(/^\||\|$/g, '')
    .split(/(?<!\\)\|/)
    .map((text) => text.replaceAll('\\|', '|').trim())

/** Code first: nothing within it means anything. */
const inline = (text: string): string =>
  text
    .split(/(`[^`]+`)/)
    .map((part, index) =>
      index % 2 === 1 ? `<code>${escaped(part.slice(1, -1))}</code>` : marked(escaped(part)),
    )
    .join('')

const marked = (text: string): string =>
  text
    .replace(/\[([^\]]*)\]\(([^)\s]+)\)/g, (_, label: string, to: string) => link(label, to))
    .replace(/\*\*([^*]+)\*\*/g, '<strong>$1</strong>')
    .replace(/(^|[\s(])\*([^*\s][^*]*)\*/g, '$1<em>$2</em>')

/** Only what stands on this server, or is plain http. */
function link(label: string, to: string): string {
  if (!/^(?:https?:\/\/|[#/A-Za-z0-9.])/.test(to) || /^(?!https?:)[a-z]+:/i.test(to)) return label
  const page = /^([a-z0-9-]+)\.md(#.*)?$/.exec(to)
  if (page === null && /\.md(?:#|$)|^\.|^[a-z]+\//.test(to)) return label // in the sources only
  return `<a href="${page === null ? to : `${page[1]}${page[2] ?? ''}`}">${label}</a>`
}

/** As GitHub makes them, so that links into pages work here and there. */
const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s-]/gu, '')
    .trim()
    .replace(/\s/g, '-')

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
}
const escaped = (text: string): string => text.replace(/[&<>"]/g, (char) => entities[char]!)
