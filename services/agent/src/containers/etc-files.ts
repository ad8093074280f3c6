// The files of /etc that containers get from their host: written where they have changed, and only then.
import { readFile, writeFile } from 'node:fs/promises';
import type { Container, NetworkAttachment } from '@pouch/domain';
import { hostsFile, resolvConf } from '@pouch/oci';
import type { Layout } from './layout.ts';

export class EtcFiles {
  readonly #layout: Layout;
  readonly #gateway: () => string | null;
  /** What was written last, so that a start need not write again. */
  readonly #written = new Map<string, string>();

  constructor(layout: Layout, gateway: () => string | null) {
    this.#layout = layout;
    this.#gateway = gateway;
  }

  /** `attachment`: null while there is no network yet. Containers that join another's network have that one's files. */
  async write({ id, spec }: Container, attachment: NetworkAttachment | null): Promise<void> {
    if (spec.network.mode === 'container') return;
    const sharesHostNetwork = spec.network.mode === 'host';
    const { hostname, domainname, extraHosts, dns, dnsSearch, dnsOptions } = spec;
    const own = hostsFile({ hostname, domainname, extraHosts, addresses: addressesOf(attachment), hostGateway: this.#gateway() });
    const texts = {
      hostsPath: sharesHostNetwork ? `${await textOf('/etc/hosts')}\n${own}` : own,
      hostnamePath: `${hostname}\n`,
      resolvConfPath: resolvConf({ hostText: await textOf('/etc/resolv.conf'), dns, dnsSearch, dnsOptions, sharesHostNetwork }),
    };
    const whole = JSON.stringify(texts);
    if (this.#written.get(id) === whole) return;
    const paths = this.#layout.generated(id);
    await Promise.all(Object.entries(texts).map(([name, text]) => writeFile(paths[name as keyof typeof paths], text, { mode: 0o644 })));
    this.#written.set(id, whole);
  }

  forget(id: string): void {
    this.#written.delete(id);
  }
}

/** A host need not have the file. */
async function textOf(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
}

function addressesOf(attachment: NetworkAttachment | null): string[] {
  const address = attachment?.ipAddress ?? null;
  return address === null ? [] : [address];
}
