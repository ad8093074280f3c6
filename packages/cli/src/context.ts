// What every command gets: the configuration and the way to the API, opened only when it is needed. Holds no state of a command.
import { join } from 'node:path';
import type { CliConfig } from './config.ts';
import type { EngineClient } from './engine/client.ts';
import type { TlsFiles } from './engine/target.ts';

export interface GlobalFlags extends TlsFiles {
  readonly host?: string;
}

export interface Context {
  readonly config: CliConfig;
  /** Throws UsageError for an address that cannot be. Connects nowhere yet. */
  client(): Promise<EngineClient>;
}

export function createContext(config: CliConfig, flags: () => GlobalFlags): Context {
  let made: Promise<EngineClient> | null = null;
  const make = async (): Promise<EngineClient> => {
    const { host, ...files } = flags();
    const [{ EngineClient }, { requireSafeForToken, toTarget }] = await Promise.all([import('./engine/client.ts'), import('./engine/target.ts')]);
    const { certPath } = config;
    const kept = certPath === null ? {} : { tlscacert: join(certPath, 'ca.pem'), tlscert: join(certPath, 'cert.pem'), tlskey: join(certPath, 'key.pem') };
    const target = toTarget(host ?? config.host, { ...kept, ...files });
    if (config.token !== null) requireSafeForToken(target);
    return new EngineClient(target, target.kind === 'tcp' && target.tls !== null ? (await import('node:https')).default : null, config.token);
  };
  return { config, client: () => (made ??= make()) };
}
