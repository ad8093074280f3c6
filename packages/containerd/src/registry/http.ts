// One HTTP exchange with redirects. node:http rather than fetch: fetch refuses to talk to a list of ports, and registries stand on some of
// them. Retries and authentication are not its business.
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';

const MAX_REDIRECTS = 10;

export type HttpRequest = { method?: 'GET' | 'POST'; headers?: Record<string, string>; body?: string };
/** An answer whose body has not been read; its reader reads it to the end or destroys it. */
export type HttpResponse = { status: number; header(name: string): string; message: string; body: IncomingMessage };

/** Sends a request and follows redirects; fails where no head of an answer comes within `headMs`. Credentials are sent to the first origin only. */
export async function exchange(url: string, request: HttpRequest, { headMs, signal }: { headMs: number; signal: AbortSignal }): Promise<HttpResponse> {
  let target = new URL(url);
  let headers = request.headers ?? {};
  for (let redirects = 0; ; redirects++) {
    const response = await once(target, { ...request, headers }, headMs, signal);
    const { location } = response.headers;
    const status = response.statusCode!;
    if (location === undefined || ![301, 302, 303, 307, 308].includes(status) || request.method === 'POST') {
      return { status, message: response.statusMessage ?? '', body: response, header: (name) => String(response.headers[name] ?? '') };
    }
    response.destroy();
    if (redirects >= MAX_REDIRECTS) throw new Error(`more than ${MAX_REDIRECTS} redirects`);
    if (!URL.canParse(location, target.href)) throw new Error(`redirected to something that is no URL: ${JSON.stringify(location.slice(0, 200))}`);
    const next = new URL(location, target);
    if (next.protocol !== 'https:' && next.protocol !== target.protocol) throw new Error(`redirected from ${target.protocol} to ${next.protocol}`);
    if (next.origin !== target.origin) headers = Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'authorization'));
    target = next;
  }
}

function once(url: URL, { method = 'GET', headers = {}, body }: HttpRequest, headMs: number, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)), 'content-type': 'application/x-www-form-urlencoded' };
    const outgoing = send(url.href, { method, headers: { 'user-agent': 'pouch', ...length, ...headers } });
    // Not the `signal` option: that destroys with an error, which nobody hears where the socket is just being given back for reuse.
    const abort = (): void => { outgoing.destroy(); };
    signal.addEventListener('abort', abort, { once: true });
    outgoing.on('close', () => { signal.removeEventListener('abort', abort); });
    if (signal.aborted) abort();
    const timer = setTimeout(() => { outgoing.destroy(new Error(`no answer within ${headMs / 1000} s`)); }, headMs);
    // Stays for the life of the exchange: a connection that breaks later also errors here, and its reader hears of it by the body.
    outgoing.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    outgoing.on('response', (response) => {
      clearTimeout(timer);
      response.on('error', () => { /* the reader of the body gets it; this keeps an unread one from ending the process */ });
      resolve(response);
    });
    outgoing.end(body);
  });
}
