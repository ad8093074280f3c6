// Splits byte streams into text lines, JSON values and server-sent events. Bounded: a line that never ends is an error. No IO of its own.

/** Longest line that is accepted, in characters. */
export const maxLineLength = 16 * 1024 * 1024;

/** Lines without their ends (LF or CRLF); what stands after the last end is a line too. */
export async function* textLines(source: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of source) {
    rest += decoder.decode(chunk, { stream: true });
    let from = 0;
    for (let end = rest.indexOf('\n'); end !== -1; end = rest.indexOf('\n', from)) {
      yield rest.slice(from, rest[end - 1] === '\r' && end > from ? end - 1 : end);
      from = end + 1;
    }
    rest = rest.slice(from);
    if (rest.length > maxLineLength) throw new Error(`the API sent a line longer than ${maxLineLength} characters`);
  }
  rest += decoder.decode();
  if (rest !== '') yield rest;
}

/** JSON values, one a line; empty lines (keep-alives) are passed over. */
export async function* jsonLines<T>(source: AsyncIterable<Uint8Array>): AsyncGenerator<T> {
  for await (const line of textLines(source)) if (line.trim() !== '') yield JSON.parse(line) as T;
}

export interface ServerEvent {
  /** `message` unless the stream said otherwise. */
  readonly event: string;
  readonly data: string;
  /** The last id so far, this event's if it has one; empty when there was none. */
  readonly id: string;
  /** Reconnection delay in ms that the server asked for with or before this event; null if it did not. */
  readonly retryMs: number | null;
}

/** Server-sent events as the HTML standard's event stream interpretation (section 9.2.6) has them. An event cut off by the end is dropped. */
export async function* serverEvents(source: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  let event = '';
  let data: string[] = [];
  let id = '';
  let retryMs: number | null = null;
  for await (const line of textLines(source)) {
    if (line === '') {
      if (data.length > 0) yield { event: event === '' ? 'message' : event, data: data.join('\n'), id, retryMs };
      event = '';
      data = [];
      continue;
    }
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') event = value;
    else if (field === 'data') data.push(value);
    else if (field === 'id' && !value.includes('\0')) id = value;
    else if (field === 'retry' && /^\d+$/.test(value)) retryMs = Number(value);
  }
}
