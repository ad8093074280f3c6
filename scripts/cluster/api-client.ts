// The few calls that the scripts make to the API's unix socket. It must not know more of the API than they need.
import { request, type IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';

export type ApiAnswer = { readonly status: number; readonly text: string };

export type ApiCall = {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly body?: Readable;
  readonly contentType?: string;
  readonly timeoutMs: number;
  /** Called for every piece of the answer as it comes. */
  readonly onData?: (text: string) => void;
};

const answerMax = 16 * 1024 * 1024;

/** One request; rejects when the socket cannot be reached or the answer is not whole within the time. */
export async function callApi(socketPath: string, call: ApiCall): Promise<ApiAnswer> {
  const signal = AbortSignal.timeout(call.timeoutMs);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = request({
      socketPath, signal, method: call.method ?? 'GET', path: call.path, agent: false,
      headers: { host: 'pouch', ...(call.contentType === undefined ? {} : { 'content-type': call.contentType }) },
    }, resolve);
    outgoing.once('error', reject);
    if (call.body === undefined) outgoing.end();
    else call.body.once('error', (error) => outgoing.destroy(error)).pipe(outgoing);
  });
  response.setEncoding('utf8');
  let text = '';
  for await (const piece of response) {
    text += String(piece);
    call.onData?.(String(piece));
    if (text.length > answerMax) throw new Error(`the answer to ${call.path} passes ${answerMax} bytes`);
  }
  return { status: response.statusCode ?? 0, text };
}

/** The answer's JSON, or undefined when the call failed or was not answered with 200. */
export async function getJson<T>(socketPath: string, path: string, timeoutMs = 3_000): Promise<T | undefined> {
  try {
    const { status, text } = await callApi(socketPath, { path, timeoutMs });
    return status === 200 ? JSON.parse(text) as T : undefined;
  } catch {
    return undefined; // not up yet, or going down: the caller polls
  }
}
