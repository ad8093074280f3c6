// What a nats-server says of itself to whoever connects, before anything is encrypted or asked for: its INFO. Needs no credentials.
import { statfs } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

const answerMs = 1_000;
/** Room on its disk that makes it worth a try. */
const roomBytes = 32 * 1024 * 1024;

/** A server that awaits TLS logs an error for whoever leaves before that. Nothing is said, so nothing need be trusted. */
function shakeHands(socket: Socket): void {
  const secure = connectTls({ socket, rejectUnauthorized: false }, () => secure.end());
  secure.setTimeout(answerMs, () => secure.destroy());
  secure.on('error', () => secure.destroy());
}

/** Null: nobody greets there as nats-server does. `jetstream` false: it stores nothing, because it is not to, or because it has given that up. */
export async function natsInfo(port: number, host = '127.0.0.1'): Promise<{ readonly jetstream: boolean } | null> {
  return await new Promise((resolve) => {
    const socket = connect({ host, port });
    let text = '';
    const answer = (info: { readonly jetstream: boolean } | null): void => {
      socket.destroy();
      resolve(info);
    };
    socket.setTimeout(answerMs, () => answer(null));
    socket.once('error', () => answer(null));
    socket.once('end', () => answer(null));
    socket.on('data', (data) => {
      text += data.toString('latin1');
      const line = /^INFO (\{.*\})\s*\r\n/.exec(text)?.[1];
      if (line !== undefined) {
        const { jetstream, tls_required } = JSON.parse(line) as { jetstream?: boolean; tls_required?: boolean };
        resolve({ jetstream: jetstream === true });
        socket.removeAllListeners('data');
        if (tls_required === true) shakeHands(socket);
        else socket.destroy();
      } else if (!'INFO '.startsWith(text.slice(0, 5)) || text.length > 65_536) answer(null);
    });
  });
}

/** nats-server ends JetStream for good at the first write for which there was no room, and is only of use again when it is started anew: once there is room. */
export async function lacksJetStream(port: number, storeDir: string): Promise<boolean> {
  const info = await natsInfo(port);
  if (info === null || info.jetstream) return false;
  const { bavail, bsize } = await statfs(storeDir);
  return bavail * bsize >= roomBytes;
}
